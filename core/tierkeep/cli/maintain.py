"""The commands `maintain` and `index`: derive what presets with records of their own have not come to; make missing vectors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import Progress as Bar
from rich.text import Text

from tierkeep.cli.call import DONE, NOTHING, Call, command
from tierkeep.cli.embedder import NAMES
from tierkeep.cli.model import BaseUrl, EmbedderName, Model, Preset, chat_model, embedder, indexed
from tierkeep.cli.output import Output, counted
from tierkeep.errors import InputError
from tierkeep.records import MaintainReport

_Deadline = Annotated[float | None, typer.Option("--deadline", min=0.0, help="Seconds after which to leave the rest for later.")]


def attach(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "maintain", by_session=False)(maintain)
    command(app, "index", by_session=False)(index)


def maintain(call: Call, deadline: _Deadline = None, model: Model = "", base_url: BaseUrl = "", preset: Preset = "hymem") -> int:
    """Derive records (key sentences, facts) from everything that was said, unfinished conversations included.

    Exit code 1 when something is still waiting.

    Example: tierkeep maintain --user ana --preset hymem --model qwen3 --base-url http://127.0.0.1:8000/v1
    """
    with call.mine(preset=preset, chat=chat_model(model, base_url), derive="on_request") as mine, _ticking(call.out) as tick:
        report = mine.maintain(deadline_s=deadline, progress=lambda progress: tick(progress.done, progress.total))
    call.out.result(report.model_dump(mode="json"), *_said(report))
    return NOTHING if report.pending or report.failed else DONE


def index(call: Call, embedder_name: EmbedderName = "minilm", base_url: BaseUrl = "") -> int:
    """Make the vectors that are missing, and drop those of an embedder that was used before. Recall with the same --embedder uses them.

    Exit code 1 when some are still missing.

    Example: tierkeep index --user ana --embedder minilm
    """
    made = embedder(embedder_name, base_url)
    if made is None:
        raise InputError(f"say which embedder makes the vectors: {NAMES}", field="embedder")
    with call.mine(embedder=made, derive="on_request") as mine, indexed(mine, call.out, tidy=True) as report:
        said = f"Made vectors of {counted(report.vectors, 'event')}." if report.vectors else "No vector was missing."
        call.out.result({"embedder": made.identity, **report.model_dump(mode="json")}, Text(said))
    return NOTHING if report.vectors_missing else DONE


def _said(report: MaintainReport) -> list[Text]:
    lines = [Text(f"Read {counted(report.spans, 'unit')}; {counted(len(report.records), 'record')} added or changed.")]
    if not report.spans and not report.records and not report.pending:
        lines = [Text("Nothing was waiting to be derived.")]
    if report.by_rules:
        told = f"{counted(report.by_rules, 'unit')} read by the rules, because the model failed; they are not read again."
        lines.append(Text(told, "bold"))
    if report.usage.calls:
        calls = counted(sum(report.usage.calls.values()), "model call")
        lines.append(Text(f"It took {calls}, {report.usage.tokens_in} tokens in and {report.usage.tokens_out} out."))
    if report.pending:
        lines.append(Text(f"{counted(report.pending, 'event')} still waiting: run it again.", "bold"))
    if report.failed:
        lines.append(Text(f"{counted(report.failed, 'unit')} gave nothing that could be stored; the log says why.", "bold red"))
    return lines


@contextmanager
def _ticking(out: Output) -> Iterator[Callable[[int, int], None]]:
    if out.as_json or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with Bar(console=out.err, transient=True) as bar:
        task = bar.add_task("deriving", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
