"""Text transcripts: lines that begin with a speaker, often with a date in front; messengers' exports; Markdown chats.

Lines that begin no message belong to the message before them. A file has one form, that of its first message; so a
dated chat in which somebody writes "Note: …" stays whole. A line that may be another's words is never given to somebody
in silence: it becomes a message of its own or stays where it is, counts as imported text either way, and is reported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tierkeep.importers.reader import ROLES, Found, Place, ReadOptions, Tally
from tierkeep.importers.source import ImportFile
from tierkeep.importers.transcript_lines import Header, Kind, day_line, has_day, header, numeric_day, quoted_header
from tierkeep.importers.transcript_notices import is_notice, without_edit_mark, without_media
from tierkeep.importers.transcript_survey import Part, Survey, survey

_NOT_TRANSCRIPTS = re.compile(
    r"\.(?:json|csv|tsv|xml|html?|ya?ml|toml|ini|cfg|py|js|ts|c|h|rs|go|java|sql|css|eml)", re.IGNORECASE
)
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_RULES = ("---", "***", "___")
_SHOWN_NAMES = 6


class Transcript:
    """Reads text transcripts."""

    name = "transcript"
    about = "text with a speaker before each message: Ana: …, [2026-05-02 10:31] Ana: …, WhatsApp's export, **User:** …"

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether enough of the first lines begin messages."""
        if _NOT_TRANSCRIPTS.fullmatch(path.suffix) or head.lstrip()[:1] in {"{", "<"}:
            return False
        seen = survey(enumerate(head.split("\n"), start=1))
        if seen.kind is not Kind.PLAIN:
            return any(seen.names)
        spoken = sum(seen.names.values())
        repeated = any(count > 1 for count in seen.names.values())
        known = all(name.casefold() in ROLES for name in seen.names)
        return spoken >= 2 and spoken * 3 >= seen.lines and (repeated or known or seen.lines == spoken)

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the messages in the order of the file. Streams, after a first pass that learns the file's habits."""
        seen = survey(source.lines())
        if seen.kind is None:
            source.broken('no line begins a message; one begins with its speaker, as in "Ana: text"')
        day_first = seen.day_first()
        if day_first is None and seen.numeric_days and options.day_first is None:
            tally.note(
                "days such as 3/4/2026 can be read in two ways and nothing in the file decides; they were read as "
                "month/day (on the command line: --day-first for day/month)"
            )
            day_first = False
        seen.settle(options.me)
        if once := seen.speaks_once():
            tally.note(f"names that speak only once were taken as speakers of their own: {_listed(once)}")
        strays, doubts = Counter[str](), Counter[str]()
        for turn in _turns(source, seen, tally):
            found = _found(turn, seen.kind, day_first, tally)
            if found is None:
                continue
            if turn.stray:
                strays[turn.header.name] += 1
            doubts.update(turn.doubts)
            yield found
        _tell(strays, doubts, tally)


@dataclass(slots=True)
class _Turn:
    """A message as its lines stand in the file.

    Attributes:
        header: How it begins.
        line: Where.
        day: The day under whose heading it stands.
        body: Its lines.
        stray: Whether it begins in another form than the file's messages do.
        doubts: Words before a colon, at the beginning of further lines, that may be speakers.
    """

    header: Header
    line: int
    day: str
    body: list[str]
    stray: bool = False
    doubts: list[str] = field(default_factory=list)


def _turns(source: ImportFile, seen: Survey, tally: Tally) -> Iterator[_Turn]:
    """Yield the messages of the file, each with the lines that belong to it."""
    turn: _Turn | None = None
    day = ""
    fenced = False
    for number, line in source.lines():
        if seen.kind is Kind.MARKDOWN and _FENCE.match(line):
            fenced = not fenced
        begin = None if fenced else header(line)
        new_day = "" if fenced else day_line(line)
        quoted = quoted_header(line) if begin is None and not fenced else None
        part = Part.BELONGS if new_day else seen.part(begin, turn.header if turn else None, quoted)
        if not new_day and part in (Part.BELONGS, Part.DOUBTFUL):
            if turn is not None:
                turn.body.append(line)
                doubted = begin or quoted
                turn.doubts += [doubted.name] if doubted and part is Part.DOUBTFUL else []
            elif line.strip():
                tally.skipped["lines before the first message"] += 1
            continue
        at = turn.header.at if turn else ""
        if turn is not None:
            yield turn
        day = new_day or day
        turn = None
        if begin and not new_day:
            stray = part is Part.STRAY
            turn = _Turn(begin._replace(at=at) if stray else begin, number, day, [begin.rest], stray)
    if turn is not None:
        yield turn


def _found(turn: _Turn, kind: Kind, day_first: bool | None, tally: Tally) -> Found | None:
    """Return the message, or None when it is not one that a person wrote."""
    name, at = turn.header.name, turn.header.at
    if not name:
        tally.skipped["notices without a speaker"] += 1
        return None
    text = _written("\n".join(turn.body).strip(), turn, kind, tally)
    if text is None:
        return None
    if not has_day(at):
        at = f"{turn.day} {at}".strip() if turn.day else ""
    role = ROLES.get(name.casefold())
    quotes = role is None and _quotes_speakers(text)
    if quotes:
        tally.note("messages whose later lines look like somebody speaking count as imported text, whoever sent them")
    return Found(
        session="",
        by_day=True,
        role=role or "user",
        text=text,
        place=Place(line=turn.line),
        speaker=name,
        person=role is None,
        at=at or None,
        day_first=day_first if numeric_day(at) else None,
        doubtful=turn.stray or bool(turn.doubts) or quotes,
    )


#: A later line of a message that brings somebody's words: "Carl: …", "[10:34] Carl: …", "> Carl: …", "Carl wrote:", "Forwarded from Carl".
_SPEAKS = re.compile(
    "^[\\s>*_\\[\\](\u201c'\"-]{0,8}(?:\\d[\\d:./, \\]-]{2,24})?[^:\uff1a\n]{1,48}[:\uff1a](?!//)"
    "|^[^\\W\\d_][^:\n]{1,40} [\u2013\u2014-] |\\b(?:wrote|says|said)\\s*$|^\\W*forwarded\\b",
    re.IGNORECASE,
)


def _quotes_speakers(text: str) -> bool:
    """Return whether a later line of a message may be another person's: then the message is not the user's own word."""
    return any(_SPEAKS.search(line) for line in text.split("\n")[1:])


def _written(text: str, turn: _Turn, kind: Kind, tally: Tally) -> str | None:
    """Return what somebody wrote of a message, None when the app wrote all of it."""
    if kind is Kind.MARKDOWN:
        return _without_rules(text)
    if is_notice(text, marked=turn.header.by_app):
        tally.skipped["notices of the app"] += 1
        return None
    caption = without_media(text)
    if caption != text:
        tally.skipped["pictures, sounds and other media"] += 1
    return without_edit_mark(caption) if caption or caption == text else None


def _tell(strays: Counter[str], doubts: Counter[str], tally: Tally) -> None:
    """Report the lines whose speaker is in doubt."""
    if strays:
        tally.note(
            f"{strays.total()} × a line begins as a message would, but not in the form of this file ({_listed(strays)}): "
            "taken as messages of their own, as imported text"
        )
    if doubts:
        tally.note(
            f"{doubts.total()} × a line begins with words that may be a speaker's name ({_listed(doubts)}): left in the message "
            "before it, which counts as imported text"
        )


def _listed(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    all_names = list(names)
    more = len(all_names) - _SHOWN_NAMES
    return ", ".join(all_names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _without_rules(text: str) -> str:
    """Return the text without the horizontal rules that Markdown chats put between messages."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or (lines[-1].strip().startswith(_RULES) and not lines[-1].strip("-*_ "))):
        lines.pop()
    return "\n".join(lines)
