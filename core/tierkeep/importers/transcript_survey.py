"""What the lines of a whole transcript have in common, and what each line is in their light."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from tierkeep.importers.reader import ROLES
from tierkeep.importers.transcript_lines import (
    Header,
    Kind,
    NumericDay,
    day_line,
    has_day,
    header,
    in_first_person,
    is_label,
    numeric_day,
)

_FIRST_LINES = 10  # a title and a few remarks may stand above the first message
_NAMES = 10_000  # distinct names that are counted; a file with more is not a conversation


class Part(Enum):
    """What a line is to the message before it.

    Attributes:
        BEGINS: It begins a message.
        BELONGS: It belongs to the message before it.
        STRAY: It begins a message, though not in the form of the file: somebody's words among another's.
        DOUBTFUL: It belongs to the message before it, though it looks like another's.
    """

    BEGINS = auto()
    BELONGS = auto()
    STRAY = auto()
    DOUBTFUL = auto()


@dataclass(slots=True)
class Survey:
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
    _speakers: frozenset[str] | None = None  # None when every name that is no label speaks
    _labels_speak: bool = False

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

    def settle(self, me: str | None) -> None:
        """Decide who speaks, once every line was seen.

        Where most lines begin with a name, every such line is a message, also that of somebody who speaks once: glued to
        the line before it, it would be another's words. Names are fewer only where lines are long, and a chat with an
        assistant has its two parts: there "Monday: …" is part of a plan, and the names that come back are the speakers.
        """
        self._labels_speak = all(is_label(name) for name in self.names)
        if self.kind is not Kind.PLAIN:
            return
        often = {name for name, count in self.names.items() if count > 1 or name.casefold() in ROLES}
        often = {name for name in often if self._labels_speak or not is_label(name)}
        parts = {ROLES[name.casefold()] for name in often if name.casefold() in ROLES}
        with_an_assistant = {"user", "assistant"} <= parts
        if len(often) > 1 and (with_an_assistant or 2 * sum(self.names.values()) <= self.lines):
            mine = {name for name in self.names if me is not None and name.casefold() == me.strip().casefold()}
            self._speakers = frozenset(often | mine)

    def speaks_once(self) -> list[str]:
        """Return the names that are taken for speakers though they stand once in a plain file where others come back."""
        if self.kind is not Kind.PLAIN or self._speakers is not None or max(self.names.values(), default=0) < 2:
            return []
        return [name for name, n in self.names.items() if n == 1 and name.casefold() not in ROLES and not is_label(name)]

    def part(self, found: Header | None, previous: Header | None, quoted: Header | None = None) -> Part:
        """Return what a line is to the message before it.

        Args:
            found: How the line begins a message, None when no message begins so.
            previous: The beginning of the message before it.
            quoted: How it would begin one, were it not indented or quoted.
        """
        if found is None:
            return Part.DOUBTFUL if self._quotes(quoted, previous) else Part.BELONGS
        if self._begins(found):
            return Part.BEGINS
        if found.kind is not Kind.PLAIN or not _of_person(previous):
            return Part.BELONGS  # an assistant's lists; its words carry no more authority than an import's
        if not is_label(found.name):
            known = self.kind is Kind.DATED and found.name in self.names
            if known or in_first_person(found.rest):
                return Part.STRAY
        return Part.BELONGS if self.kind is Kind.MARKDOWN or previous is None else Part.DOUBTFUL

    def _quotes(self, quoted: Header | None, previous: Header | None) -> bool:
        """Return whether a line quotes what somebody else says of themselves."""
        if quoted is None or previous is None or not _of_person(previous) or self.kind is Kind.MARKDOWN:
            return False
        return quoted.name not in ("", previous.name) and not is_label(quoted.name) and in_first_person(quoted.rest)

    def _begins(self, found: Header) -> bool:
        if found.kind is not self.kind:
            return False
        if found.kind is Kind.PLAIN:
            if self._speakers is not None:
                return found.name in self._speakers
            return self._labels_speak or not is_label(found.name)
        if found.kind is Kind.MARKDOWN:
            return True
        if found.mark != self.form[0]:
            return False
        # Without a speaker it is a notice of the chat program, unless it may be a line of somebody's diary.
        return bool(found.name) or (found.mark != " " and has_day(found.at) and self.form[1])


def _of_person(previous: Header | None) -> bool:
    """Return whether a message is a person's, and not an assistant's, a tool's or the system's."""
    return previous is None or ROLES.get(previous.name.casefold(), "user") == "user"


def survey(lines: Iterator[tuple[int, str]]) -> Survey:
    """Return what the lines of a file have in common; `settle` is still to be called."""
    seen = Survey()
    for _, line in lines:
        if not line.strip():
            continue
        seen.lines += 1
        found = header(line)
        if found is None:
            continue
        if seen.kind is None and seen.lines <= _FIRST_LINES and not day_line(line):
            seen.kind = found.kind
            seen.form = (found.mark, has_day(found.at))
        if found.kind is not seen.kind or found.mark != seen.form[0]:
            continue
        if found.kind is Kind.DATED and (day := numeric_day(found.at)):
            seen.see_day(day)
        if found.name in seen.names or len(seen.names) < _NAMES:
            seen.names[found.name] += 1
    return seen
