"""Memories from outside that carry the same text count as one hit (guard spec T17, S2.2: TopK occupancy of at most 1/K).

A planted text is stored many times, each in another carrier, to fill the hits. The best of them stays; the places of the others go to what
else was found. What the user said themselves is never counted together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tierkeep.records import FROM_OUTSIDE, Event, Hit, Query, Record, Source
from tierkeep.rendering import lines_of, reads_as

#: Words from which a shared sentence is a payload and not a phrase (guard spec 4.2; lead's choice).
_WORDS = 6
#: Words in a shingle, and the share of them from which two texts are one (guard spec 4.2: 0.9).
_SHINGLE = 4
_OVERLAP = 0.9
#: Fewer shingles say too little.
_LEAST_SHINGLES = 8
#: Characters that are compared of one hit.
_SCAN = 16_384
#: Kept hits that one shingle is looked up in: a shingle that many have says little.
_MOST_OWNERS = 4
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"[.!?。！？;；:：|\n]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class OccupancyCheck:
    """Keeps the best of the hits from outside that carry the same payload. Linear in the hits' texts."""

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits, in the same order, without repetitions of what came from outside."""
        outside = [hit for hit in hits if _from_outside(hit)]
        if len(outside) < 2:
            return list(hits)
        kept = _Kept()
        return [hit for hit in hits if not _from_outside(hit) or kept.take(hit)]


class _Kept:
    """What the hits that stay are known by: their roots, sentences and shingles."""

    def __init__(self) -> None:
        self._known: set[object] = set()
        self._owners: dict[int, list[int]] = {}
        self._sizes: list[int] = []

    def take(self, hit: Hit) -> bool:
        """Return whether the hit says something else than those that were taken before; then it is taken too."""
        words = [_words(sentence) for sentence in _sentences(hit.item)]
        marks: set[object] = {tuple(sentence) for sentence in words if len(sentence) >= _WORDS}
        marks.update(("root", root) for root in _roots(hit))
        flat = [word for sentence in words for word in sentence]
        shingles = {hash(tuple(flat[at : at + _SHINGLE])) for at in range(len(flat) - _SHINGLE + 1)}
        if not marks.isdisjoint(self._known) or self._like(shingles):
            return False
        self._known |= marks
        self._sizes.append(len(shingles))
        for shingle in shingles:
            owners = self._owners.setdefault(shingle, [])
            if len(owners) < _MOST_OWNERS:
                owners.append(len(self._sizes) - 1)
        return True

    def _like(self, shingles: set[int]) -> bool:
        if len(shingles) < _LEAST_SHINGLES:
            return False
        shared = Counter(owner for shingle in shingles for owner in self._owners.get(shingle, ()))
        return any(
            self._sizes[owner] >= _LEAST_SHINGLES and count >= _OVERLAP * min(len(shingles), self._sizes[owner])
            for owner, count in shared.items()
        )


def _from_outside(hit: Hit) -> bool:
    """Return whether anybody could have written it, or an agent has repeated what such a one wrote."""
    source = hit.item.origin.source
    return source in FROM_OUTSIDE or (source == Source.AGENT_INFERRED and bool(_roots(hit)))


def _roots(hit: Hit) -> tuple[str, ...]:
    """Return the events that this one explicitly repeats or summarises, and itself, so that it meets what repeats it.

    Records have none here: facts distilled from one page are different facts.
    """
    item = hit.item
    if not isinstance(item, Event):
        return ()
    return (*item.parents, item.id) if item.origin.source in FROM_OUTSIDE else item.parents


def _sentences(item: Event | Record) -> Iterator[str]:
    yield from _SENTENCE_END.split(reads_as(lines_of(item.text[:_SCAN])).lower())


def _words(sentence: str) -> list[str]:
    """Return the words of a sentence; where words are not spaced, its characters in twos."""
    if _UNSPACED.search(sentence):
        letters = "".join(_WORD.findall(sentence))
        return [letters[at : at + 2] for at in range(0, len(letters), 2)]
    return _WORD.findall(sentence)
