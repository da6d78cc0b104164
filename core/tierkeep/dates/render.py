"""One honest English rendering of a resolved time, which the resolver can read back."""

from __future__ import annotations

import re
from datetime import date

from tierkeep.dates import lexicon as lex
from tierkeep.dates.spans import (
    FEW,
    SEASON_STARTS,
    SEVERAL,
    Precision,
    TimeSpan,
    Unit,
    days,
    end_of_month,
    some_units_away,
    weekend_away,
)

_SINCE = re.compile(r"(?:since|seit|desde)\s", re.IGNORECASE)


def describe(span: TimeSpan) -> str:
    """``span`` in words that claim no more than it holds: "7 May 2023", "the week before 9 June 2023", "around 2013".

    Weeks and weekends named from the anchor keep it in sight, because which days they cover is a convention. The words
    read back (``find_times``) to the same days and precision.
    """
    words = _described(span)
    return f"since {words}" if _SINCE.match(lex.folded(span.phrase)) else words


def _described(span: TimeSpan) -> str:
    if span.relative and span.approximate and (words := _some_units(span)):
        return words
    if span.precision is Precision.WEEK:
        words = _week(span)
    elif span.precision is Precision.WEEKEND:
        words = _weekend(span)
    else:
        words = _calendar(span)
        if span.approximate and words.startswith(("early ", "mid ", "late ", "the early ", "the mid ", "the late ")):
            return words
    loose = words.startswith(("around ", "a few ", "several "))
    return f"around {words}" if span.approximate and not loose else words


def day_words(day: date) -> str:
    """A day as "7 May 2023"; years are four digits."""
    return f"{day.day} {month_words(day)}"


def month_words(day: date) -> str:
    """The month of a day as "May 2023"."""
    return f"{lex.MONTH_NAMES[day.month - 1]} {day.year:04}"


def _some_units(span: TimeSpan) -> str | None:
    """The span told as "a few weeks before D", or None when it is not what such words stand for."""
    unit = Unit(span.precision) if span.precision is not Precision.SEASON else None
    if unit is None:
        return None
    for name, count in (("a few", FEW), ("several", SEVERAL)):
        for sign, side in ((-1, "before"), (1, "after")):
            try:
                window = some_units_away(span.anchor, count, sign, unit)
            except (OverflowError, ValueError):
                continue
            if (window.start, window.end) == (span.start, span.end):
                return f"{name} {unit}s {side} {day_words(span.anchor)}"
    return None


def _side(distance: int) -> str:
    return "before" if distance < 0 else "after"


def _counted(count: int, unit: str) -> str:
    return f"{lex.number_name(count)} {unit}" + ("s" if count != 1 else "")


def _week(span: TimeSpan) -> str:
    anchor, first = span.anchor, (span.start - span.anchor).days
    if span.relative and span.approximate and (span.end - span.start).days == 6 and (first + 3) % 7 == 0 and first != -3:
        count = (first + 3) // 7
        return f"around {_counted(abs(count), 'week')} {_side(count)} {day_words(anchor)}"
    if span.relative:
        if (span.end - anchor).days == -1 and -13 <= first <= -7:
            return f"the week before {day_words(anchor)}"
        if first == 1 and 7 <= (span.end - anchor).days <= 13:
            return f"the week after {day_words(anchor)}"
        if span.start <= anchor <= span.end and span.start.weekday() == 0:
            return f"the week of {day_words(anchor)}"
    return _fixed_week(span)


def _fixed_week(span: TimeSpan) -> str:
    """A week that is not told from the anchor: of a Monday, of a month, or before the day that follows it."""
    start, end = span.start, span.end
    if words := _some_fixed(start, end, Unit.WEEK):
        return words
    if start.weekday() == 0 and (end - start).days == 6:
        return f"the week of {day_words(start)}"
    month = month_words(start)
    if end == end_of_month(start) and (end - start).days == 6:
        return f"the last week of {month}"
    if start.day in (1, 8, 15, 22, 29) and start.month == end.month:
        return f"the {'fifth' if start.day == 29 else lex.ORDINAL_NAMES[start.day // 7 + 1]} week of {month}"
    try:
        return f"the week before {day_words(days(end, 1))}"
    except OverflowError:
        return f"the week after {day_words(days(start, -1))}"


def _some_fixed(start: date, end: date, unit: Unit) -> str | None:
    """Words "a few" or "several" weeks or weekends told from a day the text gave, found again from their length."""
    length, shift = (6, 3) if unit is Unit.WEEK else (1, 6)
    for name, (near, far) in (("a few", FEW), ("several", SEVERAL)):
        if (end - start).days == 7 * (far - near) + length:
            try:
                return f"{name} {unit}s before {day_words(days(end, 7 * near - shift))}"
            except OverflowError:
                return f"{name} {unit}s after {day_words(days(start, shift - 7 * near))}"
    return None


def _weekend(span: TimeSpan) -> str:
    anchor = span.anchor
    if span.relative:
        if span.start <= anchor <= span.end:
            return f"the weekend of {day_words(anchor)}"
        for count in (-1, 1, -2, 2, -3, 3, -4, 4):
            try:
                away = weekend_away(anchor, count, True)
            except OverflowError:
                continue
            if away.start == span.start:
                which = "the weekend" if abs(count) == 1 else _counted(abs(count), "weekend")
                return f"{which} {_side(count)} {day_words(anchor)}"
    return _some_fixed(span.start, span.end, Unit.WEEKEND) or f"the weekend of {day_words(span.start)}"


def _calendar(span: TimeSpan) -> str:
    """Days, months, seasons, years and decades by their names, and runs of them as "A to B"."""
    start, end = span.start, span.end
    match span.precision:
        case Precision.DAY:
            return day_words(start) if start == end else f"{day_words(start)} to {day_words(end)}"
        case Precision.MONTH:
            return _month(start, end)
        case Precision.SEASON:
            name = next(name for name, month in SEASON_STARTS.items() if month == start.month)
            return f"the {name} of {start.year:04}" + (f"-{end.year % 100:02}" if end.year > start.year else "")
        case Precision.YEAR:
            return _year(start, end)
        case _:
            part = {(0, 9): "", (0, 3): "early ", (4, 6): "mid ", (7, 9): "late "}
            ends = (start.year % 10, end.year % 10)
            return f"the {part.get(ends, '')}{start.year // 10 * 10:04}s" if ends in part else _year(start, end)


def _month(start: date, end: date) -> str:
    first, last = month_words(start), month_words(end)
    if first != last:
        return f"{first} to {last}"
    if end != end_of_month(end):
        return f"{'early' if start.day == 1 else 'mid'} {first}"
    return first if start.day == 1 else f"late {first}"


def _year(start: date, end: date) -> str:
    def name(year: int) -> str:
        return str(year) if 1900 <= year <= 2099 else f"the year {year:04}"

    if start.year != end.year:
        return f"{name(start.year)} to {name(end.year)}"
    part = {(1, 4): "early ", (5, 8): "mid ", (9, 12): "late "}.get((start.month, end.month), "")
    return f"{part}{name(start.year)}"
