"""`tierkeep add`: one text, standard input, or the chats and memories of whole files."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from tierkeep import Message, Settings
from tierkeep.cli.call import DONE, Call, command
from tierkeep.cli.output import counted, facts, literal
from tierkeep.errors import InputError
from tierkeep.evaluate.formats import READERS as BENCHMARK_READERS
from tierkeep.importers import READERS, ImportFile, Reader, ReadOptions, Tally, by_name, detect, memory_files
from tierkeep.importers import read as read_messages
from tierkeep.records import Receipt

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

_FORMATS = (*READERS, *BENCHMARK_READERS)
_BY_LIKENESS = (*BENCHMARK_READERS, *READERS)  # benchmarks' files are the more particular: they are recognised first
_BATCH = 500  # messages a transaction: few enough for a moving progress bar, many enough to be fast
_FILES = "Files"
_SHOWN = 6  # files that are named where more were left out

_Text = Annotated[str | None, typer.Argument(metavar="TEXT | -", help="What to remember; - reads standard input.")]
_Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="Chat export, memory file or folder of them; - reads standard input.", rich_help_panel=_FILES
    ),
]
_Role = Annotated[str | None, typer.Option("--role", help="Who said it: user, assistant, tool or system.")]
_Speaker = Annotated[str | None, typer.Option("--speaker", help="Name of who said it.")]
_At = Annotated[
    str | None, typer.Option("--at", help="When it was said, such as 2026-05-02; for files: where they do not say.")
]
_Format = Annotated[
    str | None,
    typer.Option(
        "--format", help=f"One of {', '.join(r.name for r in _FORMATS)}; else told by the file.", rich_help_panel=_FILES
    ),
]
_Encoding = Annotated[str, typer.Option("--encoding", help="Text encoding, such as utf-16.", rich_help_panel=_FILES)]
_Me = Annotated[
    str | None, typer.Option("--me", help="Which speaker of a transcript is the user.", rich_help_panel=_FILES)
]
_Zone = Annotated[
    str, typer.Option("--tz", help="Zone of times without one, such as Europe/Lisbon.", rich_help_panel=_FILES)
]
_DayFirst = Annotated[
    bool | None,
    typer.Option(
        "--day-first/--month-first", help="How to read 3/4/2026.", rich_help_panel=_FILES, show_default="by the file"
    ),
]
_Untrusted = Annotated[
    bool,
    typer.Option("--untrusted", help="Somebody else made the file: quote it, never trust it.", rich_help_panel=_FILES),
]
_SkipLong = Annotated[
    bool, typer.Option("--skip-long", help="Leave messages out that are too long.", rich_help_panel=_FILES)
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read the files and report; store nothing.", rich_help_panel=_FILES)
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]


def attach(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "add")(add)


def add(
    call: Call,
    text: _Text = None,
    file: _Files = None,
    role: _Role = None,
    speaker: _Speaker = None,
    at: _At = None,
    format: _Format = None,
    encoding: _Encoding = "utf-8",
    me: _Me = None,
    tz: _Zone = "UTC",
    day_first: _DayFirst = None,
    untrusted: _Untrusted = False,
    skip_long: _SkipLong = False,
    dry_run: _DryRun = False,
    quiet: _Quiet = False,
) -> int:
    """Remember a text, or the chats of a file. A file is checked to its end before any of it is stored.

    Example: tierkeep add "I moved to Lisbon in May." --at 2026-05-02 --user ana

    Example: tierkeep add --file "WhatsApp Chat with Bo.txt" --me Ana --user ana

    Example: tierkeep add --file workspace/MEMORY.md --file workspace/memory --user ana
    """
    if (text is None) == (not file):
        raise InputError("say what to remember: a text, or - for standard input, or --file FILE (and not both)")
    if file:
        if role or speaker:
            raise InputError("--role and --speaker are for a text; the messages of a file bring their own")
        options = ReadOptions(
            me=me,
            tz=_zone(tz),
            day_first=day_first,
            at=at,
            untrusted=untrusted,
            max_text=Settings().limits.text_chars,
            skip_long=skip_long,
        )
        chosen = by_name(format, _FORMATS) if format else None
        imports = [entry for name in file for entry in _imports(call, name, encoding, chosen, options)]
        return _add_files(call, imports, dry_run=dry_run)
    return _add_text(call, _typed(text or "", encoding), role=role, speaker=speaker, at=at)


# ----------------------------------------------------------------------------------------------------------- a text


def _typed(text: str, encoding: str) -> str:
    if text == "-":
        raw = sys.stdin.buffer.read()
        try:
            return raw.decode(encoding).removeprefix("\ufeff").strip("\n")
        except (UnicodeDecodeError, LookupError) as error:
            raise InputError(f"standard input is not {encoding} text; pass --encoding with the one it has") from error
    if os.path.isfile(text):
        raise InputError(
            f"{text!r} is the name of a file. To remember what is in it: tierkeep add --file {shlex.quote(text)}; "
            f"to remember these words themselves: echo {shlex.quote(text)} | tierkeep add -"
        )
    return text


def _add_text(call: Call, text: str, *, role: str | None, speaker: str | None, at: str | None) -> int:
    with call.mine(create=True) as mine:
        receipt = mine.add(text, role=role, speaker=speaker, at=at)
    call.out.result(receipt.model_dump(mode="json"), *_receipt_lines(receipt))
    return DONE


def _receipt_lines(receipt: Receipt) -> list[Any]:
    if receipt.ids:
        lines = [Text("Remembered."), facts({"id": ", ".join(receipt.ids), "session": receipt.session})]
    else:
        lines = [Text("Nothing new was stored.")]
    lines += [literal(f"not stored: {skipped.reason} {skipped.id}".rstrip(), "dim") for skipped in receipt.skipped]
    return lines + [literal(f"note: {note}", "dim") for note in receipt.notes]


# ------------------------------------------------------------------------------------------------------------ files


@dataclass(slots=True)
class _Import:
    """One file on its way in.

    Attributes:
        source: The file.
        reader: Its format.
        options: What the file does not say.
        tally: What reading it to the end found.
        stored: Events that were new; a message with tool calls makes several.
        skipped: Messages that were not stored, by reason.
        notes: What the memory had to say about them.
    """

    source: ImportFile
    reader: Reader
    options: ReadOptions
    tally: Tally = field(default_factory=Tally)
    stored: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "file": str(self.source.path),
            "format": self.reader.name,
            "messages": self.tally.messages,
            "sessions": len(self.tally.sessions),
            "stored": self.stored,
            "skipped": dict(self.skipped),
            "notes": self.all_notes(),
        }

    def all_notes(self) -> list[str]:
        """Return everything worth knowing about this import, each once."""
        told = self.tally.lines() + list(self.notes)
        if self.tally.undated:
            told.append(
                f"{counted(self.tally.undated, 'message')} without a date count as said now; pass --at to date them"
            )
        if self.tally.people and self.options.me is None and not self.options.untrusted:
            names = ", ".join(name for name, _ in self.tally.people.most_common(6))
            told.append(f"nobody counts as the user; pass --me NAME to mark your own messages (speakers: {names})")
        return list(dict.fromkeys(told))


def _add_files(call: Call, imports: Sequence[_Import], *, dry_run: bool) -> int:
    with _progress(call, "reading", len(imports)) as advance:
        for entry in imports:
            for _ in read_messages(entry.source, entry.reader, entry.options, entry.tally):
                pass
            advance(1)
    if not dry_run:
        with call.mine(create=True, bound=False) as mine, _progress(call, "storing", _total(imports)) as advance:
            try:
                for entry in imports:
                    for count in _store(entry, mine, call.session):
                        advance(count)
            except KeyboardInterrupt:
                stored = counted(sum(entry.stored for entry in imports), "event")
                call.out.remark(f"{stored} stored so far; the same command goes on from there, storing nothing twice")
                raise
    call.out.result({"files": [e.report() for e in imports], "dry_run": dry_run}, *_import_lines(imports, dry_run))
    return DONE


def _total(imports: Sequence[_Import]) -> int:
    return sum(entry.tally.messages for entry in imports)


def _store(entry: _Import, mine: ScopedMemory, session: str | None) -> Iterator[int]:
    """Store a file that was read to its end before; yield the number of messages of each transaction."""
    for name, messages in _batches(entry, session):
        receipt = mine.add(messages, session=name)
        entry.stored += len(receipt.ids)
        entry.skipped += Counter(skipped.reason for skipped in receipt.skipped)
        entry.notes.update(dict.fromkeys(receipt.notes))
        yield len(messages)


def _batches(entry: _Import, session: str | None) -> Iterator[tuple[str, list[Message]]]:
    """Yield runs of messages of one session, each at most `_BATCH` long."""
    current, batch = "", list[Message]()
    for imported in read_messages(entry.source, entry.reader, entry.options):
        name = session or imported.session
        if batch and (name != current or len(batch) >= _BATCH):
            yield current, batch
            batch = []
        current = name
        batch.append(imported.message)
    if batch:
        yield current, batch


def _import_lines(imports: Sequence[_Import], dry_run: bool) -> list[Any]:
    lines: list[Any] = []
    for entry in imports:
        did = "could be stored" if dry_run else f"{counted(entry.stored, 'new event')} stored"
        lines.append(
            literal(
                f"{entry.source.path}: {counted(entry.tally.messages, 'message')} "
                f"in {counted(len(entry.tally.sessions), 'session')} "
                f"({entry.reader.name}), {did}"
            )
        )
        lines += [literal(f"  {count} not stored: {why}", "dim") for why, count in sorted(entry.skipped.items())]
        lines += [literal(f"  note: {note}", "dim") for note in islice(entry.all_notes(), 12)]
    return lines


# ----------------------------------------------------------------------------------------------------------- inputs


def _imports(call: Call, name: str, encoding: str, chosen: Reader | None, options: ReadOptions) -> Iterator[_Import]:
    """Yield the files that a name stands for: itself, or the memory files of a folder."""
    folder = Path(name)
    if name == "-" or not folder.is_dir():
        source = _source(name, encoding)
        yield _Import(source, chosen or detect(source, _BY_LIKENESS, shown=_FORMATS), options)
        return
    sources, left = memory_files(folder, encoding)
    if left:
        shown = ", ".join(left[:_SHOWN]) + (" …" if len(left) > _SHOWN else "")
        call.out.remark(f"{name}: not memory files, and left out: {shown} (name one with --file to read it all the same)")
    for source in sources:
        yield _Import(source, chosen or by_name("markdown"), replace(options, may_be_empty=True))


def _source(name: str, encoding: str) -> ImportFile:
    if name == "-":
        return ImportFile(Path("stdin"), encoding=encoding, data=sys.stdin.buffer.read())
    return ImportFile(Path(name), encoding=encoding)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"unknown time zone {name!r}: use a name such as Europe/Lisbon or UTC", field="tz") from error


@contextmanager
def _progress(call: Call, what: str, total: int) -> Iterator[Any]:
    """Yield a function that moves a bar on standard error; it does nothing where nobody watches."""
    if call.out.quiet or call.out.as_json or not sys.stderr.isatty():
        yield lambda count: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=call.out.err, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
