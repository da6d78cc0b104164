"""`tierkeep bench`: measurements on data that the user brings, and on this machine."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from tierkeep.cli.call import DONE, NOTHING, guarded
from tierkeep.cli.output import Output, facts
from tierkeep.errors import InputError, SettingsError

_Data = Annotated[
    list[Path],
    typer.Option("--data", metavar="FILE", help="File in the format tierkeep-bench/1; may be given several times."),
]
_Budget = Annotated[int, typer.Option("--budget", min=1, help="Tokens of evidence for each question.")]
_AnyBudget = Annotated[int | None, typer.Option("--budget", min=1, help="Tokens of evidence; by tier otherwise.")]
_Embedder = Annotated[str, typer.Option("--embedder", help="Embedder to measure with: none.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Trials = Annotated[int, typer.Option("--trials", min=1, help="How often a writer is killed.")]
_Seed = Annotated[int, typer.Option("--seed", help="Decides the moments of the kills.")]
_Durability = Annotated[
    str, typer.Option("--durability", help='"normal" survives the death of the process, "full" a power cut too: an fsync for each write.')
]
_Light = Annotated[
    list[int] | None, typer.Option("--budget", min=1, help="Tokens of light evidence; may be given several times. 600 and 2048 otherwise.")
]
_Share = Annotated[float, typer.Option("--share", min=0.01, max=0.99, help="Share of the questions that the fitted threshold escalates.")]
_Size = Annotated[int, typer.Option("--n", min=1, help="Events in the memory.")]


def attach(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help="Measure recall, speed, dates, crash safety, routing and escalation.")
    group.command("recall")(recall)
    group.command("speed")(speed)
    group.command("dates")(dates)
    group.command("kill")(kill)
    group.command("tiers")(tiers)
    group.command("route")(route)
    group.command("gate")(gate)
    app.add_typer(group, name="bench")


def recall(data: _Data, budget: _Budget = 2048, embedder: _Embedder = "none", as_json: _Json = False) -> None:
    """Measure how much of the evidence that questions need is in what recall returns.

    Example: tierkeep bench recall --data my-chat.json --budget 2048
    """

    def measure(out: Output) -> Any:
        _check_embedder(embedder)
        return _each(out, data, lambda path, tick: _module("recall").run(path, budget=budget, progress=tick))

    _run(as_json, measure)


def dates(data: _Data, budget: _AnyBudget = None, as_json: _Json = False) -> None:
    """Measure how many questions about a time are answered with the right one.

    Example: tierkeep bench dates --data my-chat.json
    """

    def measure(out: Output) -> Any:
        return _each(out, data, lambda path, tick: _module("dates").run(path, budget=budget, progress=tick))

    _run(as_json, measure)


def tiers(
    data: _Data,
    preset: Annotated[str, typer.Option("--presets", help="Names, with commas between.")] = "memflow,hymem,dmem,auto",
    every: Annotated[int, typer.Option("--every", min=1, help="Take each n-th question only.")] = 1,
    wrong: Annotated[float, typer.Option("--wrong", min=0, max=1, help="How often incomplete evidence is answered, wrongly.")] = 0.0,
    miss: Annotated[float, typer.Option("--miss", min=0, max=1, help="Share of wrong answers that the judge passes.")] = 0.0,
    alarm: Annotated[float, typer.Option("--alarm", min=0, max=1, help="Share of right answers that the judge fails.")] = 0.0,
    as_json: _Json = False,
) -> None:
    """Simulate the presets with a model that answers right exactly when the evidence was in front of it: tokens, calls, escalations.

    Example: tierkeep bench tiers --data my-chat.json --presets memflow,auto
    """
    names = [name.strip() for name in preset.split(",") if name.strip()]

    def measure(out: Output) -> Any:
        module = _module("tiers")
        return _each(
            out, data,
            lambda path, tick: module.run(path, presets=names, every=every, wrong=wrong, miss=miss, alarm=alarm, progress=tick),
        )

    _run(as_json, measure)


def speed(n: _Size = 10_000, durability: _Durability = "normal", as_json: _Json = False) -> None:
    """Measure writes, reads, size and start-up on this machine, with made-up texts.

    Example: tierkeep bench speed --n 10000 --durability full
    """
    if durability not in ("normal", "full"):
        raise typer.BadParameter("normal or full", param_hint="--durability")
    _run(as_json, lambda out: _module("speed").run(n, durability=durability))


def kill(trials: _Trials = 20, seed: _Seed = 1, as_json: _Json = False) -> None:
    """Kill a writing process again and again, and check that nothing it had stored is lost. Exit code 1 if it is.

    Example: tierkeep bench kill --trials 20
    """

    def measure(out: Output) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            totals: dict[str, int] = _module("kill").kill_trials(trials, Path(folder), seed)
        return {**totals, "ok": not (totals["lost"] or totals["unopenable"] or totals["verify_failed"])}

    _run(as_json, measure)


def route(data: _Data, as_json: _Json = False) -> None:
    """Measure which questions the router rules take for questions about a time, and what share each intent and tier gets.

    Example: tierkeep bench route --data my-chat.json
    """
    _run(as_json, lambda out: _each(out, data, lambda path, tick: _module("route").run(path, progress=tick)))


def gate(data: _Data, budget: _Light = None, share: _Share = 0.3, as_json: _Json = False) -> None:
    """Measure whether the sufficiency signal knows when evidence is missing; fitted on one half, reported on the other.

    Example: tierkeep bench gate --data my-chat.json --budget 600
    """

    def measure(out: Output) -> Any:
        budgets = budget or [600, 2048]
        return _each(out, data, lambda path, tick: _module("gate").run(path, budgets=budgets, share=share, progress=tick))

    _run(as_json, measure)


def _module(name: str) -> ModuleType:
    """Return a measuring module, loaded only when it is used.

    Raises:
        SettingsError: This installation does not have it.
    """
    full = f"tierkeep.evaluate.{name}"
    try:
        return import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        raise SettingsError(f"this installation cannot measure {name!r}") from error


def _check_embedder(name: str) -> None:
    if name != "none":
        raise InputError(f"there is no embedder {name!r} here; use none", field="embedder")


def _each(out: Output, paths: list[Path], measure: Callable[[Path, Callable[[int, int], None]], Any]) -> Any:
    """Return the report of the only file, or a list of reports by file."""
    reports = []
    for path in paths:
        with _ticking(out, path.name) as tick:
            reports.append(measure(path, tick))
    return reports[0] if len(reports) == 1 else {"runs": reports}


@contextmanager
def _ticking(out: Output, what: str) -> Iterator[Callable[[int, int], None]]:
    if out.as_json or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with Progress(console=out.err, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _run(as_json: bool, measure: Callable[[Output], Any]) -> None:
    out = Output(as_json=as_json)

    def action() -> int:
        report = measure(out)
        out.result(report, *_shown(report))
        return DONE if _passed(report) else NOTHING

    code = guarded(out, action)
    if code:
        raise typer.Exit(code)


def _passed(report: Any) -> bool:
    """Return whether no report says `"ok": false`; measurements without a pass mark always pass."""
    runs = report.get("runs", [report]) if isinstance(report, Mapping) else [report]
    return all(not isinstance(run, Mapping) or run.get("ok") is not False for run in runs)


def _shown(report: Any) -> list[RenderableType]:
    runs = report.get("runs", [report]) if isinstance(report, Mapping) else [report]
    shown: list[RenderableType] = []
    for run in runs:
        flat = {name: _figure(value) for name, value in run.items() if not isinstance(value, list) and name != "budgets"}
        shown += [facts(flat), *_transfers(run.get("budgets", {})), Text()]
    return shown[:-1]


def _transfers(budgets: Mapping[str, Any]) -> list[RenderableType]:
    """Return the table of a gate report: a row for each budget and direction; nothing for other reports."""
    if not budgets:
        return []
    columns = ("n", "threshold", "auc", "auc_95", "share", "recall", "precision")
    table = Table("budget", "fitted on, reported on", *columns)
    for budget, figures in budgets.items():
        for way in ("a_to_b", "b_to_a"):
            table.add_row(budget, way.replace("_", " "), *(_inner(figures[way].get(name, "")) for name in columns))
    return [table]


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_inner(inner)}" for name, inner in value.items())
    return str(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_figure(inner)}" for name, inner in value.items())
    return _figure(value) if not isinstance(value, list) else json.dumps(value)
