"""`tierkeep bench probe`: how much of what was said a memory gives back, without questions or labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tierkeep.cli.bench_run import FormatOption, each, embedder_of, module, runs_of, ticking
from tierkeep.cli.call import DONE, Call, command
from tierkeep.cli.output import facts, literal

_Data = Annotated[list[Path] | None, typer.Option("--data", metavar="PATH", help="Data sets to probe instead of a memory of yours.")]
_Most = Annotated[int, typer.Option("--probes", min=1, help="Probes at most: of the memory, or of each conversation of a data set.")]
_Seed = Annotated[int, typer.Option("--seed", help="Decides which messages are taken.")]
_Misses = Annotated[bool, typer.Option("--misses", help="Add the probes that failed, with their texts (to --json).")]
_Embedder = Annotated[
    str, typer.Option("--embedder", help="Embedder of the memory, the one that it is used with. Another one would index it anew.")
]


def attach(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "probe", by_session=False)(probe)


def probe(
    call: Call, data: _Data = None, most: _Most = 200, seed: _Seed = 1, misses: _Misses = False, embedder: _Embedder = "none",
    format: FormatOption = None,
) -> int:
    """Mask rare names, numbers and words in what was said, and see whether the memory gives them back in its ten best hits.

    A quality meter for your own memory; nothing is written to it. What it measures: docs/guides/measure-your-memory.md.

    Example: tierkeep bench probe --user ana

    Example: tierkeep bench probe --data my-chat.json --probes 100
    """
    made = embedder_of(embedder)
    if data:
        report = each(
            call.out, data,
            lambda path, tick: module("probe").of_data(
                path, embedder=made, format=format, most=most, seed=seed, misses=misses, progress=tick
            ),
        )  # fmt: skip
    else:
        options: dict[str, Any] = {"derive": "on_request", **({} if made is None else {"embedder": made})}
        with call.memory(**options) as memory, ticking(call.out, "probe") as tick:
            mine = memory.scope(tenant=call.tenant, user=call.user, agent=call.agent)
            report = module("probe").of_store(memory, mine, most=most, seed=seed, misses=misses, progress=tick)
    shown: list[RenderableType] = []
    for one in runs_of(report):
        shown += [*show(one), Text()]
    call.out.result(report, *shown[:-1])
    return DONE


def show(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return a report as a table of figures, with its scopes or kinds."""
    table = Table("", "probes", "came back", "95 %")
    for name, one in {**(report.get("by_scope") or {}), **(report.get("by_kind") or {})}.items():
        probes = one.get("probes", "")
        table.add_row(literal(name), str(probes), _percent(one["recovery"]), _ends(one["interval"]))
    table.add_row(Text("all", "bold"), str(report["probes"]), _percent(report["recovery"]), _ends(report["interval"]))
    if derived := report.get("derived"):
        table.add_row("in derived records", str(derived["probes"]), _percent(derived["recovery"]), _ends(derived["interval"]))
    told = {name: str(report[name]) for name in ("messages", "embedder", "seed", "version")}
    return [table, facts(told)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _ends(interval: list[float]) -> str:
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
