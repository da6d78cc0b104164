"""Whether a printed time says what a benchmark's gold answer says, days and coarseness both.

This is the one place that knows how benchmark answers write their dates: glued words ("3June"), stray marks, misspelt
months, a full stop for a comma ("April.2023"). After that tidying the gold is read with the resolver's own grammar, and
so is the printed answer: both become days and a precision, or a length of time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

from tierkeep.dates import Precision, TimeSpan, find_durations, find_times
from tierkeep.dates import lexicon as lex

_NOWHEN = date(1, 7, 1)
"""The anchor answers are read with: a year that no benchmark speaks of, so that a form which needs an anchor shows."""

_AGO = re.compile(rf"\b(?P<n>{lex.NUMBER})\s(?P<u>{lex.UNIT})\s(?:ago|before)\b")
_FULL_MONTHS = [name.capitalize() for name in lex.MONTHS if len(name) > 4 or name in ("may", "june", "july")]


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """The days and the coarseness a gold answer states.

    Attributes:
        start: First day.
        end: Last day, inclusive.
        precision: The unit the answer speaks in.
        yearless: True when the answer names a day or month without a year; ``start`` and ``end`` then carry a year that
            means nothing.
    """

    start: date
    end: date
    precision: Precision
    yearless: bool = False


def tidied(answer: str) -> str:
    """``answer`` with the slips of benchmark typists undone: spacing, stray marks, misspelt months."""
    text = re.sub(r"[`\u00b4]", "", answer[:400])
    text = re.sub(r"(?<=[0-9])(?=[A-Za-z])(?!st\b|nd\b|rd\b|th\b|s\b|am\b|pm\b)", " ", text)
    text = re.sub(r"(?<=[A-Za-z])\.(?=[0-9])", " ", text)
    return re.sub(r"\b[A-Z][a-z]{4,10}\b", lambda word: _month_or_same(word[0]), text).strip()


def _month_or_same(word: str) -> str:
    """The month ``word`` misspells by a letter or two, else ``word``."""
    near = get_close_matches(word, _FULL_MONTHS, n=1, cutoff=0.88)
    return near[0] if near else word


def gold_span(answer: str) -> GoldSpan | None:
    """What a gold answer states as days and precision, or None when it states no date (a length, an "ago", a name).

    The answer must be the date and little else: at most two words may stand outside it ("In 2013", "on 5 March").
    """
    text = tidied(answer)
    spans = find_times(text, _NOWHEN)
    if not spans:
        return None
    span = spans[0]
    outside = text[: span.position[0]] + " " + text[span.position[1] :]
    if len(re.findall(r"\w+", outside)) > 2:
        return None
    yearless = _is_yearless(span)
    if span.relative and not yearless:
        return None
    return GoldSpan(span.start, span.end, span.precision, yearless)


def _is_yearless(span: TimeSpan) -> bool:
    return (
        span.relative
        and span.precision in (Precision.DAY, Precision.MONTH)
        and bool(re.search("[A-Za-z]{3}", span.phrase))
        and any(month in lex.folded(span.phrase) for month in lex.MONTHS)
    )


def matches(predicted_text: str, gold_answer: str) -> bool:
    """Whether the time ``predicted_text`` leads with is the one ``gold_answer`` states.

    A gold date is matched by the first time in the prediction when the precision is the same and so are the first and
    the last day. That makes equal what describes the same days in other words ("14 July 2023" and "The Friday before
    15 July 2023"; "the weekend of 15 July 2023" and "The weekend before 17 July 2023"), and keeps apart a day from
    its week and a week from its month. "The week before D" is always the seven days before D: two such weeks are
    equal only with the same D, and no day inside one matches it. "Around" and "since" are not compared. A gold date
    without a year is matched by the same day or month of any year. A gold "N years ago" is matched by the same count
    and unit, said as "ago" or "before", anywhere in the prediction, as it has no anchor of its own; a gold length
    ("four years") by an equal length.
    """
    gold, predicted = gold_span(gold_answer), tidied(predicted_text)
    if gold is not None:
        spans = find_times(predicted, _NOWHEN)
        return bool(spans) and _same(spans[0], gold)
    folded = lex.folded(tidied(gold_answer))
    if ago := _AGO.search(folded):
        return _counted(ago) in {_counted(found) for found in _AGO.finditer(lex.folded(predicted))}
    lengths = find_durations(tidied(gold_answer))
    if len(lengths) != 1:
        return False
    return any((found.value, found.unit) == (lengths[0].value, lengths[0].unit) for found in find_durations(predicted))


def _counted(found: re.Match[str]) -> tuple[object, str]:
    return lex.quantity(found["n"]), lex.unit_named(found["u"]).value


def _same(span: TimeSpan, gold: GoldSpan) -> bool:
    if span.precision is not gold.precision:
        return False
    if gold.yearless:
        ours, theirs = (span.start, span.end), (gold.start, gold.end)
        return [(day.month, day.day) for day in ours] == [(day.month, day.day) for day in theirs]
    return not (span.relative and not _is_yearless(span)) and (span.start, span.end) == (gold.start, gold.end)
