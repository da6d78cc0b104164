"""What the commands of `tierkeep bench` share: data options, progress, and how a report is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from tierkeep.cli.call import DONE, NOTHING, guarded
from tierkeep.cli.embedder import NAMES, embedder_from
from tierkeep.cli.output import Output, facts
from tierkeep.errors import SettingsError

if TYPE_CHECKING:
    from tierkeep import Embedder

DataOption = Annotated[
    list[Path],
    typer.Option(
        "--data", metavar="PATH",
        help="A data set: a file in the generic format tierkeep-bench/1, or a set as its authors publish it (file or folder); may be given "
        "several times.",
    ),
]  # fmt: skip
FormatOption = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help="Format of the data, when its content does not tell.")
]
EmbedderOption = Annotated[str, typer.Option("--embedder", help=f"Embedder to measure with: {NAMES}.")]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="FILE", help="Keep vectors in this file, so that the next run need not make them again.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
#: Called with (done, in all).
Tick = Callable[[float, float], None]
#: How a report is shown to people.
Show = Callable[[Mapping[str, Any]], list[RenderableType]]


def embedder_of(name: str, cache: Path | None = None) -> Embedder | None:
    """Return the embedder of a name, None for "none".

    Args:
        name: As `tierkeep.cli.embedder` knows it.
        cache: File that keeps its vectors for the next run; None for none.

    Raises:
        InputError: There is no such embedder.
    """
    made = embedder_from(name)
    if made is None or cache is None:
        return made
    from tierkeep.models.embedding_cache import CachedEmbedder

    return CachedEmbedder(made, cache)


def module(name: str) -> ModuleType:
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


def each(out: Output, paths: list[Path], measure: Callable[[Path, Tick], Any]) -> Any:
    """Return the report of the only data set, or a list of reports."""
    reports = []
    for path in paths:
        with ticking(out, path.name) as tick:
            reports.append(measure(path, tick))
    return reports[0] if len(reports) == 1 else {"runs": reports}


@contextmanager
def ticking(out: Output, what: str) -> Iterator[Tick]:
    """Show a progress bar to people at a terminal."""
    if out.as_json or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with Progress(console=out.err, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def run(as_json: bool, measure: Callable[[Output], Any], show: Show | None = None) -> None:
    """Measure, print the report, and end with its exit code.

    Args:
        as_json: Print one JSON document.
        measure: Makes the report.
        show: How one report is shown to people; as names and figures otherwise.
    """
    out = Output(as_json=as_json)

    def action() -> int:
        report = measure(out)
        shown: list[RenderableType] = []
        for one in runs_of(report):
            shown += [*(show or figures)(one), Text()]
        out.result(report, *shown[:-1])
        return DONE if _passed(report) else NOTHING

    code = guarded(out, action)
    if code:
        raise typer.Exit(code)


def runs_of(report: Any) -> list[Mapping[str, Any]]:
    """Return the reports of a run over one data set or several."""
    found = report.get("runs", [report]) if isinstance(report, Mapping) else [report]
    return [one for one in found if isinstance(one, Mapping)]


def figures(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return a report as names and figures, one a line; lists are left to `--json`."""
    flat = {name: _figure(value) for name, value in report.items() if not isinstance(value, list) and name != "budgets"}
    return [facts(flat), *_transfers(report.get("budgets", {}))]


def _passed(report: Any) -> bool:
    """Return whether no report says `"ok": false`; measurements without a pass mark always pass."""
    return all(one.get("ok") is not False for one in runs_of(report))


def _transfers(budgets: Mapping[str, Any]) -> list[RenderableType]:
    """Return the table of a gate report: a row for each budget and direction; nothing for other reports."""
    if not budgets:
        return []
    columns = ("n", "threshold", "auc", "auc_95", "share", "recall", "precision")
    table = Table("budget", "fitted on, reported on", *columns)
    for budget, of in budgets.items():
        for way in ("a_to_b", "b_to_a"):
            table.add_row(budget, way.replace("_", " "), *(_inner(of[way].get(name, "")) for name in columns))
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
