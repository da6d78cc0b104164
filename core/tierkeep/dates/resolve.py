"""Finds the times a text names and resolves them against the day it was said (``spec/tiers.md`` 5.3.3)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

from tierkeep.dates import lexicon as lex
from tierkeep.dates.absolute import Context
from tierkeep.dates.calendar_rules import CALENDAR
from tierkeep.dates.languages import find_foreign
from tierkeep.dates.lexicon import W
from tierkeep.dates.relative_rules import RELATIVE
from tierkeep.dates.rule import Found
from tierkeep.dates.spans import Precision, TimeSpan, Window, divisible, end_of_month, part_of

MAX_SCANNED = 50_000
"""Characters of a text that are read; a message is short, and a pasted file is not searched for dates to its end."""

MAX_TIMES = 500
"""Times returned for one text."""

_RULES = [*CALENDAR, *RELATIVE]
_WORD = re.compile(r"[a-z]+|[0-9]")
_MODIFIER = re.compile(
    rf"(?:\b(?P<since>since){W})?(?:\b(?P<around>around|about|roughly|approximately|circa|some{W}time{W}in"
    rf"|sometime{W}in){W})?"
    rf"(?:(?:the{W})?\b(?P<part>early|mid|late|beginning|start|middle|end)(?:{W}(?:of|in){W}|[-\s]{{1,3}})"
    rf"(?:in{W})?)?(?:the{W})?$"
)
_COUNTED = re.compile(rf"[0-9]|half{W}|{lex.NUMBER}\b")
"""What "about" makes approximate: "about two weeks ago", but not "we talked about yesterday"."""
_JOIN = re.compile(rf"\s?[-\u2013\u2014]\s?|{W}(?:to|until|till|through){W}(?:the{W})?")
_GLOSS = re.compile(r"\s?[(\[]|\s?[,:\u2013\u2014-]\s{0,2}")
_BETWEEN = re.compile(rf"\bbetween{W}$")
_AND = re.compile(rf"{W}and{W}")
_PART_WORDS = {"beginning": "early", "start": "early", "middle": "mid", "end": "late"}
_MERGEABLE = {Precision.DAY, Precision.MONTH, Precision.YEAR}


def find_times(text: str, anchor: date) -> list[TimeSpan]:
    """The times named in ``text``, said on ``anchor``, in text order and not overlapping (the longest match wins).

    Reads English, and Chinese, Japanese, German, Spanish and Arabic where a text shows them. Only the first ``MAX_SCANNED`` characters are
    searched and at most ``MAX_TIMES`` times returned; the cost is linear in the text. Words that name no one time ("recently", "every
    Friday") or a day that does not exist ("30 February") yield nothing. Never raises on any text or anchor.
    """
    context = Context(text[:MAX_SCANNED], lex.folded(text[:MAX_SCANNED]), anchor)
    words = set(_WORD.findall(context.text))
    foreign = find_foreign(context.raw, anchor)
    if not words.isdisjoint("0123456789"):
        words.add("0")
    found = foreign + [item for rule in _RULES if not words.isdisjoint(rule.words) for item in rule.find(context)]
    if not found:
        return []
    return _joined(context, _modified(context, _longest(found)))[:MAX_TIMES]


def _longest(found: list[Found]) -> list[Found]:
    """The leftmost, then longest, of overlapping stretches; those that stand for nothing are dropped last."""
    kept: list[Found] = []
    for item in sorted(found, key=lambda item: (item.start, -item.end)):
        if not kept or item.start >= kept[-1].end:
            kept.append(item)
    return kept


def _modified(context: Context, found: list[Found]) -> list[TimeSpan]:
    """Spans for what was found, with "since", "around", "early", "mid" and "late" before them taken in."""
    spans: list[TimeSpan] = []
    floor = 0
    for item in found:
        if item.window is not None:
            lead = _MODIFIER.search(context.text[max(floor, item.start - 40) : item.start])
            window, start = item.window, item.start
            if lead and lead["around"] == "about" and not _COUNTED.match(context.text, item.start):
                lead = None
            if lead and (lead["since"] or lead["around"] or (lead["part"] and divisible(window))):
                start -= len(lead[0])
                if lead["part"] and divisible(window):
                    window = part_of(window, _PART_WORDS.get(lead["part"], lead["part"]))
                if lead["around"]:
                    window = replace(window, approximate=True)
            spans.append(_span(context, start, item.end, window))
        floor = item.end
    return spans


def _span(context: Context, start: int, end: int, window: Window) -> TimeSpan:
    return TimeSpan(
        phrase=context.raw[start:end],
        start=window.start,
        end=window.end,
        precision=window.precision,
        relative=window.relative,
        position=(start, end),
        anchor=context.anchor,
        approximate=window.approximate,
    )


def _joined(context: Context, spans: list[TimeSpan]) -> list[TimeSpan]:
    """Spans with "5 June to 7 June", "2014-2016" and "between May and July" made one each."""
    joined: list[TimeSpan] = []
    for span in spans:
        both = _join(context, joined[-1], span) if joined else None
        if both:
            joined[-1] = both
        else:
            joined.append(span)
    return joined


def _join(context: Context, first: TimeSpan, second: TimeSpan) -> TimeSpan | None:
    """The range from ``first`` to ``second`` when the text joins them and both are of one precision, else None."""
    (start, middle), (resume, end) = first.position, second.position
    if _glossed(context, first, second):
        return replace(second, phrase=context.raw[start:end], position=(start, end))
    if first.precision is not second.precision or first.precision not in _MERGEABLE or resume - middle > 16:
        return None
    between = context.text[middle:resume]
    listed = _AND.fullmatch(between) and _BETWEEN.search(context.text[max(0, start - 12) : start])
    if not (_JOIN.fullmatch(between) or listed):
        return None
    begins, ends = first.start, second.end
    if first.relative and not second.relative:
        begins = _in_year(begins, second.end.year) or begins
    elif second.relative and ends < begins:
        ends = _in_year(ends, begins.year) or ends
    if ends < begins or not _whole(begins, ends, first.precision):
        return None
    window = Window(begins, ends, first.precision, first.relative and second.relative, first.approximate or second.approximate)
    return _span(context, start, end, window)


def _glossed(context: Context, first: TimeSpan, second: TimeSpan) -> bool:
    """Whether ``second`` is the date of the weekday named just before it: "Thursday (March 21)"."""
    name, at = lex.folded(first.phrase), (first.position[1], second.position[0])
    if name not in lex.WEEKDAYS or second.precision is not Precision.DAY or second.start != second.end:
        return False
    return lex.WEEKDAYS[name] == second.start.weekday() and bool(_GLOSS.fullmatch(context.text, *at))


def _whole(begins: date, ends: date, precision: Precision) -> bool:
    """Whether the range begins and ends where units of ``precision`` do; "mid May to June" does not."""
    if precision is Precision.DAY:
        return True
    months = begins.day == 1 and ends == end_of_month(ends)
    return months and (precision is Precision.MONTH or (begins.month, ends.month) == (1, 12))


def _in_year(day: date, year: int) -> date | None:
    try:
        return day.replace(year=year)
    except ValueError:
        return None
