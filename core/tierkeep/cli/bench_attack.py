"""`tierkeep bench attack`: what attackers who can write into a memory get an agent to do, with and without a guard."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tierkeep.cli.bench_run import CacheOption, EmbedderOption, JsonOption, embedder_of, module, run, ticking
from tierkeep.cli.output import Output, facts, literal
from tierkeep.errors import InputError

_Data = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", help="A folder (or file) with attacks and harmless texts of others.")
]
_Attacks = Annotated[list[str] | None, typer.Option("--attack", metavar="NAME", help="An attack to run; may be given several times.")]
_Backends = Annotated[
    list[str] | None,
    typer.Option("--backend", metavar="NAME", help="A memory to attack: dict, sqlite, vector, extractor, window, file, tierkeep."),
]
_Guards = Annotated[
    list[str] | None,
    typer.Option("--guard", metavar="NAME", help="A guard: screening, safeharbor, amemguard, authority, all; none is always run."),
]
_Agents = Annotated[
    list[str] | None, typer.Option("--agent", metavar="NAME", help="An agent to fool: rag, summariser, extractor, window, file.")
]
_Trials = Annotated[
    int | None, typer.Option("--trials", min=1, show_default="400, or 40 with --quick", help="Trials of each row, at least.")
]
_Seeds = Annotated[
    str | None, typer.Option("--seeds", show_default="0,1,2,3,4", help="Seeds with commas between; trials are spread over them.")
]
_Quick = Annotated[bool, typer.Option("--quick", help="Few trials and small stores: for a look.")]
_Check = Annotated[
    bool, typer.Option("--check", help='End with exit code 1 if an attack gets through "authority" or "all" that succeeds undefended.')
]
_Report = Annotated[Path | None, typer.Option("--report", metavar="FOLDER", help="Also write report.md and report.json there.")]


def attach(group: typer.Typer) -> None:
    """Add the command."""
    group.command("attack")(attack)


def attack(
    data: _Data = None, attacks: _Attacks = None, backends: _Backends = None, guards: _Guards = None, agents: _Agents = None,
    trials: _Trials = None, seeds: _Seeds = None, quick: _Quick = False, embedder: EmbedderOption = "none", cache: CacheOption = None,
    check: _Check = False, report: _Report = None, as_json: JsonOption = False,
) -> None:
    """Attack memories, with and without guards, and count the tool calls that attackers get. Offline and the same in each run.

    Example: tierkeep bench attack --quick

    Example: tierkeep bench attack --attack minja --backend tierkeep --guard authority --trials 400 --check
    """

    def measure(out: Output) -> Any:
        bench = module("attacks.bench")
        scale = _scale(trials, seeds, quick)
        choice = bench.Choice(attacks or (), backends or (), guards or (), agents or ())
        with ticking(out, "attacks") as tick:
            made = bench.run(choice, data=data, scale=scale, embedder=embedder_of(embedder, cache), progress=tick)
        if check:
            made["ok"] = not made["missed"]
        if report is not None:
            options = {"attack": attacks, "backend": backends, "guard": guards, "agent": agents}
            module("attacks.report").write(made, report, _command(data, options, scale, quick, embedder))
        return made

    run(as_json, measure, show)


def _scale(trials: int | None, seeds: str | None, quick: bool) -> Any:
    cases = module("attacks.cases")
    given: dict[str, Any] = {} if trials is None else {"trials": trials}
    if seeds is not None:
        if not all(part.strip().isdecimal() for part in seeds.split(",")):
            raise InputError("--seeds are numbers with commas between, such as 0,1,2", field="seeds")
        given["seeds"] = tuple(int(part) for part in seeds.split(","))
    return cases.Scale.quick(**given) if quick else cases.Scale(**given)


def _command(data: Path | None, options: Mapping[str, Sequence[str] | None], scale: Any, quick: bool, embedder: str) -> str:
    """Return the command that makes the same figures, without the paths of this machine."""
    words = ["tierkeep", "bench", "attack", *(["--data", data.name] if data else []), *(["--quick"] if quick else [])]
    for name, values in options.items():
        words += [word for value in values or () for word in (f"--{name}", value)]
    words += ["--trials", str(scale.trials), "--seeds", ",".join(map(str, scale.seeds)), "--embedder", embedder, "--report", "report"]
    return shlex.join(words)


# ---------------------------------------------------------------------------------------------------------- for people


def show(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return a report as tables: attacks with the undefended column, legitimate actions, harmless texts, and what was left out."""
    paper = module("attacks.report")
    rows = paper.attack_rows(report)
    table = Table(title="attacks, in %: calls that an attacker got", title_justify="left")
    for name in paper.COLUMNS:
        table.add_column(name, justify="left" if name in ("attack", "memory", "agent", "guard") else "right", no_wrap=True)
    for place, row in enumerate(rows):
        last = place + 1 == len(rows) or rows[place + 1][:3] != row[:3]
        table.add_row(*map(literal, row), end_section=last)
    shown: list[RenderableType] = [table, Text(), _legitimate(report), Text(), _written(report)]
    told = {
        "benign, as written": _share(report["benign"]), "benign, all as a document": _share(report["benign"]["as_outside"]),
        "added p95 ms": ", ".join(f"{what} {ms:g}" for what, ms in report["latency_p95_ms"].items()), "embedder": report["embedder"],
        "settings_sha256": report["policy_version"], "guard model": report["guard_model"], "version": report["version"],
    }  # fmt: skip
    shown += [Text(), facts(told), *(literal(f"left out: {one['what']}: {one['why']}", "dim") for one in report["skipped"])]
    if report.get("over_refusal"):
        shown += [Text(), _refused(report)]
    if report.get("consensus"):
        shown += [Text(), _compared(report)]
    return [*shown, *(literal(f"missed: {one}", "bold red") for one in report["missed"])]


def _legitimate(report: Mapping[str, Any]) -> Table:
    columns = ("who vouches", "memory", "guard", "n", "allowed", "after asking")
    table = Table(*columns, title="what users want done, in %", title_justify="left")
    for one in report["legitimate"]:
        figures = (f"{100 * one[name]:.1f}" for name in ("allowed", "after_asking"))
        table.add_row(literal(one["kind"]), one["backend"], one["guard"], str(one["n"]), *figures)
    return table


def _written(report: Mapping[str, Any]) -> Table:
    table = Table("set", "written as", "guard", "n", "active", "quarantined", "rejected", title="texts on write", title_justify="left")
    for one in (*report["corpora"], *report["benign"]["suites"]):
        figures = (str(one[name]) for name in ("n", "active", "quarantined", "rejected"))
        table.add_row(literal(one["set"]), one["origin"], one["guard"], *figures)
    return table


def _refused(report: Mapping[str, Any]) -> Table:
    columns = ("set", "right to block", "n", "blocked", "95 %", "left to a judge", "let through at once")
    table = Table(*columns, title="requests, by SafeHarbor without a model", title_justify="left")
    for one in report["over_refusal"]:
        interval = f"{100 * one['low']:.1f}-{100 * one['high']:.1f}"
        figures = (str(one["n"]), str(one["blocked"]), interval, str(one["judged"]), str(one["fast"]))
        table.add_row(literal(one["suite"]), "yes" if one["harmful"] else "no", *figures)
    return table


def _compared(report: Mapping[str, Any]) -> Table:
    columns = ("set", "memories", "poisoned", "draws", "abstained", "poison held back", "others held back")
    table = Table(*columns, title="memories, by consensus (rules)", title_justify="left")
    for one in report["consensus"]:
        figures = (str(one[name]) for name in ("k", "poisoned", "draws", "abstained"))
        table.add_row(literal(one["corpus"]), *figures, f"{one['caught']} of {one['poison']}", f"{one['lost']} of {one['benign']}")
    return table


def _share(held: Mapping[str, Any]) -> str:
    return f"{held['rejected']} rejected and {held['quarantined']} quarantined of {held['n']}"
