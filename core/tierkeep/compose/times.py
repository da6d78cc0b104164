"""Resolved dates, order and distance for temporal questions (MemFlow's temporal transform; tiers spec, 1.4)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from dateutil.relativedelta import relativedelta

from tierkeep.compose.lines import Line, messages
from tierkeep.dates import Precision, TimeSpan, answer_time, asks_for_time, describe, find_times
from tierkeep.dates.render import day_words
from tierkeep.records import EvidenceItem, Query
from tierkeep.sentences import asks
from tierkeep.terms import analyze

#: Items whose relative times are resolved for a temporal question: the best ones, because each resolution costs tokens.
_DATED_ITEMS = 8
#: Of a side's words, the share of all, and the share by rarity of those that any message has, that its message must have (ours).
_SPOKEN = 0.3
_COVERED = 0.5
#: Messages that an order is given for (ours: a line stays short).
_ORDERED = 4
#: Characters of a question and of a message that are read, and words of a message that are quoted.
_READ = 500
_SCANNED = 2_000
_QUOTED_WORDS = 10
#: From so many days on a distance is also told in months; one between bounds in months, or years, instead of days (ours).
_MONTHS_FROM = 61
_MONTHS_BETWEEN_FROM = 92
_YEARS_FROM = 730
_AUXILIARY = r"(?:did|was|were|had|has|have|do|does|will)"
#: The two sides of a question for an order or a distance; only searched in `_READ` characters.
_DISTANCE = (
    re.compile(r"\bbetween\b(.+?)\band\b(.+)", re.IGNORECASE),
    re.compile(rf"\bhow (?:long|many \w+)(?: \w+){{0,2}} (?:after|before)\b(.+?)\b{_AUXILIARY}\b(.+)", re.IGNORECASE),
    re.compile(rf"\bhow (?:long|many \w+)(?: \w+){{0,2}} {_AUXILIARY}\b(.+?)\b(?:before|after|until|till)\b(.+)", re.IGNORECASE),
)
_ORDER = (
    re.compile(r"\bbefore or after\b(.+?)\b(?:that|when)\b(.+)", re.IGNORECASE),
    re.compile(r"(.+?)\bbefore or after\b(.+)", re.IGNORECASE),
    re.compile(r"\b(?:first|earlier|later|last)\b ?[,:](.+?)\bor\b(.+)", re.IGNORECASE),
    re.compile(r"(.+?)\bor\b(.+)", re.IGNORECASE),
)
_AGO = re.compile(r"\bhow (?:long|many \w+) ago\b|\bhow many \w+ (?:have|has) passed\b", re.IGNORECASE)
_UP_TO_NOW = re.compile(r"\bhow (?:long|many (?:days|weeks|months|years)) (?:have|has|is it since)\b", re.IGNORECASE)
#: A sentence that says when something began; only its time answers "how long has …".
_BEGINS = re.compile(
    r"\b(?:since|ago|began|started|moved|joined|met|married|became|got|bought|adopted|opened|founded|launched|signed up|first)\b",
    re.IGNORECASE,
)
#: They ask for the order or the distance, and name nothing.
_FRAME = frozenset(analyze("happen first earlier later last come take place long many day week month year time pass ago start"))
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def with_dates(items: Sequence[EvidenceItem]) -> list[EvidenceItem]:
    """Return the items with the relative times of the best ones resolved against their own day (MemFlow's temporal transform)."""
    best = sorted(range(len(items)), key=lambda i: (-items[i].score, i))[:_DATED_ITEMS]
    dated = list(items)
    for index in best:
        item = items[index]
        if not item.at:
            continue
        spans = [span for span in find_times(item.text, date.fromisoformat(item.at[:10])) if span.relative]
        resolved = tuple(dict.fromkeys(f"{span.phrase} = {describe(span)}" for span in spans[:3]))
        if resolved:
            dated[index] = item.model_copy(update={"dates": resolved})
    return dated


class _Told(NamedTuple):
    """A message, the sentence of it that speaks of what is asked, and the time of that."""

    item: EvidenceItem
    sentence: str
    span: TimeSpan

    def __str__(self) -> str:
        # A message that names no time was said on its day; when the thing itself was is not known.
        when = describe(self.span) if self.span.phrase else f"told on {day_words(self.span.start)}"
        return f"\u201c{self.sentence}\u201d ({when})"


def time_lines(query: Query, items: Sequence[EvidenceItem]) -> list[Line]:
    """Return the order and the distance of what the question compares, or the time up to now; none for a plain "when".

    Args:
        query: The question, and the day it is asked on.
        items: The items shown that may be relied on.
    """
    question = query.text[:_READ]
    kind = asks_for_time(question)
    sides = _sides(question, kind)
    up_to_now = _AGO.search(question) or _UP_TO_NOW.search(question)
    if sides is None and not up_to_now and kind != "order":
        return []
    told = [item for item in messages(items) if not asks(item.text)]
    rarity = _rarity(told)
    if sides is not None:
        first, second = (_told_of(side, told, rarity) for side in sides)
        if first is None or second is None or first.item is second.item:
            return []
        return [_compared(first, second)]
    return _up_to_now(query, _told_of(question, told, rarity)) if up_to_now else _in_order(question, told)


def _sides(question: str, kind: str | None) -> tuple[str, str] | None:
    """Return the two things that the question compares; None when it does not name two."""
    for pattern in _ORDER if kind == "order" else _DISTANCE:
        found = pattern.search(question)
        if found and all(set(analyze(side)) - _FRAME for side in found.groups()):
            return found[1], found[2]
    return None


def _rarity(told: Sequence[EvidenceItem]) -> dict[str, float]:
    spread = Counter(term for item in told for term in set(analyze(f"{item.speaker} {item.text[:_SCANNED]}")))
    return {term: math.log(1 + len(told) / count) for term, count in spread.items()}


def _told_of(side: str, told: Sequence[EvidenceItem], rarity: Mapping[str, float]) -> _Told | None:
    """Return the message that speaks most of one side, with its time; None when none speaks enough of it."""
    wanted = set(analyze(side)) - _FRAME
    whole = sum(rarity.get(term, 0.0) for term in sorted(wanted))
    best: tuple[float, float] = (0.0, 0.0)
    chosen: EvidenceItem | None = None
    for item in told:
        shared = wanted & set(analyze(f"{item.speaker} {item.text[:_SCANNED]}"))
        covered = sum(rarity[term] for term in sorted(shared))
        if len(shared) > _SPOKEN * len(wanted) and covered >= _COVERED * whole and (covered, item.score) > best:
            best, chosen = (covered, item.score), item
    return _dated(side, chosen, wanted) if chosen is not None else None


def _dated(side: str, item: EvidenceItem, wanted: set[str]) -> _Told | None:
    text = item.text[:_SCANNED]
    span = answer_time(side, text, date.fromisoformat(item.at[:10]))
    if span is None:
        return None
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]
    spoken = max(sentences, key=lambda sentence: (bool(span.phrase) and span.phrase in sentence, len(wanted & set(analyze(sentence)))))
    words = spoken.translate({ord(mark): None for mark in "\"\u201c\u201d"}).split()
    return _Told(item, " ".join(words[:_QUOTED_WORDS]).rstrip(".!") + (" \u2026" if len(words) > _QUOTED_WORDS else ""), span)


def _compared(one: _Told, other: _Told) -> Line:
    first, second = sorted((one, other), key=lambda told: (told.span.start, told.span.end, told.item.order, told.item.id))
    ids = (first.item.id, second.item.id)
    apart = distance(first.span, second.span)
    if apart is None:
        return Line(f"{first} and {second}: these times overlap, so they give no order", ids)
    if apart == _SAME_DAY:
        return Line(f"{first} and {second}: {apart}", ids)
    return Line(f"{first} is before {second}: {apart}", ids)


def _up_to_now(query: Query, told: _Told | None) -> list[Line]:
    now = date.fromisoformat(query.now[:10])
    if told is None:
        return []
    began = told.span.phrase and _BEGINS.search(f"{told.span.phrase} {told.sentence}")
    if not began and not _AGO.search(query.text[:_READ]):
        return []  # the day on which a lasting thing was told of is not its beginning
    today = TimeSpan("", now, now, Precision.DAY, False, (0, 0), now)
    apart = distance(told.span, today) if told.span.start <= now else None
    return [] if apart is None else [Line(f"From {told} to {day_words(now)}, the day of the question: {apart}", (told.item.id,))]


def _in_order(question: str, told: Sequence[EvidenceItem]) -> list[Line]:
    """Return the best messages that name a time, in order, with the distance of each from the one before."""
    wanted = set(analyze(question)) - _FRAME
    speaking = [item for item in told if wanted & set(analyze(item.text[:_SCANNED]))]
    best = sorted(speaking, key=lambda item: (-item.score, item.order, item.id))[: 2 * _ORDERED]
    dated = [one for item in best if (one := _dated(question, item, wanted)) and one.span.phrase][:_ORDERED]
    if len(dated) < 2:
        return []
    dated.sort(key=lambda one: (one.span.start, one.span.end, one.item.order, one.item.id))
    text = str(dated[0])
    for before, after in pairwise(dated):
        apart = distance(before.span, after.span)
        text += "; at a time that overlaps, " if apart is None else f"; {apart}, " if apart == _SAME_DAY else f"; {apart} later, "
        text += str(after)
    return [Line(f"In order of time: {text}", tuple(one.item.id for one in dated))]


_SAME_DAY = "on the same day"


def distance(first: TimeSpan, second: TimeSpan) -> str | None:
    """Return how far two times are apart, no more precisely than they are known; None when they may be either way round.

    Args:
        first: The one that begins earlier, or on the same day.
        second: The other.
    """
    least, most = (second.start - first.end).days, (second.end - first.start).days
    loose = "about " if first.approximate or second.approximate else ""
    if least == most:
        return _SAME_DAY if most == 0 and not loose else f"{loose}{_exactly(first.start, second.start)}" if most else None
    if least <= 0:
        return None
    size, unit = (1.0, "days") if most < _MONTHS_BETWEEN_FROM else (30.44, "months") if most < _YEARS_FROM else (365.25, "years")
    low, high = int(least / size), math.ceil(most / size)
    if low == high:
        return f"about {_counted(high, unit[:-1])}"
    return f"{loose}{low} to {high} {unit}" if low else f"up to {_counted(high, unit[:-1])}"


def _exactly(start: date, end: date) -> str:
    count = (end - start).days
    days = _counted(count, "day")
    if count < _MONTHS_FROM:
        weeks, rest = divmod(count, 7)
        return days if weeks < 2 else f"{days} ({_joined((weeks, 'week'), (rest, 'day'))})"
    passed = relativedelta(end, start)
    return f"{days} ({_joined((passed.years, 'year'), (passed.months, 'month'), (passed.days, 'day'))})"


def _joined(*counts: tuple[int, str]) -> str:
    return " ".join(_counted(count, unit) for count, unit in counts if count)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
