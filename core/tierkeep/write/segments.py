"""HyMem's segments: a short conversation is one, a longer one is cut where it pauses or changes its subject (tiers spec, 2.2).

The released code cuts at sessions (evaluation) or wherever 4,096 tokens are full (live agent); the paper speaks of event units. Ours stands
between: a cut is looked for near the target size, at the longest pause, and where no pause stands out, where the words change most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from tierkeep.protocols import Span, TokenCounter, View
from tierkeep.records import Event
from tierkeep.settings import HyMemSettings
from tierkeep.terms import analyze

#: A cut lies at this share of the target size or more, and at that share or less (tiers 2.2: 600 to 1,000 around 800).
_NEAR = (0.75, 1.25)
#: A pause decides when it is so many times as long as the next (ours); otherwise the words do.
_STANDS_OUT = 2.0
#: Messages before a possible cut whose words the message after it may take up, and the characters of each that count (ours).
_BESIDE = 3
_BESIDE_CHARS = 2_000


class SegmentSegmenter:
    """Cuts a conversation into segments. Where it cuts depends on its events alone, not on how they were handed over.

    Whether to cut is known once more than `session_tokens` follow the last cut, and where, from the first `target_tokens` and a quarter
    of them. So the same conversation gives the same segments whether it comes at once or message by message, as long as it is not called
    over in between.

    Args:
        counter: How tokens are counted.
        settings: Sizes.
    """

    def __init__(self, counter: TokenCounter, settings: HyMemSettings) -> None:
        self._counter = counter
        self._whole = min(settings.session_tokens, settings.window_tokens)
        self._window = settings.window_tokens
        self._target = min(settings.target_tokens, int(self._whole / _NEAR[1]))  # then all that decides on a cut is there

    def segment(self, events: Sequence[Event], view: View, *, final: bool) -> list[Span]:
        """Return the segments that are complete: all of them when the conversation is over.

        Unless it is over, nothing is cut before a whole window waits; then the end that could still be one segment is left out.
        """
        sizes = [self._counter.count(f"{event.speaker}: {event.text}\n") for event in events]
        left = sum(sizes)
        if not final and left < self._window:
            return []
        spans: list[Span] = []
        start = 0
        while left > self._whole and start < len(events):
            end, reason = self._cut(events, sizes, start)
            spans.append(Span(tuple(events[start:end]), reason))
            left -= sum(sizes[start:end])
            start = end
        if final and start < len(events):
            spans.append(Span(tuple(events[start:]), "end of the conversation" if start else "whole conversation"))
        return spans

    def _cut(self, events: Sequence[Event], sizes: Sequence[int], start: int) -> tuple[int, str]:
        """Return the place after the last event of the next segment, and why there."""
        low, high = self._target * _NEAR[0], self._target * _NEAR[1]
        places: list[tuple[int, int]] = []
        for place, size in enumerate(accumulate(sizes[start:]), start + 1):
            places.append((place, size))
            if size > high:
                break
        near = [place for place, size in places if low <= size <= high]
        if len(near) > 1:
            return self._best(events, start, near, dict(places))
        # One long message: nearest to the target, and never more than a window unless a single message is.
        fits = [(place, size) for place, size in places if size <= self._window] or places[:1]
        return min(fits, key=lambda one: (abs(one[1] - self._target), one[0]))[0], "size"

    def _best(self, events: Sequence[Event], start: int, places: Sequence[int], size: dict[int, int]) -> tuple[int, str]:
        pauses = {place: events[place].ts - events[place - 1].ts for place in places}
        longest, second = sorted(pauses.values(), reverse=True)[:2]
        if longest > 0 and longest >= _STANDS_OUT * second:
            return max(places, key=lambda place: (pauses[place], -place)), "pause"
        cohesion = {place: _cohesion(events, start, place) for place in places}
        return min(places, key=lambda place: (cohesion[place], abs(size[place] - self._target), place)), "change of subject"


def _cohesion(events: Sequence[Event], start: int, place: int) -> float:
    """Return how far the message at a place takes up the words of those before it: the cosine of their distinct stems."""
    before, after = _stems(events[max(start, place - _BESIDE) : place]), _stems(events[place : place + 1])
    if not before or not after:
        return 0.0
    return len(before & after) / math.sqrt(len(before) * len(after))


def _stems(events: Sequence[Event]) -> set[str]:
    return {stem for event in events for stem in analyze(event.text[:_BESIDE_CHARS])}
