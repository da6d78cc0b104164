"""`tierkeep bench soak`: a simulated day of mixed load, and whether anything leaks, is lost, or reaches a caller as an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tierkeep import Memory
from tierkeep.cli.bench_run import JsonOption, module, run, ticking
from tierkeep.cli.output import Output, facts, literal
from tierkeep.errors import InputError

_Hours = Annotated[float, typer.Option("--hours", min=0.1, help="Simulated hours.")]
_Minutes = Annotated[float, typer.Option("--minutes", min=0.05, help="Real minutes that they may take.")]
_Users = Annotated[int, typer.Option("--users", min=1, help="Owners.")]
_Processes = Annotated[int, typer.Option("--processes", min=1, help="Worker processes; all but the first are killed now and then.")]
_Threads = Annotated[int, typer.Option("--threads", min=2, help="Threads in each; one of them runs async tasks.")]
_Seed = Annotated[int, typer.Option("--seed", help="Decides what is done, and who is killed when.")]
_Store = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="A new folder, or postgresql://…, to use; a temporary folder otherwise.")
]
_Http = Annotated[bool, typer.Option("--http/--no-http", help="Serve one owner over loopback HTTP too, where the MCP server is installed.")]


def attach(group: typer.Typer) -> None:
    """Add the command."""
    group.command("soak")(soak)


def soak(
    hours: _Hours = 24.0, minutes: _Minutes = 8.0, users: _Users = 200, processes: _Processes = 3, threads: _Threads = 3, seed: _Seed = 1,
    store: _Store = None, http: _Http = True, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Live through a day of mixed load in a few minutes. Exit code 1 when something leaks, is lost, or reaches a caller as an error.

    Example: tierkeep bench soak --hours 24 --minutes 8
    """

    def measure(out: Output) -> dict[str, Any]:
        if store is not None and _used(store):
            raise InputError(f"{store} is not empty; a soak forgets and erases, so give it a store of its own", field="store")
        with ticking(out, "soak") as tick:
            report: dict[str, Any] = module("soak").soak(
                store=store, hours=hours, minutes=minutes, users=users, processes=processes, threads=threads, seed=seed, http=http,
                progress=tick,
            )  # fmt: skip
        return report

    run(as_json, measure, show)


def _used(store: str) -> bool:
    """Return whether there is anything in a place that could be somebody's."""
    if "://" in store:
        with Memory.open(store, derive="on_request") as memory:
            return bool(memory.stats()["scopes"])
    place = Path(store)
    return any(place.iterdir()) if place.is_dir() else place.exists()


def show(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return a report as tables: what was done and how long it took, what was held, and what is wrong."""
    steps = Table("", "n", "p50 ms", "p95", "p99", "longest")
    for name, one in report["operations"].items():
        steps.add_row(name, f"{one['n']:,}", *(f"{one[key]:.1f}" for key in ("p50", "p95", "p99", "max")))
    held = Table("held", "first", "last", "most", "grown in the second half")
    for name, last in report["last"].items():
        for key, value in last.items():
            if key != "at":
                first, most = report["first"][name].get(key, 0.0), report["most"][name].get(key, value)
                grown = report["grown"].get(name, {}).get(key)
                shown = "" if grown is None else f"{grown:+.1f}"
                held.add_row(f"{name}: {key.replace('_mib', ', MiB')}", f"{first:.1f}", f"{value:.1f}", f"{most:.1f}", shown)
    told = {name: str(report[name]) for name in ("hours", "minutes", "users", "processes", "threads", "seed", "http", "kills", "owners",
                                                 "events")}  # fmt: skip
    told |= {"errors": str(report["errors"] or "none"), "refusals": str(report["refusals"] or "none")}
    wrong = [*report["wrong"], *report["leaks"], *report["error_messages"]]
    verdict = Text("Passed." if report["ok"] else "Failed:", "bold green" if report["ok"] else "bold red")
    return [steps, held, facts(told), verdict, *(literal(said) for said in wrong)]
