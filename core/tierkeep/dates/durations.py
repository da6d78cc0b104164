"""Finds stated lengths of time, for "how long ..." questions."""

from __future__ import annotations

import re
from datetime import date
from itertools import islice

from tierkeep.dates import lexicon as lex
from tierkeep.dates.lexicon import NUMBER, UNIT, W
from tierkeep.dates.resolve import MAX_SCANNED, MAX_TIMES, find_times
from tierkeep.dates.spans import Duration, Precision, TimeSpan, Unit, units_away

_LENGTH = re.compile(
    rf"\b(?P<about>(?:about|around|almost|nearly|roughly|over|more{W}than|less{W}than|some){W})?(?:(?:the|past"
    rf"|last|whole|full){W}){{0,2}}"
    rf"(?P<n>{NUMBER}|(?P<hn>half{W}an?)|[0-9]{{1,3}}\.[0-9]{{1,2}})(?P<hb>{W}and{W}a{W}half)?(?:{W}|-)(?:"
    rf"(?:full|whole|long|good|more){W})?(?P<u>{UNIT})"
    rf"(?P<half>{W}and{W}a{W}half)?\b(?!{W}(?:ago|before|after|from{W}now|later|earlier)\b|-old\b)"
)
_HABITUAL = re.compile(rf"\b(?:every|each|once|twice|times|per){W}(?:a{W})?$")
_SINGLE = re.compile(
    rf"\b(?:for|in|took|takes|lasted|within|over|about|around|almost|nearly|whole|after){W}(?:me{W}|us{W}"
    rf"|him{W}|her{W}|them{W})?$"
)
_NOW = re.compile(r"\s{1,3}(?:now|so\sfar|already)\b")
_STILL_RUNNING = re.compile(
    r"(?:\b(?:have|has)|'ve|'s\sbeen)\b[^.!?;\n]{0,70}\bfor\s{1,3}(?:(?:the|past|last|about|around|almost"
    r"|nearly|over|at|least)\s{1,3}){0,3}$"
)
_DAYS = {
    Precision.DAY: 1.0,
    Precision.WEEKEND: 7.0,
    Precision.WEEK: 7.0,
    Precision.MONTH: 30.44,
    Precision.SEASON: 91.3,
}
_BY_PRECISION = {
    Precision.DAY: Unit.DAY,
    Precision.WEEKEND: Unit.WEEK,
    Precision.WEEK: Unit.WEEK,
    Precision.MONTH: Unit.MONTH,
    Precision.SEASON: Unit.MONTH,
    Precision.YEAR: Unit.YEAR,
    Precision.DECADE: Unit.YEAR,
}


def find_durations(text: str, anchor: date | None = None) -> list[Duration]:
    """The lengths of time stated in ``text``, in text order: "four years", "half an hour", "two and a half months".

    With ``anchor``, a length that still runs ("for three years now", "we've known her for ten years") carries its
    beginning in ``since``, as loose as "three years ago" is; and "since 2016" also counts: its value is the whole units
    elapsed up to the anchor, in the unit of the words, marked approximate. Points in time ("two years ago") and rates
    ("twice a week") are not lengths. Reads as much of the text as ``find_times`` does, and never raises.
    """
    scanned = lex.folded(text[:MAX_SCANNED])
    matches = islice(_LENGTH.finditer(scanned), MAX_TIMES)
    found = [duration for match in matches if (duration := _length(text, scanned, match, anchor))]
    if anchor is not None and (found or "since" in scanned):
        times = find_times(text, anchor)
        covered = [time.position for time in times]
        found = [one for one in found if not any(start <= one.position[0] < end for start, end in covered)]
        found += [_since(time, anchor) for time in times if _counts_from(time, anchor)]
    return sorted(found, key=lambda duration: duration.position)[:MAX_TIMES]


def _length(text: str, scanned: str, match: re.Match[str], anchor: date | None) -> Duration | None:
    words, unit = match["n"], lex.unit_named(match["u"])
    before = scanned[max(0, match.start() - 24) : match.start()]
    single = words in ("a", "an")
    if unit is Unit.WEEKEND or (single and (_HABITUAL.search(before) or not (match["half"] or match["about"] or _SINGLE.search(before)))):
        return None
    loose = bool(match["about"])
    if match["hn"]:
        value = 0.5
    elif "." in words:
        value = float(words)
    else:
        count = lex.quantity(words)
        loose = loose or not isinstance(count, int)
        value = float(count) if isinstance(count, int) else sum(count) / 2
    if match["half"] or match["hb"]:
        value += 0.5
    if match["u"].startswith("fortnight"):
        value *= 2
    start = match.start("about") if match["about"] else match.start("n")
    position = (start, match.end())
    since = _beginning(text, scanned, position, value, unit, anchor) if anchor else None
    return Duration(text[start : match.end()], value, unit, since, position, loose)


def _beginning(text: str, scanned: str, position: tuple[int, int], value: float, unit: Unit, anchor: date) -> TimeSpan | None:
    """When a length that runs up to the anchor began, or None when the words do not say that it still runs."""
    start, end = position
    before = scanned[max(0, start - 90) : start]
    if not (_NOW.match(scanned, end) or _STILL_RUNNING.search(before)) or not value.is_integer():
        return None
    try:
        window = units_away(anchor, -int(value), unit)
    except (OverflowError, ValueError):
        return None
    return TimeSpan(text[start:end], window.start, window.end, window.precision, True, position, anchor, window.approximate)


def _counts_from(span: TimeSpan, anchor: date) -> bool:
    return lex.folded(span.phrase[:6]).startswith("since") and span.start <= anchor


def _since(span: TimeSpan, anchor: date) -> Duration:
    """The length from ``span`` to the anchor, in the unit the words spoke in."""
    unit = _BY_PRECISION[span.precision]
    if unit is Unit.YEAR:
        value = anchor.year - span.start.year
    elif unit is Unit.MONTH:
        value = (anchor.year - span.start.year) * 12 + anchor.month - span.start.month
    else:
        value = int((anchor - span.start).days // _DAYS[span.precision])
    return Duration(span.phrase, float(value), unit, span, span.position, True)
