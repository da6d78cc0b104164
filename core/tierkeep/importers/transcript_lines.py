"""The grammar of transcript lines: which line begins a message, who speaks, and when.

Every pattern looks at the first `_PREFIX` characters of a line only: a hostile line costs no more than an honest one.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from tierkeep.importers.reader import ROLES
from tierkeep.importers.transcript_notices import MARKS, is_notice_name

_PREFIX = 200
_QUOTES = " \t>*\u2022\u2013\u2014\"\u201c-"
_APP_MARK = "\u200e"
_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " ")

_MONTH = r"[^\W\d_]{3,10}"
_DAY = rf"(?:\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}|\d{{1,2}}\.? {_MONTH}\.?,? \d{{4}}|{_MONTH}\.? \d{{1,2}},? \d{{4}})"
_HALF = r"(?: ?[AaPp]\.? ?[Mm]\.?)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT)\b| ?[+-]\d{2}:?\d{2})?"
_CLOCK = rf"\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}}(?:\.\d{{1,6}})?)?{_HALF}{_ZONE}"
_STAMP = rf"(?:{_DAY}(?:(?:,? (?:at )?|T){_CLOCK})?|\d{{1,2}}:\d{{2}}(?::\d{{2}})?{_HALF})"
_NAME = r"[^:\n]{1,64}?"

_BRACKETED = re.compile(rf"\[(?P<at>{_STAMP})\](?P<mark> ?)")
_LEADING = re.compile(rf"(?P<at>{_STAMP})(?P<mark> *[-\u2013\u2014|] *| +)")
_SPEAKER = re.compile(rf"(?P<name>{_NAME}) ?:(?: |$)")
_BOLD = re.compile(r"\*\*(?P<name>[^*:\n]{1,64}?) ?(?::\*\*|\*\* ?:)(?: |$)")
_HEADING = re.compile(r"#{1,6} +(?:\*\*)?(?P<name>[^*:#\n]{1,64}?) ?:?(?:\*\*)? ?:? *$")
_PLAIN = re.compile(r"(?P<name>[@~]?[^\W\d_][\w.'\u2019-]{0,31}(?: [\w.'\u2019&-]{1,31}){0,3}|\+\d[\d ()-]{6,20}\d) ?:(?: |$)")
_DAY_LINE = re.compile(rf"[#=*\[\- \u2013\u2014]*(?P<day>{_DAY})[#=*\]\- \u2013\u2014:]*$")
_NUMERIC_DAY = re.compile(r"(\d{1,2})([./-])(\d{1,2})[./-](\d{2}|\d{4})(?!\d)")
_HAS_DAY = re.compile(_DAY)
_DOTTED_CLOCK = re.compile(r"(?<= )\d{1,2}\.\d{2}(?:\.\d{2})?(?!\d)")


#: What people put before a remark of their own; nobody is called that.
_LABELS = frozenset(
    "address btw caution correction deadline edit example fwd fyi hint important link links n.b nb note notes p.p.s p.s pps ps re "
    "reminder source sources subject summary tip tips tldr todo update warning".split()
)
#: What is written small within names.
_PARTICLES = frozenset("al bin da das de del den der di do dos du e el ibn la las le los ten ter van von y zu".split())
#: Where somebody speaks of themselves. Only in such words could the rules of the profile take one person's for another's.
_FIRST_PERSON = re.compile(r"\b(?:i(?!\.e)|me|my|mine|we|us|our)\b", re.IGNORECASE)


class Kind(StrEnum):
    """How the lines of a transcript begin."""

    DATED = "dated"
    MARKDOWN = "markdown"
    PLAIN = "plain"


class Header(NamedTuple):
    """The beginning of a message.

    Attributes:
        kind: Which form it has.
        name: Who speaks; "" for a dated line of the chat program itself.
        at: When, as written; "" when the line does not say.
        rest: The line's text.
        mark: What sets the date off: "[", "-" or " "; "" without a date.
        by_app: Whether the invisible mark that apps put before their own words stands before the line's text.
    """

    kind: Kind
    name: str
    at: str
    rest: str
    mark: str = ""
    by_app: bool = False


class NumericDay(NamedTuple):
    """A day written as three numbers with the year last: which of the first two is the day is not in the line."""

    first: int
    second: int
    year: int
    separator: str


def header(line: str) -> Header | None:
    """Return how a message begins on this line, or None when the line cannot begin one."""
    line = line.lstrip(MARKS).rstrip()
    prefix = line[:_PREFIX].translate(_SPACES)
    dated = _BRACKETED.match(prefix) or _LEADING.match(prefix)
    if dated:
        mark = "[" if prefix.startswith("[") else "-" if dated["mark"].strip() else " "
        at = _DOTTED_CLOCK.sub(lambda clock: clock[0].replace(".", ":"), dated["at"])
        return _dated_header(line[dated.end() :].lstrip(MARKS), at, mark)
    bold = _BOLD.match(prefix)
    if bold:
        return Header(Kind.MARKDOWN, bold["name"].strip(), "", line[bold.end() :])
    heading = _HEADING.match(prefix) if len(line) <= _PREFIX else None
    if heading and heading["name"].strip().casefold() in ROLES:
        return Header(Kind.MARKDOWN, heading["name"].strip(), "", "")
    plain = _PLAIN.match(prefix)
    if plain and _could_be_a_name(plain["name"]):
        return Header(Kind.PLAIN, plain["name"], "", line[plain.end() :])
    return None


def _dated_header(rest: str, at: str, mark: str) -> Header:
    speaker = _SPEAKER.match(rest[:_PREFIX].translate(_SPACES))
    if not speaker:
        return Header(Kind.DATED, "", at, rest, mark)
    name = speaker["name"].strip(MARKS + " ~")
    if is_notice_name(name):
        return Header(Kind.DATED, "", at, rest, mark)
    said = rest[speaker.end() :]
    return Header(Kind.DATED, name, at, said.lstrip(MARKS), mark, said.startswith(_APP_MARK))


def quoted_header(line: str) -> Header | None:
    """Return how a message begins on an indented, quoted or listed line."""
    bare = line[: 2 * _PREFIX].lstrip(_QUOTES)
    return header(bare) if len(bare) < len(line[: 2 * _PREFIX]) else None


def is_label(name: str) -> bool:
    """Return whether a word before a colon announces a remark, as "Note: …" does, and names nobody."""
    return name.casefold().rstrip(".") in _LABELS


def in_first_person(text: str) -> bool:
    """Return whether the beginning of a text speaks of its own speaker."""
    return _FIRST_PERSON.search(text[:_PREFIX]) is not None


def day_line(line: str) -> str:
    """Return the day when the line holds nothing else, as headings between days do; "" otherwise."""
    if len(line) > _PREFIX:
        return ""
    match = _DAY_LINE.match(line.strip(MARKS).strip().translate(_SPACES))
    return match["day"] if match else ""


def has_day(at: str) -> bool:
    """Return whether a stamp names a day, and not only a time of day."""
    return _HAS_DAY.search(at) is not None


def numeric_day(at: str) -> NumericDay | None:
    """Return the stamp's day when it is written as numbers with the year last."""
    match = _NUMERIC_DAY.match(at)
    if not match:
        return None
    year = int(match[4])
    return NumericDay(int(match[1]), int(match[3]), year + 2000 if year < 100 else year, match[2])


def _could_be_a_name(name: str) -> bool:
    """Return whether words before a colon look like a name: one word, or several, written small only between the first and the last."""
    words = name.split()
    if len(words) == 1:
        return True
    return words[-1] not in _PARTICLES and not any(word[0].islower() and word not in _PARTICLES for word in words)
