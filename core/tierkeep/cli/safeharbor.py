"""`tierkeep safeharbor`: ask what risk a text carries, and make, calibrate, train and look at a rule base. No memory is opened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from tierkeep import Embedder, Settings
from tierkeep.cli.call import DONE, NOTHING, guarded
from tierkeep.cli.embedder import NAMES, embedder_from
from tierkeep.cli.model import BaseUrl, Model, chat_model
from tierkeep.cli.output import Output, counted, facts, literal, rows
from tierkeep.errors import InputError

if TYPE_CHECKING:
    from tierkeep.guard.safeharbor.files import RuleBase
    from tierkeep.guard.safeharbor.tree import RiskTree

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Base = Annotated[Path | None, typer.Option("--rules", metavar="FOLDER", help="Rule base to use.", show_default="the shipped one")]
_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the rule base.")]
_Which = Annotated[str, typer.Option("--embedder", envvar="TIERKEEP_EMBEDDER", help=f"Makes the vectors: {NAMES}.")]
_Attacks = Annotated[
    Path | None,
    typer.Option("--attacks", metavar="FILE", help="JSON lines with id, prompt and category: rules are made of them and added."),
]
_Mode = Annotated[str, typer.Option("--mode", help='"paper", or "code": what the released code does.')]
_Novelty = Annotated[str, typer.Option("--novelty", help='What makes a new leaf: the paper\'s "gain", or "residual" distance.')]
_Seed = Annotated[int, typer.Option("--seed", help="Of templates, split and training.")]
_Head = Annotated[str, typer.Option("--head", help='"prototypes" (the paper\'s), or "sigmoid" (the released code\'s).')]
_Benign = Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines with intent, and tool_pattern and outcome where known.")]


def attach(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help="SafeHarbor: how a text stands to a base of rules about harms, and making such a base.")
    for name, command in (("assess", assess), ("build", build), ("calibrate", calibrate), ("train", train), ("show", show)):
        group.command(name)(command)
    app.add_typer(group, name="safeharbor")


def assess(
    text: Annotated[str, typer.Argument(help='The text; "-" reads standard input.')],
    rules: _Base = None,
    embedder: _Which = "minilm",
    model: Model = "",
    base_url: BaseUrl = "",
    as_json: _Json = False,
) -> None:
    """Say what risk a text carries: a request, a note for a memory, a tool call. Exit code 1 when it is blocked.

    Example: tierkeep safeharbor assess "Remind me of the dentist on Tuesday"
    """

    def act(out: Output) -> int:
        from tierkeep.guard.safeharbor.files import load
        from tierkeep.guard.safeharbor.gate import SHIPPED, SafeHarbor

        guard = SafeHarbor(load(rules or SHIPPED), _embedder(embedder), chat_model(model, base_url), settings=Settings().safeharbor)
        risk = guard.assess(sys.stdin.read() if text == "-" else text)
        known = {rule.id: rule for rule in guard.tree.rules()}
        table = rows(("rule", "what it refuses"), [(literal(one), literal(known[one].harm_rule)) for one in risk.rules])
        said = {"branch": risk.branch, "s_harm": f"{risk.s_harm:.3f}", "s_benign": f"{risk.s_benign:.3f}", "answered by": risk.answered_by}
        out.result(risk.model_dump(mode="json"), facts(said), *([table] if risk.rules else []))
        return NOTHING if risk.branch == "block" else DONE

    _run(as_json, act)


def build(
    folder: _Folder,
    attacks: _Attacks = None,
    embedder: _Which = "minilm",
    mode: _Mode = "paper",
    novelty: _Novelty = "gain",
    seed: _Seed = 0,
    model: Model = "",
    base_url: BaseUrl = "",
    as_json: _Json = False,
) -> None:
    """Make or renew a rule base: embed the reviewed rules of FOLDER/clusters/*.json, or add rules made of attacks.

    What a model or a template wrote must be read by somebody before it is used: rules that only a template wrote say needs_review. A
    projector that was there is dropped: run train afterwards.

    Example: tierkeep safeharbor build my-rules --attacks attacks.jsonl
    """

    def act(out: Output) -> int:
        from tierkeep.guard.safeharbor.building import read_attacks
        from tierkeep.guard.safeharbor.files import RuleBase, embed_texts, read_texts, save

        made = _embedder(embedder)
        samples = read_attacks(attacks) if attacks is not None else []
        tree = embed_texts(read_texts(folder), made) if attacks is None or (folder / "clusters").is_dir() else None
        if samples:
            tree = _grown(out, tree, samples, made, _settings(mode, novelty), seed, (model, base_url))
        if tree is None:
            raise InputError(f"{attacks} has no attack", field="attacks")
        save(RuleBase(tree), folder)
        return _told(out, tree)

    _run(as_json, act)


def calibrate(folder: _Folder, benign: _Benign, embedder: _Which = "minilm", as_json: _Json = False) -> None:
    """Assign legitimate requests to the clusters that they are nearest to. Read them first: they are what the guard takes for allowed.

    Example: tierkeep safeharbor calibrate my-rules benign.jsonl
    """

    def act(out: Output) -> int:
        from tierkeep.guard.safeharbor.building import read_benign
        from tierkeep.guard.safeharbor.calibration import calibrate as assigned
        from tierkeep.guard.safeharbor.files import RuleBase, save

        made = _embedder(embedder)
        base = _loaded(folder, made)
        records = read_benign(benign)
        done = assigned(base.tree, records, made.embed([record.intent for record in records]), Settings().safeharbor)
        save(RuleBase(done.tree, base.projector), folder)
        said = f"{counted(done.assigned, 'request')} assigned, {done.dropped} near to no cluster, {len(done.tree.reservoir)} in reserve."
        out.result({"assigned": done.assigned, "dropped": done.dropped, "reservoir": len(done.tree.reservoir)}, Text(said))
        return DONE

    _run(as_json, act)


def train(folder: _Folder, embedder: _Which = "minilm", head: _Head = "prototypes", seed: _Seed = 0, as_json: _Json = False) -> None:
    """Train the projector on the base's own attacks and benign requests, a fifth of them held out. Needs torch.

    Example: tierkeep safeharbor train my-rules
    """

    def act(out: Output) -> int:
        from tierkeep.guard.safeharbor.files import RuleBase, save
        from tierkeep.guard.safeharbor.train import examples
        from tierkeep.guard.safeharbor.train import train as fitted

        if head not in ("prototypes", "sigmoid"):
            raise InputError(f"--head is prototypes or sigmoid, not {head!r}", field="head")
        made = _embedder(embedder)
        base = _loaded(folder, made)
        settings = Settings().safeharbor
        data = examples(base.tree, made, settings, seed=seed)
        with _ticking(out, "training") as tick:
            done = fitted(
                data, made.identity, settings, head=cast("Literal['prototypes', 'sigmoid']", head), seed=seed, progress=tick
            )
        save(RuleBase(base.tree, done.projector), folder)
        plain = done.report["plain"]
        said = {
            "texts": f"{done.report['texts']}, {done.report['held_out']} held out",
            "epoch": f"{done.report['epoch']} of {done.report['epochs']}, loss {done.report['loss']}",
            "area under the curve": f"{plain['auc']} held out, {done.report['disguised']['auc']} disguised",
            "s_harm of held-out benign": ", ".join(f"{share}: {value}" for share, value in plain["benign_quantiles"].items()),
        }
        out.result(done.report, facts(said))
        return DONE

    _run(as_json, act)


def show(rules: _Base = None, as_json: _Json = False) -> None:
    """Show the clusters and rules of a rule base, and what is wrong with them. Exit code 1 when something is.

    Example: tierkeep safeharbor show
    """

    def act(out: Output) -> int:
        from tierkeep.guard.safeharbor.files import load
        from tierkeep.guard.safeharbor.gate import SHIPPED
        from tierkeep.guard.safeharbor.rules import faults

        base = load(rules or SHIPPED)
        listed: list[dict[str, Any]] = []
        for cluster, leaf in base.tree.leaves():
            rule = cluster.rule_of(leaf)
            if rule is not None:
                wrong = faults(rule, [one.text for one in leaf.exemplars]) + ["needs review"] * rule.needs_review
                place = {"cluster": cluster.id, "leaf": leaf.id, "merged": leaf.n_merged}
                listed.append({**place, "faults": wrong, **rule.model_dump(mode="json")})
        summary = _summary(base)
        shown = [(one["cluster"], one["id"], one["topic"], "; ".join(one["faults"]) or "-") for one in listed]
        table = rows(("cluster", "rule", "topic", "faults"), [map(literal, entry) for entry in shown])
        out.result({**summary, "rules": listed}, facts({name: str(value) for name, value in summary.items()}), table)
        return NOTHING if any(one["faults"] for one in listed) else DONE

    _run(as_json, act)


# --------------------------------------------------------------------------------------------------------- the parts


def _run(as_json: bool, act: Callable[[Output], int]) -> None:
    out = Output(as_json=as_json)
    if code := guarded(out, lambda: act(out)):
        raise typer.Exit(code)


def _embedder(name: str) -> Embedder:
    made = embedder_from(name)
    if made is None:
        raise InputError(f"SafeHarbor needs an embedder: {NAMES}", field="embedder")
    return made


def _settings(mode: str, novelty: str) -> Any:
    if mode not in ("paper", "code") or novelty not in ("gain", "residual"):
        raise InputError("--mode is paper or code, and --novelty is gain or residual", field="mode")
    return Settings().safeharbor.model_copy(update={"mode": mode, "novelty": novelty})


def _loaded(folder: Path, embedder: Embedder) -> RuleBase:
    from tierkeep.guard.safeharbor.files import load

    base = load(folder)
    if base.tree.embedder != embedder.identity:
        raise InputError(f"{folder} is of the embedder {base.tree.embedder!r}, not of {embedder.identity!r}", field="embedder")
    return base


def _grown(
    out: Output, tree: RiskTree | None, samples: Any, embedder: Embedder, settings: Any, seed: int, model: tuple[str, str]
) -> RiskTree:
    from tierkeep.guard.safeharbor.building import build as grow
    from tierkeep.guard.safeharbor.rules import model_writer

    writer = model_writer(chat_model(*model), settings)
    with _ticking(out, "attacks") as tick:
        return grow(samples, embedder, writer, settings, tree=tree, seed=seed, progress=tick)


def _told(out: Output, tree: RiskTree) -> int:
    from tierkeep.guard.safeharbor.files import RuleBase

    summary = _summary(RuleBase(tree))
    out.result(summary, facts({name: str(value) for name, value in summary.items()}))
    return DONE


def _summary(base: RuleBase) -> dict[str, Any]:
    rules = base.tree.rules()
    return {
        "embedder": base.tree.embedder,
        "clusters": len(base.tree.clusters),
        "leaves": sum(1 for _ in base.tree.leaves()),
        "pairs": len(rules),
        "needs_review": sum(rule.needs_review for rule in rules),
        "benign": len(base.tree.benign()),
        "projector": None if base.projector is None else base.projector.sha256(),
    }


@contextmanager
def _ticking(out: Output, what: str) -> Iterator[Callable[[int, int], None]]:
    if out.as_json or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with Bar(TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=out.err, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
