"""Grammar of times named by the calendar: dates, months, seasons, years, decades, holidays, days from a date."""

from __future__ import annotations

import re
from datetime import date

from tierkeep.dates import lexicon as lex
from tierkeep.dates.absolute import (
    Context,
    each_year,
    full_year,
    nearest,
    read_day,
    read_month,
    read_month_expression,
)
from tierkeep.dates.lexicon import FULL_WEEKDAY, MONTH, NUMBER, ORDINAL, PART_OF_DAY, SEASON, UNIT, WEEKDAY, YEAR, W
from tierkeep.dates.rule import Found, Grammar, whole
from tierkeep.dates.spans import (
    Precision,
    Window,
    days,
    decade_window,
    end_of_month,
    month_window,
    months_later,
    one_day,
    season_window,
    some_units_away,
    units_away,
    week_of,
    weekday_away,
    weekend_away,
    weekend_of,
    year_window,
)
from tierkeep.dates.tense import Tense

CALENDAR = Grammar()
_MONTH_WORDS = " ".join(lex.MONTHS)
_ALSO_WORDS = {"may", "march", "mar"}
_LEAD = (
    rf"(?:in|since|by|during|until|till|from|through|throughout|of|around|for|after|before|between|and|to|mid"
    rf"|early|late|end{W}of|start{W}of|beginning{W}of|middle{W}of|back{W}in)"
)
_PREPOSED = re.compile(r"\b(?:on|of|since|by|until|from|the|before|after|around|last|next|this|for)\s{1,3}$")


def _is_also_a_word(context: Context, found: re.Match[str], month: str) -> bool:
    """Whether a lower-case "may" or "march" is likely the verb: no capital, nothing before it that asks for a date."""
    if found[month].rstrip(".") not in _ALSO_WORDS or context.raw[found.start(month)].isupper():
        return False
    return not _PREPOSED.search(context.text[max(0, found.start() - 12) : found.start()])


@CALENDAR.rule(
    _MONTH_WORDS,
    rf"\b(?:{WEEKDAY},?{W}(?:the{W})?)?(?:(?P<m>{MONTH})[\s-]{{1,3}}(?:the{W})?[0-9]|[0-9]{{1,2}}(?:st|nd|rd"
    rf"|th)?[\s-]{{1,3}}(?:(?:day{W})?of{W})?(?P<n>{MONTH})\b"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?(?:\s?[-\u2013\u2014]\s?|{W}(?:to|through|until){W})[0-9]{{1,2}}(?:st|nd|rd|th)?{W}"
    rf"(?:of{W})?(?P<o>{MONTH})\b)",
)
def _worded_date(context: Context, match: re.Match[str]) -> Found | None:
    month = "m" if match["m"] else "n" if match["n"] else "o"
    read = read_day(context, match.start())
    if read is None:
        return None
    if read[0].relative and _is_also_a_word(context, match, month):
        return None
    return Found(match.start(), read[1], read[0])


@CALENDAR.rule("0", r"(?<![\w/.\-:$€£])[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{2,4}")
def _figured_date(context: Context, match: re.Match[str]) -> Found | None:
    read = read_day(context, match.start())
    return Found(match.start(), read[1], read[0]) if read else None


@CALENDAR.rule("0", rf"\b(?:on|by|since|until|till|before|after){W}(?P<d>(?P<a>[0-9]{{1,2}})/(?P<b>[0-9]{{1,2}}))(?![0-9/])")
def _month_slash_day(context: Context, match: re.Match[str]) -> Found | None:
    first, second = int(match["a"]), int(match["b"])
    month, day = (second, first) if first > 12 else (first, second)
    candidates = each_year(context.anchor, lambda year: one_day(date(year, month, day), True))
    return Found(match.start("d"), match.end("d"), nearest(context.anchor, context.tense(*match.span()), candidates))


@CALENDAR.rule(_MONTH_WORDS, rf"\b(?P<m>{MONTH})(?:,?{W}(?:of{W}|in{W})?|,){YEAR}")
def _month_of_year(context: Context, match: re.Match[str]) -> Found | None:
    read = read_month(context, match.start())
    return Found(match.start(), read[1], read[0]) if read else None


@CALENDAR.rule(_MONTH_WORDS, rf"\b(?:(?P<lead>{_LEAD})[\s-]{{1,3}}(?:in{W}|the{W})?)?(?P<m>{MONTH})(?![a-z'-]|\s[0-9])")
def _bare_month(context: Context, match: re.Match[str]) -> Found | None:
    month, capital = match["m"].rstrip("."), context.raw[match.start("m")].isupper()
    if not match["lead"] and (not capital or len(month) < 6 or month == "august"):
        return None
    if month in _ALSO_WORDS and (not capital and match["lead"] not in ("in", "since", "until", "early", "late", "mid")):
        return None
    if match["lead"] in ("and", "to") and not _RANGE_LEAD.search(context.text[max(0, match.start() - 40) : match.start()]):
        return None
    candidates = each_year(context.anchor, lambda year: month_window(year, lex.month_number(month), True))
    tense = context.tense(*match.span())
    return Found(match.start("m"), match.start("m") + len(month), nearest(context.anchor, tense, candidates))


@CALENDAR.rule(_MONTH_WORDS, rf"\b(?P<q>last|this{W}past|this|next|this{W}coming|coming){W}(?P<m>{MONTH})(?![a-z]|\s[0-9])")
def _qualified_month(context: Context, match: re.Match[str]) -> Found | None:
    month = lex.month_number(match["m"])
    if match["q"] == "this" and match["m"] in _ALSO_WORDS and not context.raw[match.start("m")].isupper():
        return None
    candidates = each_year(context.anchor, lambda year: month_window(year, month, True))
    return whole(match, _qualified(context, match["q"], candidates))


_RANGE_LEAD = re.compile(rf"\b(?:between|from){W}(?:early{W}|mid{W}|late{W})?{MONTH}(?:,?{W}{YEAR})?{W}$")


def _qualified(context: Context, word: str, candidates: list[Window]) -> Window:
    """The last (ended), next (not begun) or this (around the anchor, else of its year) of ``candidates``."""
    anchor = context.anchor
    if word in ("last", "past") or word.endswith("past"):
        return max((window for window in candidates if window.end < anchor), key=lambda window: window.start)
    if word == "next" or word.endswith("coming"):
        return min((window for window in candidates if window.start > anchor), key=lambda window: window.start)
    holding = [window for window in candidates if window.start <= anchor <= window.end]
    this_year = [window for window in candidates if window.start.year == anchor.year]
    return min(holding or this_year, key=lambda window: window.start)


_QUANTITY_NOUN = (
    r"(?:dollars|euros|pounds|people|users|calories|steps|miles|km|kilometers|metres|meters|times|words|pieces|points|"
    r"percent|grams|kg|items|pages|square|feet|hours|minutes|watts|mah|followers|subscribers|copies|cars|rpm)"
)


@CALENDAR.rule(
    "0",
    rf"(?:(?P<the>\bthe{W}year{W}(?:of{W})?)(?P<any>{YEAR})|(?<![\w$€£.,/:#+])(?P<y>(?:19|20)[0-9]{{2}}))"
    rf"(?![\w/:%°]|[.,][0-9]|-(?!(?:19|20)[0-9]{{2}}(?![0-9-]))[0-9]|{W}{_QUANTITY_NOUN}\b)",
)
def _bare_year(context: Context, match: re.Match[str]) -> Found | None:
    if match["any"]:
        return whole(match, year_window(full_year(match["any"]), False))
    before = context.text[max(0, match.start() - 24) : match.start()]
    after = context.text[match.end() : match.end() + 12]
    if _NUMBERED.search(before) or (before.endswith("-") and not _YEAR_HYPHEN.search(before)):
        return None
    if _YEAR_HYPHEN.search(before) or _YEAR_BEFORE.search(before) or _YEAR_AFTER.match(after):
        return whole(match, year_window(int(match["y"]), False))
    return None


_YEAR_HYPHEN = re.compile(r"(?:\b(?:early|mid|late)|(?<![0-9-])(?:19|20)[0-9]{2}\s?)[-\u2013\u2014]\s?$")
_YEAR_BEFORE = re.compile(
    rf"(?:^|[(,\[]\s?|\b(?:in|since|from|until|till|by|during|of|around|about|circa|early|mid|late|before|after"
    rf"|year|through|"
    rf"throughout|to|between|and|back{W}in|class{W}of|for|end{W}of|is|was)[\s-]{{1,3}})$"
)
_NUMBERED = re.compile(r"\b(?:room|flight|bus|route|page|number|no\.?|code|order|chapter|version|ticket|issue|pin|gate|id)\s{1,3}$")
_YEAR_AFTER = re.compile(r"\s{0,2}(?:$|[.!?;,)\]]|[-\u2013\u2014]|\b(?:and|was|is|were|when|to|because|so|but|with)\b)")


@CALENDAR.rule("0", r"\bthe\s(?:(?P<p>early|mid|late)[\s-])?(?P<d>'?(?:[2-9]0s|[0-9]{3}0s))\b")
def _decade(context: Context, match: re.Match[str]) -> Found | None:
    digits = match["d"].strip("'s")
    if len(digits) == 4:
        return Found(match.start("d"), match.end(), decade_window(int(digits), False))
    century = context.anchor.year // 100 * 100
    first = century + int(digits)
    return Found(match.start("d"), match.end(), decade_window(first if first <= context.anchor.year else first - 100, True))


@CALENDAR.rule(
    "spring summer autumn fall winter",
    rf"\b(?:(?:(?P<q>last|this{W}past|past|this{W}coming|coming|this|next)|(?P<p>in|during|over|since|until|by"
    rf"|throughout|for|early|late|mid))[\s-]{{1,3}}(?P<article>the{W})?|the{W})?"
    rf"(?P<s>{SEASON})(?:(?:{W}(?:of{W})?|,{W})(?P<y>{YEAR})(?:[-/][0-9]{{2,4}})?|(?P<bare>\b"
    rf"(?!{W}[a-z]{{0,20}}ing\b|[-'s]|{W}(?:break|semester|cleaning|camp|sale|roll|rolls|apart|asleep|in{W}love"
    rf"|off|into|out)\b)))",
)
def _season(context: Context, match: re.Match[str]) -> Found | None:
    name, start = match["s"], match.start("s")
    if match["y"]:
        return Found(start, match.end(), season_window(name, full_year(match["y"]), False))
    candidates = each_year(context.anchor, lambda year: season_window(name, year, True), 2)
    if match["q"]:
        return whole(match, _qualified(context, match["q"], candidates))
    if not match["p"] or match["bare"] is None:
        return None
    if match["article"] is None and context.tense(*match.span()) is Tense.NONE:
        return None
    return Found(start, match.end(), nearest(context.anchor, context.tense(*match.span()), candidates))


@CALENDAR.rule(
    "christmas boxing new halloween valentine's valentine st",
    rf"\b(?:(?P<q>last|this{W}past|this{W}coming|this|next){W})?(?P<h>{lex.alternatives(lex.HOLIDAYS)})"
    rf"(?:,?{W}(?:of{W}|in{W})?(?P<y>{YEAR}))?\b",
)
def _holiday(context: Context, match: re.Match[str]) -> Found | None:
    if match["h"] == "halloween" and not (
        match["q"] or match["y"] or _PREPOSED.search(context.text[max(0, match.start() - 12) : match.start()])
    ):
        return None
    month, day = lex.HOLIDAYS[match["h"]]
    if match["y"]:
        return whole(match, one_day(date(full_year(match["y"]), month, day), False))
    candidates = each_year(context.anchor, lambda year: one_day(date(year, month, day), True))
    if match["q"]:
        return whole(match, _qualified(context, match["q"], candidates))
    return whole(match, nearest(context.anchor, context.tense(*match.span()), candidates))


@CALENDAR.rule("of in", rf"\b(?P<n>{ORDINAL}){W}(?P<u>week|weekend|{FULL_WEEKDAY}|day){W}(?:of|in){W}")
def _part_of_month(context: Context, match: re.Match[str]) -> Found | None:
    read = read_month_expression(context, match.end())
    if read is None:
        return None
    month, number = read[0], lex.ORDINALS[match["n"]]
    first, last, unit = month.start, month.end, match["u"]
    if unit == "day":
        day = last if number < 0 else days(first, number - 1)
        window = one_day(day, month.relative)
    elif unit == "week":
        start = days(last, -6) if number < 0 else days(first, 7 * (number - 1))
        window = Window(start, min(days(start, 6), last), Precision.WEEK, month.relative)
    else:
        weekday = 5 if unit == "weekend" else lex.weekday_number(unit)
        day = weekday_away(months_later(first, 1), weekday, -1) if number < 0 else weekday_away(days(first, -1), weekday, number)
        if not first <= day <= last:
            raise ValueError("the month has no such weekday")
        saturday = Window(day, days(day, 1), Precision.WEEKEND, month.relative)
        window = saturday if unit == "weekend" else one_day(day, month.relative)
    return Found(match.start(), read[1], window)


@CALENDAR.rule(
    "before after of following from preceding",
    rf"\b(?:(?P<n>{NUMBER}){W}(?P<u>{UNIT})(?:{W}(?P<nw>before|after|from|following))|the{W}(?:(?P<one>day|week"
    rf"|weekend|month|year|{FULL_WEEKDAY})(?:{W}{PART_OF_DAY})?{W}(?P<w>before|after|of|following"
    rf"|preceding))){W}(?=[a-z0-9])",
)
def _counted_from_date(context: Context, match: re.Match[str]) -> Found | None:
    read = read_day(context, match.end())
    if read is None or read[0].start != read[0].end:
        return whole(match, None) if match["one"] in lex.WEEKDAYS else None
    day, relative = read[0].start, read[0].relative
    word = match["nw"] or match["w"]
    sign = -1 if word in ("before", "preceding") else 1
    if match["one"]:
        window = _neighbour(day, match["one"], 0 if word == "of" else sign)
    else:
        count, unit = lex.quantity(match["n"]), lex.unit_named(match["u"])
        window = units_away(day, sign * count, unit) if isinstance(count, int) else some_units_away(day, count, sign, unit)
    return Found(match.start(), read[1], _with_relative(window, relative))


def _with_relative(window: Window, relative: bool) -> Window:
    return Window(window.start, window.end, window.precision, relative, window.approximate)


def _neighbour(day: date, unit: str, sign: int) -> Window:
    """The day, week, weekend, month, year or weekday before (-1), around (0) or after (1) ``day``."""
    if unit in lex.WEEKDAYS:
        weekday = lex.weekday_number(unit)
        return one_day(weekday_away(day, weekday, sign) if sign else days(week_of(day, False).start, weekday), False)
    if unit == "day":
        return one_day(days(day, sign), False)
    if unit == "week":
        if not sign:
            return week_of(day, False)
        return Window(days(day, -7 if sign < 0 else 1), days(day, -1 if sign < 0 else 7), Precision.WEEK, False)
    if unit == "weekend":
        return weekend_away(day, sign, False) if sign else weekend_of(day, False)
    if unit == "month":
        there = months_later(day, sign)
        return month_window(there.year, there.month, False)
    return year_window(day.year + sign, False)


@CALENDAR.rule(
    "the",
    rf"\b(?:(?P<lead>on|by|since|until|till|from|before|after|around)(?:{W}{WEEKDAY},?)?{W})?the{W}"
    rf"(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)\b(?P<tail>{W}(?:of{W}(?P<of>last|this|next|the){W}month|(?:at|and|to"
    rf"|for|with|i|we|he|she|they|you|it|because|so|but|in|was|is|when|if|until|though|my|our|just|after|before"
    rf"|on|by|as|while|where|which|that|or|from|during|since)\b)|\s?[.,;:!?)]|$)?",
)
def _day_of_month(context: Context, match: re.Match[str]) -> Found | None:
    if match["tail"] is None:
        return None
    number, anchor = int(match["d"]), context.anchor
    end = match.end() if match["of"] else match.start("tail")

    def in_month(step: int) -> Window | None:
        try:
            first = months_later(anchor.replace(day=1), step)
        except OverflowError:
            return None
        return one_day(first.replace(day=number), True) if 1 <= number <= end_of_month(first).day else None

    steps = {"last": [-1], "this": [0], "the": [0], "next": [1]}.get(match["of"] or "", [-2, -1, 0, 1, 2])
    candidates = [window for step in steps if (window := in_month(step))]
    start = match.start() + (len(match["lead"]) + 1 if match["lead"] else 0)
    start = context.text.index("the", start) if context.text[start : start + 3] != "the" else start
    tense = Tense.NONE if match["of"] else context.tense(match.start(), end)
    return Found(start, end, nearest(anchor, tense, candidates))
