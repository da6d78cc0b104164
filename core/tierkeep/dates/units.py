"""Calendar units counted from where the speaker stands: last week, this weekend, next month."""

from __future__ import annotations

from tierkeep.dates.absolute import Context
from tierkeep.dates.spans import (
    Precision,
    Window,
    days,
    decade_window,
    month_window,
    months_later,
    week_of,
    weekend_away,
    weekend_of,
    year_number,
    year_window,
)
from tierkeep.dates.tense import Tense

__all__ = ["calendar_unit", "weekend_near"]


def calendar_unit(context: Context, unit: str, step: int, at: tuple[int, int]) -> Window:
    """The week, weekend, month, year or decade ``step`` away from the anchor's.

    "Last week" is the seven days before the anchor and "next week" the seven after it: the reading that holds on every
    day of the week, and the one its description states. "This week" is the calendar week.
    """
    anchor = context.anchor
    match unit:
        case "week":
            if not step:
                return week_of(anchor, True)
            first = days(anchor, 7 * step if step < 0 else 7 * step - 6)
            return Window(first, days(first, 6), Precision.WEEK, True)
        case "weekend":
            return weekend_near(context, step, at)
        case "month":
            there = months_later(anchor, step)
            return month_window(there.year, there.month, True)
        case "year":
            return year_window(year_number(anchor.year + step), True)
        case _:
            return decade_window(year_number(anchor.year // 10 * 10 + 10 * step), True)


def weekend_near(context: Context, step: int, at: tuple[int, int]) -> Window:
    """The weekend ``step`` away; "next weekend" said on a weekday is that of the next calendar week."""
    anchor = context.anchor
    if step > 0:
        return weekend_of(days(anchor, 7 * step - anchor.weekday() + 5), True)
    if step < 0:
        return weekend_away(anchor, step, True)
    if anchor.weekday() >= 5:
        return weekend_of(anchor, True)
    return weekend_away(anchor, -1 if context.tense(*at) is Tense.PAST else 1, True)
