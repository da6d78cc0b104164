"""Grammar of times named from where the speaker stands: yesterday, last week, three years ago, Friday."""

from __future__ import annotations

import re
from datetime import date

from tierkeep.dates import lexicon as lex
from tierkeep.dates.absolute import Context
from tierkeep.dates.lexicon import FULL_WEEKDAY, NUMBER, PART_OF_DAY, SEASON, UNIT, WEEKDAY, W
from tierkeep.dates.rule import Found, Grammar, whole
from tierkeep.dates.spans import (
    FEW,
    Unit,
    Window,
    days,
    one_day,
    some_units_away,
    units_away,
    week_of,
    weekday_away,
    weekend_away,
    weekend_of,
)
from tierkeep.dates.tense import Tense
from tierkeep.dates.units import calendar_unit

RELATIVE = Grammar()
_WEEKDAY_WORDS = " ".join(lex.WEEKDAYS)


@RELATIVE.rule(
    "every each most any some per once twice",
    rf"\b(?:(?:every|each|most|any|some)(?:{W}(?:other|single|few|couple{W}of|now{W}and{W}then|second|third"
    rf"|one))?{W}(?:{WEEKDAY}|{SEASON}|{lex.FULL_MONTH}|{PART_OF_DAY}|(?:[a-z]{{3,9}}{W})?{UNIT})\b"
    rf"|(?:once|twice|times|per){W}(?:a{W})?{UNIT}\b)(?:{W}{PART_OF_DAY}s?)?",
)
def _habit(context: Context, match: re.Match[str]) -> Found | None:
    """Words of repetition stand for no one time, and hide the times inside them."""
    return whole(match, None)


@RELATIVE.rule(_WEEKDAY_WORDS, rf"\b{FULL_WEEKDAY}(?:s\b|{W}(?:morning|night|evening|afternoon)s\b)")
def _habitual_weekday(context: Context, match: re.Match[str]) -> Found | None:
    return whole(match, None)


@RELATIVE.rule(
    "yesterday today tomorrow tonight morning afternoon evening night other",
    rf"\b(?:(?P<far>(?:the{W})?day{W}(?:before{W}yesterday|after{W}tomorrow))"
    rf"|(?:(?:earlier|later){W})?(?P<d>yesterday|today|tomorrow)(?:{W}{PART_OF_DAY})?"
    rf"|(?P<t>tonight|this{W}(?:morning|afternoon|evening)|(?:earlier|later){W}tonight)|"
    rf"(?P<n>last{W}(?:night|evening))"
    rf"|(?P<o>the{W}other{W}(?P<ou>day|night|morning|afternoon|evening|week)))\b",
)
def _day_from_here(context: Context, match: re.Match[str]) -> Found | None:
    anchor = context.anchor
    if match["o"]:
        unit = Unit.WEEK if match["ou"] == "week" else Unit.DAY
        return whole(match, some_units_away(anchor, FEW, -1, unit))
    if match["far"]:
        step = -2 if "before" in match["far"] else 2
    elif match["n"]:
        step = -1
    else:
        step = {"yesterday": -1, "tomorrow": 1}.get(match["d"] or "", 0)
    return whole(match, one_day(days(anchor, step), True))


_BACK = ("last", "past", "previous")
_QUALIFIER = rf"(?P<q>last|(?:this{W}|the{W})?(?:past|previous)|(?:this{W}|the{W})?(?:coming|upcoming)|this|next)"


def _step(qualifier: str) -> int:
    """-1 for "last" and the like, 1 for "next" and the like, 0 for "this"."""
    if qualifier.endswith(_BACK):
        return -1
    return 0 if qualifier == "this" else 1


@RELATIVE.rule(
    "week weekend month year decade",
    rf"\b(?:(?:earlier|later|late|early|sometime){W})?(?<!-){_QUALIFIER}{W}(?P<u>week|weekend|month|year"
    rf"|decade)(?P<last>{W}before{W}last)?\b(?!{W}ago\b)",
)
def _unit_from_here(context: Context, match: re.Match[str]) -> Found | None:
    before = context.text[max(0, match.start() - 6) : match.start()]
    if match["q"].endswith(("past", "previous")) and before.endswith(("for ", "over ", "in ")):
        return None
    start = match.start("q")
    return Found(start, match.end(), calendar_unit(context, match["u"], _step(match["q"]), match.span()))


@RELATIVE.rule("before after", rf"\bthe{W}(?P<u>week|weekend|month|year){W}(?P<w>before{W}last|after{W}next)\b")
def _one_further(context: Context, match: re.Match[str]) -> Found | None:
    return whole(match, calendar_unit(context, match["u"], -2 if match["w"].startswith("before") else 2, match.span()))


@RELATIVE.rule("weekend", rf"\b(?:over|at|on|during|for|of){W}(?P<w>the{W}weekend)\b(?!{W}(?:of|before|after|following)\b|s\b)")
def _the_weekend(context: Context, match: re.Match[str]) -> Found | None:
    future = context.tense(*match.span()) is Tense.FUTURE
    anchor = context.anchor
    window = weekend_of(anchor, True) if anchor.weekday() >= 5 else weekend_away(anchor, 1 if future else -1, True)
    return Found(match.start("w"), match.end("w"), window)


@RELATIVE.rule(
    _WEEKDAY_WORDS,
    rf"\b(?:that|one|a|another|some|the{W}following|the{W}next){W}(?:[a-z]{{2,12}}{W})?{FULL_WEEKDAY}\b",
)
def _other_weekday(context: Context, match: re.Match[str]) -> Found | None:
    """A weekday counted from something else in the story, or an indefinite one, is not the anchor's."""
    return whole(match, None)


@RELATIVE.rule("ago", rf"\b(?P<n>{NUMBER}){W}(?P<d>{FULL_WEEKDAY})s?{W}ago\b")
def _weekdays_ago(context: Context, match: re.Match[str]) -> Found | None:
    count = lex.quantity(match["n"])
    if not isinstance(count, int):
        return whole(match, None)
    return whole(match, one_day(weekday_away(context.anchor, lex.weekday_number(match["d"]), -count), True))


@RELATIVE.rule("ago", rf"\b(?P<n>{NUMBER}|half{W}an?){W}(?P<u>{UNIT})(?P<half>{W}and{W}a{W}half)?{W}ago\b")
def _ago(context: Context, match: re.Match[str]) -> Found | None:
    unit = lex.unit_named(match["u"])
    if match["n"].startswith("half"):
        return whole(match, _half_ago(context.anchor, unit))
    count = lex.quantity(match["n"])
    if isinstance(count, tuple):
        return whole(match, some_units_away(context.anchor, count, -1, unit))
    if match["half"] and unit is Unit.YEAR:
        return whole(match, units_away(context.anchor, -12 * count - 6, Unit.MONTH))
    return whole(match, units_away(context.anchor, -count * (2 if "fortnight" in match["u"] else 1), unit))


def _half_ago(anchor: date, unit: Unit) -> Window | None:
    if unit is Unit.YEAR:
        return units_away(anchor, -6, Unit.MONTH)
    if unit is Unit.DECADE:
        return units_away(anchor, -5, Unit.YEAR)
    return one_day(anchor, True) if unit in (Unit.HOUR, Unit.DAY) else None


@RELATIVE.rule(
    "in from now time",
    rf"\b(?:(?P<is>(?:is|are|'s|be|starts|begins|leaves?|opens|due|happening|see{W}you|back){W}(?:only{W}"
    rf"|just{W})?)?(?P<in>in){W}(?P<n>{NUMBER}){W}(?P<u>{UNIT})(?P<time>'?{W}time)?"
    rf"|(?P<n2>{NUMBER}){W}(?P<u2>{UNIT}){W}from{W}(?:now|today))\b",
)
def _ahead(context: Context, match: re.Match[str]) -> Found | None:
    """The words "in three days" are a point in time only where something says so: else they may be a length."""
    sure = match["n2"] or match["is"] or match["time"]
    if not sure and context.tense(*match.span()) is not Tense.FUTURE:
        return None
    count, unit = lex.quantity(match["n"] or match["n2"]), lex.unit_named(match["u"] or match["u2"])
    window = units_away(context.anchor, count, unit) if isinstance(count, int) else some_units_away(context.anchor, count, 1, unit)
    return Found(match.start("in") if match["in"] else match.start(), match.end(), window)


@RELATIVE.rule(
    _WEEKDAY_WORDS,
    rf"\b(?:{_QUALIFIER}{W}|(?P<on>on|by|until|till|since|of){W})?(?P<d>{WEEKDAY})(?:{W}{PART_OF_DAY})?(?:,?{W}"
    rf"(?:of{W})?(?P<wq>last|this|next){W}week)?(?![a-z-]|'(?!s\b))",
)
def _weekday(context: Context, match: re.Match[str]) -> Found | None:
    word, anchor = match["d"].rstrip("."), context.anchor
    if word in lex.WEEKDAY_ABBREVIATIONS and not _is_abbreviation(context, match):
        return None
    start = match.start("q") if match["q"] else match.start("d")
    end = match.end() if match["d"] == word or match.end() > match.end("d") else match.end("d") - 1
    weekday = lex.weekday_number(word)
    if match["wq"]:
        monday = week_of(days(anchor, 7 * _step(match["wq"])), True).start
        return Found(start, end, one_day(days(monday, weekday), True))
    return Found(start, end, one_day(_named_weekday(context, match, weekday), True))


def _is_abbreviation(context: Context, match: re.Match[str]) -> bool:
    """Whether "sat", "thu" is a day here: after "last", "next" or "on"; those that are also words need a capital."""
    if not (match["q"] or match["on"] or match["wq"]):
        return False
    return match["d"].rstrip(".") not in ("sat", "sun", "wed", "mon") or context.raw[match.start("d")].isupper()


def _named_weekday(context: Context, match: re.Match[str], weekday: int) -> date:
    """The day a weekday's name means.

    "Last Friday" is the nearest one before the anchor. "Next Friday" is the one in the next calendar week. "This" and
    "coming" name the nearest ahead, today included for "this". Bare names look back (today included: a message sent on
    Friday that says Friday), unless the clause looks ahead.
    """
    anchor, qualifier = context.anchor, match["q"]
    if qualifier and qualifier.endswith(_BACK):
        return weekday_away(anchor, weekday, -1)
    if qualifier == "next":
        return days(anchor, 7 - anchor.weekday() + weekday)
    if qualifier and qualifier != "this":
        return weekday_away(anchor, weekday, 1)
    tense = context.tense(*match.span())
    if anchor.weekday() == weekday:
        return anchor
    if qualifier == "this":
        return weekday_away(anchor, weekday, -1 if tense is Tense.PAST else 1)
    ahead = tense is Tense.FUTURE or match["on"] in ("by", "until", "till")
    return weekday_away(anchor, weekday, 1 if ahead else -1)
