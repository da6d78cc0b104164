"""How results reach people and programs: literal text that cannot drive a terminal, or one JSON document.

Stored text may come from anybody. It is printed as it is, without rich's markup, and without the characters that move a
cursor, hide text or turn its direction.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tierkeep import TierkeepError
from tierkeep.errors import ImportFormatError, InputError, StoreUnavailable
from tierkeep.records import Answer, Evidence, EvidenceItem, SkillCall, Verdict

#: C0 and C1 controls but tab and line feed; overrides of direction; invisible characters that hide text.
_DRIVES_TERMINAL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n|\r|\u0085|\u2028|\u2029")
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SHOWN_CHARS = 600


def clean(text: str) -> str:
    """Return the text as it may reach a terminal: line ends as line feeds, no control or direction characters."""
    return _DRIVES_TERMINAL.sub("", _LINE_ENDS.sub("\n", text)).replace("\t", "    ")


def literal(text: str, style: str = "") -> Text:
    """Return the text as a renderable that rich shows as it is."""
    return Text(clean(text), style=style)


def one_line(text: str, limit: int = _SHOWN_CHARS) -> Text:
    """Return the text on one line, cut at `limit` characters: stored text then never poses as a line of ours."""
    line = " ".join(clean(text[: 2 * limit]).split())
    return Text(line if len(line) <= limit and len(text) <= 2 * limit else f"{line[:limit].rstrip()} …")


def day_and_time(at: str) -> Text:
    """Return an ISO time to the minute."""
    return Text(clean(at[:16].replace("T", " ")))


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Return JSON in which the characters that drive terminals are escaped."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 event, 2 events."""
    return f"{number} {one if number == 1 else many or one + 's'}"


class Output:
    """Where a command's results and errors go.

    Args:
        as_json: Print one JSON document on standard output, and errors as JSON on standard error.
        quiet: Leave out remarks and progress.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._out = Console(file=sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=False)
        self.err = Console(file=sys.stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def result(self, document: Any, *people: RenderableType) -> None:
        """Print the command's result: the document for programs, the renderables for people."""
        if self.as_json:
            self.line(to_json(document))
            return
        for renderable in people:
            self._out.print(renderable)

    def line(self, text: str) -> None:
        """Print a line on standard output as it is, unwrapped."""
        sys.stdout.write(text + "\n")

    def remark(self, text: str) -> None:
        """Tell people something on standard error."""
        if not (self.as_json or self.quiet):
            self.err.print(literal(text, "dim"))

    def error(self, error: TierkeepError | str, *, kind: str = "") -> None:
        """Print an error on standard error."""
        name = kind or type(error).__name__
        if not self.as_json:
            self.err.print(Text.assemble(("Error: ", "bold red"), literal(str(error))))
            return
        report: dict[str, Any] = {"type": name, "message": str(error)}
        if isinstance(error, ImportFormatError):
            report |= {"path": error.path, "line": error.line}
        sys.stderr.write(to_json({"error": report}, indent=None) + "\n")


def write_lines(output: Path, lines: Iterator[str], *, force: bool) -> int:
    """Write the lines beside the file, then put them in its place: a failure leaves an older export as it was.

    The file beside it has a name that nobody can foresee, so that no link can lie in wait there, and only its owner may read it.
    """
    if os.path.lexists(output) and not force:
        raise InputError(f"{output} exists already; pass --force to replace it", field="output")
    count = 0
    beside: str | None = None
    try:
        descriptor, beside = tempfile.mkstemp(prefix=".tierkeep-", suffix=".part", dir=output.parent)
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
        os.replace(beside, output)
        beside = None
    except OSError as error:
        raise StoreUnavailable(f"{output} cannot be written: {error.strerror or error}", path=str(output)) from error
    finally:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)
    return count


# ------------------------------------------------------------------------------------------------------ renderables


def rows(columns: Iterable[str], entries: Iterable[Iterable[RenderableType]]) -> Table:
    """Return a plain table. Its last column takes the room that is left."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(columns)
    for index, name in enumerate(names):
        table.add_column(name, overflow="fold", ratio=1 if index == len(names) - 1 else None)
    for entry in entries:
        table.add_row(*entry)
    return table


def facts(values: Mapping[str, str]) -> Table:
    """Return names and values, one a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, literal(value))
    return table


def source_of(item: EvidenceItem) -> Text:
    """Return where a memory comes from: its id, conversation and origin, in one dim line."""
    parts = [f"id {item.id}"]
    if item.session:
        parts.append(f"session {item.session}")
    parts.append(item.origin.value)
    if item.sources not in ((), (item.id,)):
        parts.append(f"from {', '.join(item.sources[:3])}{' …' if len(item.sources) > 3 else ''}")
    return Text(clean(" · ".join(parts)), style="dim")


def evidence_table(evidence: Evidence, limit: int | None = None) -> list[RenderableType]:
    """Return the memories behind an answer with their dates and sources, and the lines worked out from them.

    Args:
        evidence: What to show.
        limit: Show only so many memories, the best ones, in their reading order.
    """
    items = evidence.items
    if limit is not None and len(items) > limit:
        best = sorted(range(len(items)), key=lambda index: (-items[index].score, index))[:limit]
        items = tuple(items[index] for index in sorted(best))
    head = (
        f"Evidence: {counted(len(evidence.items), 'memory', 'memories')}, {evidence.tokens} of {evidence.budget} tokens"
    )
    head += f" ({evidence.tokenizer}), tier {evidence.tier or '-'}{', partial' if evidence.partial else ''}"
    shown: list[RenderableType] = [Text(clean(head), style="bold")]
    if items:
        entries = (
            (
                day_and_time(item.at),
                one_line(item.speaker or item.flag.lower() or "-", 40),
                Text.assemble(one_line(item.text), "\n", source_of(item)),
            )
            for item in items
        )
        shown.append(rows(("when", "who", "what"), entries))
    shown += [Text.assemble(("worked out: ", "dim"), one_line(entry)) for entry in evidence.computed]
    if len(items) < len(evidence.items):
        shown.append(Text(f"and {len(evidence.items) - len(items)} more: tierkeep recall shows all of them", "dim"))
    if evidence.note:
        shown.append(literal(evidence.note, "dim"))
    return shown


def steps_table(answer: Answer) -> Table:
    """Return what each attempt planned, found, answered and cost."""
    entries = []
    for number, step in enumerate(answer.trace, start=1):
        verdict = step.verdict
        said = (
            "-" if verdict is None else f"{'accepted' if verdict.accept else 'refused'} ({verdict.support:.0%} covered)"
        )
        if verdict is not None and (failed := _failed(verdict)):
            said += f", fails {failed}"
        if verdict is not None and verdict.rewrite:
            said += f"; looks up: {verdict.rewrite}"
        if verdict is not None and verdict.reasons:
            said += f": {'; '.join(verdict.reasons)}"
        entries.append(
            (
                str(number),
                literal(step.plan.tier),
                literal(f"{step.plan.intent} ({step.plan.source}) {step.plan.reason}".strip()),
                f"{len(step.evidence.items)} items, {step.evidence.tokens}/{step.evidence.budget} tokens",
                literal(step.draft.source if step.draft else "-"),
                literal("; ".join(_skill(made) for made in step.skills) or "-"),
                f"{step.usage.ms:.1f}",
                literal(said),
            )
        )
    return rows(("step", "tier", "plan", "evidence", "answer", "model skills", "ms", "verdict"), entries)


def _failed(verdict: Verdict) -> str:
    """Return the axes that failed."""
    return ", ".join(axis for axis in ("relevance", "faithfulness", "completeness") if getattr(verdict, axis) == "fail")


def _skill(made: SkillCall) -> str:
    """Return one use of a model in a few words: "judge: model, 812+9 tokens", and what the model says of its work."""
    note = f" ({made.note})" if made.note else ""
    stats = f" [{', '.join(f'{name} {value}' for name, value in made.stats.items())}]" if made.stats else ""
    return f"{made.skill}: {made.answered_by}{note}, {made.tokens_in}+{made.tokens_out} tokens{stats}"
