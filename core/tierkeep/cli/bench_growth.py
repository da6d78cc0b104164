"""`tierkeep bench growth`: what a store costs as it grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from tierkeep.cli.bench_run import JsonOption, module, run, ticking
from tierkeep.cli.output import facts

_Events = Annotated[str, typer.Option("--events", metavar="N,N,…", help="Sizes of the store of many scopes.")]
_Scopes = Annotated[int, typer.Option("--scopes", min=1, help="Scopes that the largest of them has.")]
_One = Annotated[int, typer.Option("--one", min=0, help="Largest size of a store that is a single scope; 0 for none.")]
_Vectors = Annotated[int, typer.Option("--vectors", min=0, help="Numbers in a made-up vector of each message, such as 384.")]
_Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="FOLDER", help="Keep the stores here, to go on with; a temporary folder otherwise.")
]
_Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the figures into this PNG file.")]
_SHOWN = (
    "events", "scopes", "add_one_p50_ms", "add_batch_per_s", "recall_p50_ms", "recall_p95_ms", "first_touch_p50_ms", "open_to_answer_ms",
    "disk_bytes_by_event", "rss_touched_mb", "rss_bounded_mb",
)  # fmt: skip


def attach(group: typer.Typer) -> None:
    """Add the command."""
    group.command("growth")(growth)


def growth(
    events: _Events = "1000,10000,100000", scopes: _Scopes = 100, one: _One = 100_000, vectors: _Vectors = 0, folder: _Folder = None,
    plot: _Plot = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Measure what adds, recalls, opening, disk and memory cost as a store grows, with made-up texts.

    Example: tierkeep bench growth --events 1000,10000,100000,1000000 --scopes 1000 --one 100000 --folder growth --plot growth.png
    """
    try:
        sizes = [int(part) for part in events.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise typer.BadParameter("numbers of events with commas between, such as 1000,10000", param_hint="--events")

    def measure(out: Any) -> Any:
        with ticking(out, "growth") as tick:
            return module("growth").run(sizes, scopes=scopes, one=one, dimension=vectors, folder=folder, plot=plot, progress=tick)

    run(as_json, measure, _show)


def _show(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return a table of both stores, a row for each size, and what is promised."""
    table = Table(*(name.replace("_", " ") for name in _SHOWN))
    for stage in [*report["many_scopes"], *report["one_scope"]]:
        table.add_row(*(f"{stage[name]:,.5g}" if isinstance(stage[name], float) else f"{stage[name]:,}" for name in _SHOWN))
    return [table, facts({name: str(value) for name, value in {**report["floors"], "machine": report["machine"]}.items()})]
