"""Text transcripts: lines that begin with a speaker, often with a date in front; messengers' exports; Markdown chats.

Lines that begin no message belong to the message before them. A file has one form, that of its first message; so a
dated chat in which somebody writes "Note: …" stays whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tierkeep.importers.reader import ROLES, Found, Place, ReadOptions, Tally
from tierkeep.importers.source import ImportFile
from tierkeep.importers.transcript_lines import Header, Kind, NumericDay, day_line, has_day, header, numeric_day

_FIRST_LINES = 10  # a title and a few remarks may stand above the first message
_NAMES = 10_000  # distinct names that are counted; a file with more is not a conversation
_NOT_TRANSCRIPTS = re.compile(
    r"\.(?:json|csv|tsv|xml|html?|ya?ml|toml|ini|cfg|py|js|ts|c|h|rs|go|java|sql|css|eml)", re.IGNORECASE
)
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_RULES = ("---", "***", "___")
_NO_MEDIA = re.compile(r"<media omitted>|(?:image|video|audio|sticker|gif|document) omitted", re.IGNORECASE)


class Transcript:
    """Reads text transcripts."""

    name = "transcript"
    about = "text with a speaker before each message: Ana: …, [2026-05-02 10:31] Ana: …, WhatsApp's export, **User:** …"

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether enough of the first lines begin messages."""
        if _NOT_TRANSCRIPTS.fullmatch(path.suffix) or head.lstrip()[:1] in {"{", "<"}:
            return False
        survey = _survey(enumerate(head.split("\n"), start=1))
        if survey.kind is not Kind.PLAIN:
            return any(survey.names)
        spoken = sum(survey.names.values())
        repeated = any(count > 1 for count in survey.names.values())
        known = all(name.casefold() in ROLES for name in survey.names)
        return spoken >= 2 and spoken * 3 >= survey.lines and (repeated or known or survey.lines == spoken)

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the messages in the order of the file. Streams, after a first pass that learns the file's habits."""
        survey = _survey(source.lines())
        if survey.kind is None:
            source.broken('no line begins a message; one begins with its speaker, as in "Ana: text"')
        day_first = survey.day_first()
        if day_first is None and survey.numeric_days and options.day_first is None:
            tally.note(
                "days such as 3/4/2026 can be read in two ways and nothing in the file decides; they were read as "
                "month/day (on the command line: --day-first for day/month)"
            )
            day_first = False
        for turn in _turns(source, survey, tally):
            found = _found(turn, survey.kind, day_first, tally)
            if found is not None:
                yield found


@dataclass(slots=True)
class _Survey:
    """What the lines of a whole file have in common."""

    kind: Kind | None = None
    form: tuple[str, bool] = ("", False)  # what sets the dates off, and whether they name a day
    lines: int = 0
    names: Counter[str] = field(default_factory=Counter)
    numeric_days: int = 0
    must_be_day_first: bool = False
    must_be_month_first: bool = False
    dots: bool = False
    backwards: list[int] = field(default_factory=lambda: [0, 0])  # steps back in time, read day first and month first
    _last: NumericDay | None = None

    def day_first(self) -> bool | None:
        """Return whether 3/4/2026 is the third of April in this file; None when nothing decides."""
        if self.must_be_day_first != self.must_be_month_first:
            return self.must_be_day_first
        if self.backwards[0] != self.backwards[1]:
            return self.backwards[0] < self.backwards[1]
        return (
            True if self.dots else None
        )  # numbers with dots between them are written day first wherever they are used

    def see_day(self, day: NumericDay) -> None:
        """Learn from one more day."""
        self.numeric_days += 1
        self.must_be_day_first |= day.first > 12
        self.must_be_month_first |= day.second > 12
        self.dots |= day.separator == "."
        if self._last is not None:
            last = self._last
            self.backwards[0] += (day.year, day.second, day.first) < (last.year, last.second, last.first)
            self.backwards[1] += (day.year, day.first, day.second) < (last.year, last.first, last.second)
        self._last = day

    def begins(self, found: Header, speakers: frozenset[str] | None) -> bool:
        """Return whether such a line begins a message in this file."""
        if found.kind is not self.kind:
            return False
        if found.kind is not Kind.DATED:
            return speakers is None or found.name in speakers
        if found.mark != self.form[0]:
            return False
        # Without a speaker it is a notice of the chat program, unless it may be a line of somebody's diary.
        return bool(found.name) or (found.mark != " " and has_day(found.at) and self.form[1])

    def speakers(self) -> frozenset[str] | None:
        """Return the names that begin messages in a plain transcript; None when every name does.

        "Note: …" looks like a speaker. Where at least two names come back again and again, those are the speakers.
        """
        if self.kind is not Kind.PLAIN:
            return None
        often = {name for name, count in self.names.items() if count > 1 or name.casefold() in ROLES}
        return frozenset(often) if len(often) > 1 else None


def _survey(lines: Iterator[tuple[int, str]]) -> _Survey:
    survey = _Survey()
    for _, line in lines:
        if not line.strip():
            continue
        survey.lines += 1
        found = header(line)
        if found is None:
            continue
        if survey.kind is None and survey.lines <= _FIRST_LINES and not day_line(line):
            survey.kind = found.kind
            survey.form = (found.mark, has_day(found.at))
        if found.kind is not survey.kind or found.mark != survey.form[0]:
            continue
        if found.kind is Kind.DATED and (day := numeric_day(found.at)):
            survey.see_day(day)
        if found.name in survey.names or len(survey.names) < _NAMES:
            survey.names[found.name] += 1
    return survey


class _Turn(NamedTuple):
    """A message as its lines stand in the file, and the day under whose heading it stands."""

    header: Header
    line: int
    day: str
    body: list[str]


def _turns(source: ImportFile, survey: _Survey, tally: Tally) -> Iterator[_Turn]:
    """Yield the messages of the file, each with the lines that belong to it."""
    speakers = survey.speakers()
    turn: _Turn | None = None
    day = ""
    fenced = False
    for number, line in source.lines():
        if survey.kind is Kind.MARKDOWN and _FENCE.match(line):
            fenced = not fenced
        begin = None if fenced else header(line)
        new_day = "" if fenced else day_line(line)
        if not new_day and not (begin and survey.begins(begin, speakers)):
            if turn is not None:
                turn.body.append(line)
            elif line.strip():
                tally.skipped["lines before the first message"] += 1
            continue
        if turn is not None:
            yield turn
        day = new_day or day
        turn = _Turn(begin, number, day, [begin.rest]) if begin and not new_day else None
    if turn is not None:
        yield turn


def _found(turn: _Turn, kind: Kind, day_first: bool | None, tally: Tally) -> Found | None:
    """Return the message, or None when it is not one that a person wrote."""
    name, at = turn.header.name, turn.header.at
    text = "\n".join(turn.body).strip()
    if not name:
        tally.skipped["notices without a speaker"] += 1
        return None
    if _NO_MEDIA.fullmatch(text):
        tally.skipped["pictures, sounds and other media"] += 1
        return None
    if not has_day(at):
        at = f"{turn.day} {at}".strip() if turn.day else ""
    role = ROLES.get(name.casefold())
    return Found(
        session="",
        by_day=True,
        role=role or "user",
        text=_without_rules(text) if kind is Kind.MARKDOWN else text,
        place=Place(line=turn.line),
        speaker=name,
        person=role is None,
        at=at or None,
        day_first=day_first if numeric_day(at) else None,
    )


def _without_rules(text: str) -> str:
    """Return the text without the horizontal rules that Markdown chats put between messages."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or (lines[-1].strip().startswith(_RULES) and not lines[-1].strip("-*_ "))):
        lines.pop()
    return "\n".join(lines)
