"""Picks, of the times a text names, the one that answers a "when ..." question (``spec/tiers.md`` 5.3.6)."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date

from tierkeep.dates import lexicon as lex
from tierkeep.dates.durations import find_durations
from tierkeep.dates.languages import looks
from tierkeep.dates.resolve import MAX_SCANNED, find_times
from tierkeep.dates.spans import Precision, TimeSpan
from tierkeep.dates.tense import Tense
from tierkeep.terms import MAX_WORD, analyze
from tierkeep.terms.unspaced import UNSPACED

#: A word, or one character of a script without spaces.
_SPOKEN = rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_])+"
_TOKEN = re.compile(_SPOKEN)
_MARK = re.compile(rf"{_SPOKEN}|(?P<stop>[.!?;\n\u3002\uff01\uff1f\uff1b\u061f\u061b]+)|(?P<pause>[,\uff0c\u3001\u060c])")
_SENTENCE_COST = 8
_PAUSE_COST = 3
_TIME_TERMS = frozenset(analyze("date day week weekend month season year time ago long"))
_ASKS_PAST = re.compile(r"\b(?:did|was|were|had|has|have)\b")
_ASKS_FUTURE = re.compile(r"\b(?:will|going\sto|plans?|planning|planned)\b")


def _shared(question: str, text: str) -> list[int]:
    """Offsets of the words of ``text`` that share a term with the question."""
    asked = set(analyze(question)) - _TIME_TERMS
    return [
        match.start()
        for match in _TOKEN.finditer(text[:MAX_SCANNED])
        if match.end() - match.start() <= MAX_WORD and not asked.isdisjoint(analyze(match[0]))
    ]


def answer_time(question: str, text: str, anchor: date) -> TimeSpan | None:
    """The time in ``text`` that answers a "when ..." question, ``text`` said on ``anchor``.

    Of several, one on the side of the anchor the question asks about ("did" behind, "will" ahead) comes first, then
    the one fewest words from the words shared with the question, a sentence's end counting as eight words and a comma as three; then the
    first. A text that names only how long a thing has lasted ("for four months now") gives its beginning. A text that
    names no time was said on its anchor, so that day is returned, with an empty phrase and ``relative`` False. None for
    a text without words.
    """
    spans = find_times(text, anchor)
    if len(spans) == 1:
        return spans[0]
    if spans:
        return _nearest(question, text, anchor, spans)
    if not _TOKEN.search(text[:MAX_SCANNED]):
        return None
    lasting = [duration.since for duration in find_durations(text, anchor) if duration.since]
    return lasting[0] if lasting else TimeSpan("", anchor, anchor, Precision.DAY, False, (0, 0), anchor)


def _nearest(question: str, text: str, anchor: date, spans: list[TimeSpan]) -> TimeSpan:
    rank = _ranks(text)
    offsets = list(rank)
    timed = {offset for span in spans for offset in range(*span.position)}
    places = [rank[offset] for offset in _shared(question, text) if offset not in timed]
    folded = lex.folded(question[:MAX_SCANNED])
    ahead, behind = bool(_ASKS_FUTURE.search(folded)), bool(_ASKS_PAST.search(folded))
    if not ahead and not behind:
        tense = looks(question[:MAX_SCANNED])
        ahead, behind = tense is Tense.FUTURE, tense is Tense.PAST

    def cost(span: TimeSpan) -> tuple[bool, int, int]:
        wrong_side = (ahead and span.end < anchor) or (behind and not ahead and span.start > anchor)
        first = rank[offsets[min(bisect_left(offsets, span.position[0]), len(offsets) - 1)]]
        last = rank[offsets[max(bisect_left(offsets, span.position[1]) - 1, 0)]]
        at = bisect_left(places, first)
        near = min((max(first - place, place - last) for place in places[max(0, at - 1) : at + 1]), default=0)
        return wrong_side, near, span.position[0]

    return min(spans, key=cost)


def _ranks(text: str) -> dict[int, int]:
    """Offset of each word to its place in the text, counted in words."""
    ranks: dict[int, int] = {}
    place = 0
    for match in _MARK.finditer(text[:MAX_SCANNED]):
        if match["stop"]:
            place += _SENTENCE_COST
        elif match["pause"]:
            place += _PAUSE_COST
        else:
            ranks[match.start()] = place
            place += 1
    return ranks
