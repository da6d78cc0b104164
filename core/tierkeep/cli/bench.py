"""`tierkeep bench`: measurements on data that the user brings, and on this machine.

Evidence recall, fetching data and the probe have modules of their own beside this one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from tierkeep.cli import bench_attack, bench_fetch, bench_growth, bench_probe, bench_recall, bench_soak, bench_tune
from tierkeep.cli.bench_run import DataOption, FormatOption, JsonOption, each, module, run, ticking
from tierkeep.cli.output import Output, facts, literal, rows

_AnyBudget = Annotated[int | None, typer.Option("--budget", min=1, help="Tokens of evidence; by tier otherwise.")]
_Trials = Annotated[int, typer.Option("--trials", min=1, help="How often a writer is killed, over all paths and stores.")]
_Seed = Annotated[int, typer.Option("--seed", help="Decides the moments of the kills.")]
_Durability = Annotated[
    str, typer.Option("--durability", help='"normal" survives the death of the process, "full" a power cut too: an fsync for each write.')
]
_Light = Annotated[
    list[int] | None, typer.Option("--budget", min=1, help="Tokens of light evidence; may be given several times. 600 and 2048 otherwise.")
]
_Share = Annotated[float, typer.Option("--share", min=0.01, max=0.99, help="Share of the questions that the fitted threshold escalates.")]
_Vectors = Annotated[int, typer.Option("--vectors", min=0, help="Numbers in a made-up vector of each message, such as 384.")]
_Size = Annotated[int, typer.Option("--n", min=1, help="Events in the memory.")]


def attach(app: typer.Typer) -> None:
    """Add the commands of this module and of those beside it."""
    about = "Measure recall, attacks, speed, growth, dates, crash safety, routing and escalation; fetch data sets."
    group = typer.Typer(no_args_is_help=True, help=about)
    bench_recall.attach(group)
    bench_probe.attach(group)
    bench_fetch.attach(group)
    bench_tune.attach(group)
    bench_attack.attach(group)
    bench_growth.attach(group)
    bench_soak.attach(group)
    group.command("speed")(speed)
    group.command("embed")(embed)
    group.command("dates")(dates)
    group.command("kill")(kill)
    group.command("tiers")(tiers)
    group.command("route")(route)
    group.command("gate")(gate)
    app.add_typer(group, name="bench")


def dates(data: DataOption, budget: _AnyBudget = None, format: FormatOption = None, as_json: JsonOption = False) -> None:
    """Measure how many questions about a time are answered with the right one.

    Example: tierkeep bench dates --data my-chat.json
    """

    def measure(out: Output) -> Any:
        return each(out, data, lambda path, tick: module("dates").run(path, budget=budget, format=format, progress=tick))

    run(as_json, measure)


def tiers(
    data: DataOption,
    preset: Annotated[str, typer.Option("--presets", help="Names, with commas between.")] = "memflow,hymem,dmem,auto",
    every: Annotated[int, typer.Option("--every", min=1, help="Take each n-th question only.")] = 1,
    wrong: Annotated[float, typer.Option("--wrong", min=0, max=1, help="How often incomplete evidence is answered, wrongly.")] = 0.0,
    miss: Annotated[float, typer.Option("--miss", min=0, max=1, help="Share of wrong answers that the judge passes.")] = 0.0,
    alarm: Annotated[float, typer.Option("--alarm", min=0, max=1, help="Share of right answers that the judge fails.")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Simulate the presets with a model that answers right exactly when the evidence was in front of it: tokens, calls, escalations.

    Example: tierkeep bench tiers --data my-chat.json --presets memflow,auto
    """
    names = [name.strip() for name in preset.split(",") if name.strip()]

    def measure(out: Output) -> Any:
        simulate = module("tiers").run
        return each(
            out, data, lambda path, tick: simulate(path, presets=names, every=every, wrong=wrong, miss=miss, alarm=alarm, progress=tick)
        )

    run(as_json, measure)


def speed(n: _Size = 10_000, durability: _Durability = "normal", vectors: _Vectors = 0, as_json: JsonOption = False) -> None:
    """Measure writes, reads, size and start-up on this machine, with made-up texts.

    Example: tierkeep bench speed --n 10000 --vectors 384
    """
    if durability not in ("normal", "full"):
        raise typer.BadParameter("normal or full", param_hint="--durability")
    run(as_json, lambda out: module("speed").run(n, durability=durability, dimension=vectors))


def embed(
    data: Annotated[Path | None, typer.Option("--data", help="A data set, or one text a line; made-up texts otherwise.")] = None,
    texts: Annotated[int, typer.Option("--texts", min=1, help="How many of them.")] = 256,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often all are embedded.")] = 5,
    precision: Annotated[str, typer.Option("--precision", help="int8 or fp32.")] = "int8",
    as_json: JsonOption = False,
) -> None:
    """Measure texts a second of the local encoder, of bare onnxruntime with the same model, and of chromadb's default where it is.

    Example: tierkeep bench embed --texts 512
    """
    if precision not in ("int8", "fp32"):
        raise typer.BadParameter("int8 or fp32", param_hint="--precision")
    run(as_json, lambda out: module("embedding").run(data, texts=texts, rounds=rounds, precision=precision))


def kill(
    trials: _Trials = 100, seed: _Seed = 1,
    paths: Annotated[str, typer.Option("--paths", help="Write paths, with commas between; all otherwise.")] = "",
    store: Annotated[
        list[str] | None,
        typer.Option("--store", help="sqlite, postgres (a server of its own, also killed), postgresql://… (yours); several times."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Kill writers on every write path, and compare each store with what was acknowledged. Exit code 1 when one is not as it must be.

    Example: tierkeep bench kill --trials 100 --paths add,forget,migrate --store sqlite
    """

    def measure(out: Output) -> Any:
        killing = module("kill")
        names = [name.strip() for name in paths.split(",") if name.strip()] or list(killing.PATHS)
        with tempfile.TemporaryDirectory() as folder, ticking(out, "kills") as tick:
            return killing.kill_trials(
                trials, Path(folder), seed, paths=names, stores=store or ["sqlite"], told=lambda done, what: tick(done, trials)
            )

    run(as_json, measure, _kills)


def _kills(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return the table of a kill report, and what was found."""
    figures = ("trials", "inside", "acknowledged", "lost", "unopenable", "verify_failed", "differs", "unfinished")
    short = ("trials", "inside", "acked", "lost", "shut", "broken", "differs", "astray")
    entries = [[str(row[name]) for name in ("path", "store", "killed", *figures)] for row in report["rows"]]
    table = rows(("path", "store", "killed", *short), entries)
    found = [f"{row['path']}, {row['store']}: {text}" for row in report["rows"] for text in row["details"]]
    return [table, facts({name: str(report[name]) for name in (*figures, "ok")}), *map(literal, found)]


def route(data: DataOption, as_json: JsonOption = False) -> None:
    """Measure which questions the router rules take for questions about a time, and what share each intent and tier gets.

    Example: tierkeep bench route --data my-chat.json
    """
    run(as_json, lambda out: each(out, data, lambda path, tick: module("route").run(path, progress=tick)))


def gate(data: DataOption, budget: _Light = None, share: _Share = 0.3, as_json: JsonOption = False) -> None:
    """Measure whether the sufficiency signal knows when evidence is missing; fitted on one half, reported on the other.

    Example: tierkeep bench gate --data my-chat.json --budget 600
    """

    def measure(out: Output) -> Any:
        budgets = budget or [600, 2048]
        return each(out, data, lambda path, tick: module("gate").run(path, budgets=budgets, share=share, progress=tick))

    run(as_json, measure)
