"""The values the date resolver speaks in, and the calendar arithmetic they rest on.

A resolved time is a span of whole days with a stated precision. A message that says "last week" yields seven days and
the word *week*, never one day picked out of them: what the speaker left open stays open (``spec/tiers.md`` 5.3.3).
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from dateutil.relativedelta import relativedelta


class Precision(StrEnum):
    """How coarse a resolved time is; the unit the speaker used, not the length of the span."""

    DAY = "day"
    WEEKEND = "weekend"
    WEEK = "week"
    MONTH = "month"
    SEASON = "season"
    YEAR = "year"
    DECADE = "decade"


class Unit(StrEnum):
    """A unit of elapsed time."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEKEND = "weekend"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    DECADE = "decade"


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time expression and the days it stands for.

    Attributes:
        phrase: The words as they stand in the text, with a leading "since" or "around" when there is one.
        start: First day.
        end: Last day, inclusive; never before ``start``.
        precision: The unit the words spoke in.
        relative: True when the anchor was needed to resolve the words.
        position: Character offsets ``[from, to)`` of ``phrase`` in the text.
        anchor: The day the text was said.
        approximate: True when the words themselves are loose ("around", "a few", "two weeks ago").
    """

    phrase: str
    start: date
    end: date
    precision: Precision
    relative: bool
    position: tuple[int, int]
    anchor: date
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Duration:
    """A stated length of time.

    Attributes:
        phrase: The words as they stand in the text.
        value: How many units; the middle of the range for "a few" and "several".
        unit: The unit of ``value``.
        since: Where it began, when the text says "since ..." and an anchor was given.
        position: Character offsets ``[from, to)`` of ``phrase``.
        approximate: True when the words are loose or ``value`` was computed from a coarse start.
    """

    phrase: str
    value: float
    unit: Unit
    since: TimeSpan | None
    position: tuple[int, int]
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """Days and precision before they are tied to a phrase: what a grammar rule computes."""

    start: date
    end: date
    precision: Precision
    relative: bool
    approximate: bool = False


SEASON_STARTS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
FEW = (2, 5)
SEVERAL = (3, 9)


def days(day: date, count: int) -> date:
    """The day ``count`` days after ``day`` (before, when negative).

    Raises:
        OverflowError: The result is outside years 1 to 9999.
    """
    return day + timedelta(days=count)


def months_later(day: date, count: int) -> date:
    """The same day of the month ``count`` months on, or that month's last day.

    Raises:
        OverflowError: The result is outside years 1 to 9999.
    """
    years, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    if not 1 <= years <= 9999:
        raise OverflowError("month outside years 1 to 9999")
    return day + relativedelta(year=years, month=month + 1)


def one_day(day: date, relative: bool, approximate: bool = False) -> Window:
    """The window of a single day."""
    return Window(day, day, Precision.DAY, relative, approximate)


def month_window(year: int, month: int, relative: bool, approximate: bool = False) -> Window:
    """The window of a calendar month.

    Raises:
        ValueError: No such month or year.
    """
    first = date(year, month, 1)
    return Window(first, end_of_month(first), Precision.MONTH, relative, approximate)


def year_window(year: int, relative: bool, approximate: bool = False) -> Window:
    """The window of a calendar year.

    Raises:
        ValueError: The year is outside 1 to 9999.
    """
    return Window(date(year, 1, 1), date(year, 12, 31), Precision.YEAR, relative, approximate)


def decade_window(first_year: int, relative: bool) -> Window:
    """The window of the ten years that begin with ``first_year``.

    Raises:
        ValueError: The decade leaves years 1 to 9999.
    """
    return Window(date(first_year, 1, 1), date(first_year + 9, 12, 31), Precision.DECADE, relative)


def season_window(name: str, year: int, relative: bool) -> Window:
    """The northern meteorological season that begins in ``year`` (winter runs into the next year's February).

    The hemisphere is an assumption: the words do not carry it.

    Raises:
        ValueError: The season leaves years 1 to 9999.
    """
    first = date(year, SEASON_STARTS[name], 1)
    return Window(first, end_of_month(months_later(first, 2)), Precision.SEASON, relative)


def week_of(day: date, relative: bool) -> Window:
    """The Monday-to-Sunday week that contains ``day``.

    Raises:
        OverflowError: The week leaves years 1 to 9999.
    """
    monday = days(day, -day.weekday())
    return Window(monday, days(monday, 6), Precision.WEEK, relative)


def weekend_of(day: date, relative: bool) -> Window:
    """The weekend that contains ``day``, else the nearest one; Wednesday goes forward.

    Raises:
        OverflowError: The weekend leaves years 1 to 9999.
    """
    ahead = 5 - day.weekday()
    saturday = days(day, ahead - 7 if day.weekday() < 2 else ahead)
    return Window(saturday, days(saturday, 1), Precision.WEEKEND, relative)


def weekend_away(day: date, count: int, relative: bool) -> Window:
    """The ``count``-th weekend after ``day`` (before, when negative), the one that contains ``day`` not counted.

    Raises:
        OverflowError: The weekend leaves years 1 to 9999.
    """
    weekday = day.weekday()
    if count > 0:
        saturday = days(day, (5 - weekday if weekday < 5 else 12 - weekday) + 7 * (count - 1))
    else:
        saturday = days(day, -2 - weekday + 7 * (count + 1))
    return Window(saturday, days(saturday, 1), Precision.WEEKEND, relative)


def weekday_away(day: date, weekday: int, count: int) -> date:
    """The ``count``-th such weekday strictly after ``day`` (before, when negative); Monday is 0.

    Raises:
        OverflowError: The result is outside years 1 to 9999.
    """
    if count > 0:
        return days(day, (weekday - day.weekday() - 1) % 7 + 1 + 7 * (count - 1))
    return days(day, -((day.weekday() - weekday - 1) % 7 + 1) + 7 * (count + 1))


def end_of_month(day: date) -> date:
    """The last day of the month of ``day``."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def year_number(year: int) -> int:
    """``year`` when a ``date`` can hold it.

    Raises:
        OverflowError: It is outside 1 to 9999.
    """
    if not 1 <= year <= 9999:
        raise OverflowError("year outside 1 to 9999")
    return year


def units_away(day: date, count: int, unit: Unit) -> Window:
    """The window ``count`` units after ``day`` (before, when negative), as loose as such words are.

    Days are exact. "Two weeks ago" is a week's width around the day, "three months ago" a month and "three years ago"
    a year, "two decades ago" a calendar decade, each marked approximate.

    Raises:
        OverflowError, ValueError: The count is zero, or the result is outside years 1 to 9999.
    """
    if not count:
        raise ValueError("no such distance")
    match unit:
        case Unit.MINUTE | Unit.HOUR:
            return one_day(days(day, int(count / 24) if unit is Unit.HOUR else 0), True)
        case Unit.DAY:
            return one_day(days(day, count), True)
        case Unit.WEEKEND:
            return weekend_away(day, count, True)
        case Unit.WEEK:
            return Window(days(day, 7 * count - 3), days(day, 7 * count + 3), Precision.WEEK, True, True)
        case Unit.MONTH:
            there = months_later(day, count)
            return month_window(there.year, there.month, True, True)
        case Unit.YEAR:
            return year_window(year_number(day.year + count), True, True)
        case Unit.DECADE:
            first = year_number(day.year + 10 * count) // 10 * 10
            return replace(decade_window(first, True), approximate=True)


def some_units_away(day: date, span: tuple[int, int], sign: int, unit: Unit) -> Window:
    """The window of "a few" or "several" units after (``sign`` 1) or before (-1) ``day``.

    Raises:
        OverflowError, ValueError: The result is outside years 1 to 9999.
    """
    near, far = units_away(day, sign * span[0], unit), units_away(day, sign * span[1], unit)
    precision = near.precision
    return Window(min(near.start, far.start), max(near.end, far.end), precision, True, True)


def divisible(window: Window) -> bool:
    """Whether "early" and the like can narrow the window: it is one whole month, year or decade."""
    length = (window.end - window.start).days
    low, high = {Precision.MONTH: (27, 30), Precision.YEAR: (364, 365), Precision.DECADE: (3651, 3653)}.get(window.precision, (1, 0))
    return low <= length <= high


def part_of(window: Window, part: str) -> Window:
    """The early, middle or late third of a month (10 days), year (4 months) or decade (4, 3, 3 years); approximate."""
    first, last = window.start, window.end
    which = ("early", "mid", "late").index(part)
    if window.precision is Precision.MONTH:
        start, end = days(first, 10 * which), last if which == 2 else days(first, 10 * which + 9)
    elif window.precision is Precision.YEAR:
        start = first.replace(month=1 + 4 * which)
        end = end_of_month(first.replace(month=4 + 4 * which))
    else:
        start = first.replace(year=first.year + (0, 4, 7)[which])
        end = last.replace(year=first.year + (3, 6, 9)[which])
    return replace(window, start=start, end=end, approximate=True)
