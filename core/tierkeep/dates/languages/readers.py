"""Readers of the rules of all languages: what the named groups of a pattern say, computed as English is.

Each group is optional unless said otherwise, and a pattern has only those that it needs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

from tierkeep.dates.absolute import Context, each_year, full_year, nearest
from tierkeep.dates.languages.lexis import Lexis
from tierkeep.dates.rule import Found, whole
from tierkeep.dates.spans import (
    Precision,
    Unit,
    Window,
    days,
    decade_window,
    divisible,
    end_of_month,
    month_window,
    months_later,
    one_day,
    part_of,
    season_window,
    some_units_away,
    units_away,
    week_of,
    weekday_away,
    weekend_away,
    weekend_of,
    year_number,
    year_window,
)
from tierkeep.dates.tense import Tense
from tierkeep.dates.units import calendar_unit

__all__ = [
    "calendar_parts", "counted", "day_of_month", "day_word", "decade", "nothing", "season", "stepped", "weekday", "weekend", "written",
]  # fmt: skip

_MOST_YEARS = 200  # "2020 years ago" is a year and a word, not a distance


def _said(match: re.Match[str], group: str) -> str | None:
    """The words of a group, blanks between them single; None when the pattern has no such group or it matched nothing."""
    if group not in match.re.groupindex or match[group] is None:
        return None
    return " ".join(match[group].split())


def _narrowed(lexis: Lexis, match: re.Match[str], window: Window) -> Window:
    part = _said(match, "part") or _said(match, "part2")
    return part_of(window, lexis.parts[part]) if part and divisible(window) else window


def nothing(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """Words that stand for no one time, "every Friday", and hide the times inside them."""
    return whole(match, None)


def day_word(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`now`: yesterday, today, tomorrow and the like. The part of a day that follows belongs to the phrase."""
    return whole(match, one_day(days(context.anchor, lexis.days[_said(match, "now") or ""]), True))


def stepped(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`step` and `unit`: last week, this month, next year. `part` narrows it."""
    word = _said(match, "step")
    unit = lexis.units[_said(match, "unit") or ""]
    window = calendar_unit(context, unit.value, lexis.steps[word] if word else 0, match.span())
    return whole(match, _narrowed(lexis, match, window))


def weekend(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """The weekend that is not said to be the last or the next: behind, unless the clause looks ahead."""
    anchor = context.anchor
    if anchor.weekday() >= 5:
        return whole(match, weekend_of(anchor, True))
    ahead = context.tense(*match.span()) is Tense.FUTURE
    return whole(match, weekend_away(anchor, 1 if ahead else -1, True))


def counted(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`n` and `unit`, `half` added: ago when there is `back`, else from now, which words about the past are not taken for."""
    back = _said(match, "back") is not None
    if not back and context.tense(*match.span()) is Tense.PAST:
        return None
    sign, unit, anchor = -1 if back else 1, lexis.units[_said(match, "unit") or ""], context.anchor
    count = lexis.number(_said(match, "n") or "")
    if isinstance(count, tuple):
        return whole(match, some_units_away(anchor, count, sign, unit))
    if unit is Unit.YEAR and count > _MOST_YEARS:
        return None
    if count == 0:
        return whole(match, _half(anchor, sign, unit))
    if _said(match, "half") and unit is Unit.YEAR:
        return whole(match, units_away(anchor, sign * (12 * count + 6), Unit.MONTH))
    return whole(match, units_away(anchor, sign * count, unit))


def _half(anchor: date, sign: int, unit: Unit) -> Window:
    """Half a unit away.

    Raises:
        ValueError: Half of it is no time of its own.
    """
    if unit is Unit.YEAR:
        return units_away(anchor, sign * 6, Unit.MONTH)
    if unit is Unit.MONTH:
        return units_away(anchor, sign * 2, Unit.WEEK)
    if unit in (Unit.HOUR, Unit.MINUTE, Unit.DAY):
        return one_day(anchor, True)
    raise ValueError("no such distance")


def weekday(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`weekday`, of the week that `week` names, or the one that `step` points to, or the one that the clause looks to.

    A bare name looks back, today included, unless the clause looks ahead, as in English. With `week` it is that calendar week's.
    """
    number, anchor = lexis.weekdays[_said(match, "weekday") or ""], context.anchor
    week, step = _said(match, "week"), _said(match, "step")
    if week is not None:
        monday = week_of(days(anchor, 7 * lexis.steps[week]), True).start
        return whole(match, one_day(days(monday, number), True))
    pointed = lexis.steps[step] if step else 0
    if pointed:
        return whole(match, one_day(weekday_away(anchor, number, pointed), True))
    if anchor.weekday() == number:
        return whole(match, one_day(anchor, True))
    tense = context.tense(*match.span())
    ahead = tense is not Tense.PAST if step else tense is Tense.FUTURE
    return whole(match, one_day(weekday_away(anchor, number, 1 if ahead else -1), True))


def written(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """A date, a month or a year: what is there of `y` or `year` (last year), `m` or `month` (last month), `d` and `d2`."""
    year, relative = _year(lexis, context.anchor, match)
    named = _said(match, "m")
    if (step := _said(match, "month")) is not None:
        there = months_later(context.anchor, lexis.steps[step])
        year, month, relative = there.year, there.month, True
    elif named is not None:
        month = _month(lexis, named)
    elif year is not None:
        return whole(match, _narrowed(lexis, match, year_window(year, relative)))
    else:
        return None
    first = _number(lexis, day) if (day := _said(match, "d")) else 0
    last = _number(lexis, day) if (day := _said(match, "d2")) else first

    def build(of: int) -> Window:
        if not first:
            return month_window(of, month, relative or year is None)
        if last < first:
            raise ValueError("a range of days must not run backwards")
        return Window(date(of, month, first), date(of, month, last), Precision.DAY, relative or year is None)

    if year is not None:
        return whole(match, _narrowed(lexis, match, build(year)))
    candidates = each_year(context.anchor, build, 8 if (month, last) == (2, 29) else 1)
    if step := _said(match, "step"):
        return whole(match, _pointed(context.anchor, lexis.steps[step], candidates))
    return whole(match, _narrowed(lexis, match, nearest(context.anchor, context.tense(*match.span()), candidates)))


def calendar_parts(lexis: Lexis, match: re.Match[str]) -> tuple[int, int, int, int, str]:
    """Year, month, first and last day that a match of a `written` pattern names, and the part of the month; 0 and "" for what it does not.

    Raises:
        ValueError: A number is not one.
    """
    year, _ = _year(lexis, None, match)
    month = _month(lexis, named) if (named := _said(match, "m")) else 0
    first = _number(lexis, day) if (day := _said(match, "d")) and month else 0
    last = _number(lexis, day) if (day := _said(match, "d2")) and month else first
    part = _said(match, "part")
    return year or 0, month, first, last, lexis.parts[part] if part and month else ""


def _month(lexis: Lexis, words: str) -> int:
    name = words.rstrip(".")
    return lexis.months[name] if name in lexis.months else _number(lexis, words)


def _number(lexis: Lexis, words: str) -> int:
    """A number that is not a loose one.

    Raises:
        ValueError: It is.
    """
    number = lexis.number(words)
    if isinstance(number, tuple):
        raise ValueError("a date is written with one number")
    return number


def _year(lexis: Lexis, anchor: date | None, match: re.Match[str]) -> tuple[int | None, bool]:
    """The year that is written, or named when there is an anchor, and whether the anchor was needed for it."""
    if (digits := _said(match, "y")) is not None:
        return (full_year(digits) if digits.lstrip("'").isascii() else _number(lexis, digits)), False
    if anchor is not None and (step := _said(match, "year")) is not None:
        return year_number(anchor.year + lexis.steps[step]), True
    return None, False


def _pointed(anchor: date, step: int, candidates: list[Window]) -> Window:
    """The last that has ended, the next that has not begun, or the one of this year."""
    if step < 0:
        return max((window for window in candidates if window.end < anchor), key=lambda window: window.start)
    if step > 0:
        return min((window for window in candidates if window.start > anchor), key=lambda window: window.start)
    holding = [window for window in candidates if window.start <= anchor <= window.end]
    return min(holding or [window for window in candidates if window.start.year == anchor.year], key=lambda window: window.start)


def season(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`season` of a year that is written (`y`) or named (`year`), or the one that `step` points to."""
    name = lexis.seasons[match["season"]]
    year, relative = _year(lexis, context.anchor, match)
    if year is not None:
        return whole(match, season_window(name, year, relative))
    candidates = each_year(context.anchor, lambda of: season_window(name, of, True), 2)
    if step := _said(match, "step"):
        return whole(match, _pointed(context.anchor, lexis.steps[step], candidates))
    return whole(match, nearest(context.anchor, context.tense(*match.span()), candidates))


def day_of_month(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`d` alone: the nearest such day that the clause looks to."""
    number, first = _number(lexis, match["d"]), context.anchor.replace(day=1)
    months = [months_later(first, step) for step in (-1, 0, 1) if 1 <= first.year * 12 + first.month - 1 + step < 120_000]
    candidates = [one_day(month.replace(day=number), True) for month in months if 1 <= number <= end_of_month(month).day]
    return whole(match, nearest(context.anchor, context.tense(*match.span()), candidates))


def decade(lexis: Lexis, context: Context, match: re.Match[str]) -> Found | None:
    """`decade`: its first year in four digits or two, which mean the latest that has begun."""
    first = _number(lexis, match["decade"])
    if first >= 1000:
        return whole(match, decade_window(first, False))
    year = context.anchor.year // 100 * 100 + first
    return whole(match, replace(decade_window(year if year <= context.anchor.year else year - 100, True)))
