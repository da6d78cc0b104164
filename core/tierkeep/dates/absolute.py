"""Readers of one date or month as written: "13 August 2023", "Aug 13", "8/13/2023", "2023-08-13", "June 2023".

A reader is tried at one offset and says where it ended, so that larger forms ("the Friday before 15 July") can be built
on it. A written date without a year takes the year that the tense and the anchor suggest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from tierkeep.dates import lexicon as lex
from tierkeep.dates.lexicon import MONTH, WEEKDAY, YEAR, W
from tierkeep.dates.spans import Precision, Window, month_window, months_later, one_day
from tierkeep.dates.tense import ENGLISH, Cues, Tense, tense_at

_DAY = "[0-9]{1,2}"
_SUFFIX = "(?:st|nd|rd|th)?"
_TO = rf"(?:\s?[-\u2013\u2014]\s?|{W}(?:to|through|until){W})"
_YEAR_TAIL = rf"(?:(?:,\s{{0,2}}|{W}(?:of{W}|in{W})?)(?P<y>{YEAR})(?!\s?:))?"
_NO_UNIT = r"(?![0-9]|[:.][0-9]|\s?(?:am|pm|%|a\.m|p\.m)\b|st\b|nd\b|rd\b|th\b|/[0-9])"
_WEEKDAY_HEAD = rf"(?:{WEEKDAY},?{W}(?:the{W})?)?"

_WORDED = [
    re.compile(
        rf"{_WEEKDAY_HEAD}(?P<d>{_DAY}){_SUFFIX}(?:{_TO}(?P<d2>{_DAY}){_SUFFIX})?[\s-]{{1,3}}(?:(?:day{W})?of{W})?"
        rf"(?P<m>{MONTH})\b(?:[\s,-]{{1,3}}(?:of{W})?(?P<y>{YEAR})(?!\s?:))?"
    ),
    re.compile(
        rf"{_WEEKDAY_HEAD}(?P<m>{MONTH})[\s-]{{1,3}}(?:the{W})?(?P<d>{_DAY}){_SUFFIX}(?![0-9])"
        rf"(?:{_TO}(?P<d2>{_DAY}){_SUFFIX}(?!\s?[-\u2013]?\s?{MONTH}\b|[0-9]))?{_NO_UNIT}{_YEAR_TAIL}"
    ),
]
_ISO = re.compile(r"(?P<y>[0-9]{4})([-/.])(?P<m>[0-9]{1,2})\2(?P<d>[0-9]{1,2})(?![0-9]|\2[0-9])")
_DOTTED = re.compile(r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})(?![0-9]|\.[0-9])")
_SLASHED = re.compile(r"(?P<a>[0-9]{1,2})([-/])(?P<b>[0-9]{1,2})\2(?P<y>[0-9]{4}|[0-9]{2})(?![0-9]|\2[0-9])")
_MONTH_OF_YEAR = re.compile(rf"(?P<m>{MONTH})(?:,?{W}(?:of{W}|in{W})?|,)(?P<y>{YEAR})(?!\s?:)")
_MONTH = re.compile(rf"(?P<m>{MONTH})(?![a-z'])")


@dataclass(frozen=True, slots=True)
class Context:
    """What a grammar rule may look at.

    Attributes:
        raw: The text as given.
        text: The same text folded: ASCII lower case, straight apostrophes, same offsets.
        anchor: The day the text was said.
        cues: The words that tell past from future in the language the rule reads.
    """

    raw: str
    text: str
    anchor: date
    cues: Cues = ENGLISH

    def tense(self, start: int, end: int) -> Tense:
        """Which way the words around ``text[start:end]`` point."""
        return tense_at(self.text, start, end, self.cues)


def full_year(digits: str) -> int:
    """A written year ("2023", "23", "'23") as a number; two digits follow the POSIX rule (69-99: 19xx, else 20xx)."""
    digits = digits.lstrip("'")
    year = int(digits)
    return year if len(digits) > 2 else year + (1900 if year >= 69 else 2000)


def nearest(anchor: date, tense: Tense, windows: Iterable[Window]) -> Window:
    """The window the tense and the anchor point to, among the same date or month in several years.

    Past: the latest that has begun. Future: the earliest that has not ended. Neither: the one fewest days away, the
    earlier on a tie.

    Raises:
        ValueError: No window fits.
    """
    fitting = [
        window
        for window in windows
        if not (tense is Tense.PAST and window.start > anchor) and not (tense is Tense.FUTURE and window.end < anchor)
    ]

    def distance(window: Window) -> tuple[int, date]:
        return max((window.start - anchor).days, (anchor - window.end).days, 0), window.start

    return min(fitting, key=distance)


def each_year(anchor: date, build: Callable[[int], Window], reach: int = 1) -> list[Window]:
    """``build(year)`` for the years around the anchor, those that do not exist left out."""
    found = []
    for year in range(anchor.year - reach, anchor.year + reach + 1):
        try:
            found.append(build(year))
        except (ValueError, OverflowError):
            continue
    return found


def read_day(context: Context, at: int) -> tuple[Window, int] | None:
    """The date written at offset ``at`` and the offset where it ends, or None when none is written there.

    Slashed dates are month first unless that is impossible; dotted ones are day first.

    Raises:
        ValueError: A date is written there that no calendar has ("30 February 2023").
    """
    for pattern in _WORDED:
        if found := pattern.match(context.text, at):
            return _worded_day(context, found), found.end()
    for pattern in (_ISO, _DOTTED):
        if found := pattern.match(context.text, at):
            return one_day(date(*(int(found[part]) for part in "ymd")), False), found.end()
    if found := _SLASHED.match(context.text, at):
        first, second = int(found["a"]), int(found["b"])
        month, day = (second, first) if first > 12 else (first, second)
        return one_day(date(full_year(found["y"]), month, day), False), found.end()
    return None


def _worded_day(context: Context, found: re.Match[str]) -> Window:
    month, first = lex.month_number(found["m"]), int(found["d"])
    last = int(found["d2"] or first)

    def build(year: int) -> Window:
        window = Window(date(year, month, first), date(year, month, last), Precision.DAY, found["y"] is None)
        if window.end < window.start:
            raise ValueError("a range of days must not run backwards")
        return window

    if found["y"]:
        return build(full_year(found["y"]))
    reach = 8 if (month, last) == (2, 29) else 1
    return nearest(context.anchor, context.tense(*found.span()), each_year(context.anchor, build, reach))


def read_month(context: Context, at: int) -> tuple[Window, int] | None:
    """The month written at offset ``at``, with or without a year, and the offset where it ends.

    Raises:
        ValueError: The year is not one a calendar has.
    """
    if found := _MONTH_OF_YEAR.match(context.text, at):
        return month_window(full_year(found["y"]), lex.month_number(found["m"]), False), found.end()
    if found := _MONTH.match(context.text, at):
        month = lex.month_number(found["m"])
        candidates = each_year(context.anchor, lambda year: month_window(year, month, True))
        return nearest(context.anchor, context.tense(*found.span()), candidates), found.end()
    return None


_THAT_MONTH = re.compile(rf"(?:the{W})?(?P<q>last|this|next|previous|past|coming|following){W}month\b|the{W}month\b")


def read_month_expression(context: Context, at: int) -> tuple[Window, int] | None:
    """The month at offset ``at``, "last month" and "next month" included.

    Raises:
        ValueError, OverflowError: The month is not one a calendar has.
    """
    if found := _THAT_MONTH.match(context.text, at):
        step = {"last": -1, "previous": -1, "past": -1, "next": 1, "coming": 1, "following": 1}.get(found["q"] or "", 0)
        there = months_later(context.anchor, step)
        return month_window(there.year, there.month, True), found.end()
    return read_month(context, at)
