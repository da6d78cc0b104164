"""Memories from outside that carry the same text count as one hit (guard spec T17, S2.2: TopK occupancy of at most 1/K).

A planted text is stored many times, each in another carrier, to fill the hits. The best of them stays; the places of the others go to what
else was found. What the user said themselves is never counted together. An agent that repeats such a text takes no second place, and never
the text's own, which says where it comes from; what it has said after reading one, in other words, is something else: "I am not sure when
it opens" must not hide the page that says it.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

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
#: Different signs beyond ASCII (quotes, dashes) that are replaced one by one.
_FEW_SIGNS = 16
#: Hashes in the signatures that are remembered (ours: about 15 MB, some thousand ordinary texts).
_MOST_HASHES = 200_000
_AGENT = Source.AGENT_INFERRED  # named here, because naming a member takes longer than comparing it
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"[.!?。！？;；:：|\n]+")
#: The same for ASCII alone, where no pattern is needed: a line end for what ends a sentence, a space for what is in no word.
_SPACED = {
    code: sign.lower() if sign.isalnum() else "\n" if _SENTENCE_END.match(sign) else " " for code, sign in enumerate(map(chr, range(128)))
}
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class _Signature(NamedTuple):
    """What a text is compared by, as hashes: its sentences of at least `_WORDS` words, and its shingles."""

    sentences: frozenset[int]
    shingles: frozenset[int]

    @property
    def size(self) -> int:
        """How much room it takes, in hashes; some for the key."""
        return len(self.sentences) + len(self.shingles) + 8


class OccupancyCheck:
    """Keeps the best of the hits from outside that carry the same payload. Linear in the hits' texts. Threads may share it.

    The signatures of the texts that were seen last are remembered, as hashes and under a hash: no text is kept here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signatures: OrderedDict[tuple[str, int, int], _Signature] = OrderedDict()
        self._hashes = 0

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits, in the same order, without repetitions of what came from outside."""
        outside = [_from_outside(hit) for hit in hits]
        if sum(outside) < 2:
            return list(hits)
        kept = _Kept()
        taken = [not counts for counts in outside]
        first_hand = [place for place, hit in enumerate(hits) if outside[place] and hit.item.origin.source in FROM_OUTSIDE]
        repeated = [place for place, hit in enumerate(hits) if outside[place] and hit.item.origin.source not in FROM_OUTSIDE]
        for place in [*first_hand, *repeated]:
            taken[place] = kept.take(hits[place], self._signature(hits[place].item))
        return [hit for hit, stays in zip(hits, taken, strict=True) if stays]

    def _signature(self, item: Event | Record) -> _Signature:
        key = (item.id, len(item.text), hash(item.text))
        with self._lock:
            known = self._signatures.get(key)
            if known is not None:
                self._signatures.move_to_end(key)
                return known
        made = _signed(item.text[:_SCAN])
        with self._lock:
            if key not in self._signatures:  # another thread may have been here
                self._signatures[key] = made
                self._hashes += made.size
            while self._hashes > _MOST_HASHES:
                self._hashes -= self._signatures.popitem(last=False)[1].size
        return made


class _Kept:
    """What the hits that stay are known by: their roots, sentences and shingles."""

    def __init__(self) -> None:
        self._roots: set[str] = set()
        self._sentences: set[int] = set()
        self._shingles: set[int] = set()
        self._own: list[frozenset[int]] = []
        # Which hits have a shingle: worked out up to the hit `_entered` only when one comes that has much in common with them.
        self._owners: dict[int, list[int]] = {}
        self._entered = 0

    def take(self, hit: Hit, signature: _Signature) -> bool:
        """Return whether the hit says something else than those that were taken before; then it is taken too."""
        roots = _roots(hit)
        if not self._roots.isdisjoint(roots) or not self._sentences.isdisjoint(signature.sentences) or self._like(signature.shingles):
            return False
        self._roots.update(roots)
        self._sentences |= signature.sentences
        self._shingles |= signature.shingles
        self._own.append(signature.shingles)
        return True

    def _like(self, shingles: frozenset[int]) -> bool:
        """Return whether a hit has most of its shingles, or of those of a kept one, in common with a kept one."""
        if len(shingles) < _LEAST_SHINGLES:
            return False
        common = self._shingles & shingles
        if len(common) < _OVERLAP * _LEAST_SHINGLES:
            return False
        self._enter()
        shared = Counter(owner for shingle in common for owner in self._owners[shingle])
        return any(
            len(self._own[owner]) >= _LEAST_SHINGLES and count >= _OVERLAP * min(len(shingles), len(self._own[owner]))
            for owner, count in shared.items()
        )

    def _enter(self) -> None:
        for owner in range(self._entered, len(self._own)):
            for shingle in self._own[owner]:
                owners = self._owners.setdefault(shingle, [])
                if len(owners) < _MOST_OWNERS:
                    owners.append(owner)
        self._entered = len(self._own)


def _from_outside(hit: Hit) -> bool:
    """Return whether anybody could have written it, or an agent has repeated what such a one wrote."""
    source = hit.item.origin.source
    return source in FROM_OUTSIDE or (source == _AGENT and isinstance(hit.item, Event) and bool(hit.item.parents))


def _roots(hit: Hit) -> tuple[str, ...]:
    """Return the events that one from outside explicitly repeats or summarises, and itself, so that it meets what repeats it.

    Records have none here: facts distilled from one page are different facts. An agent's words have none either: they rest on all that was
    in its window.
    """
    item = hit.item
    return (*item.parents, item.id) if isinstance(item, Event) and item.origin.source in FROM_OUTSIDE else ()


def _signed(text: str) -> _Signature:
    words = _words(reads_as(lines_of(text)))
    flat = list(chain.from_iterable(words))
    return _Signature(
        frozenset(hash(tuple(sentence)) for sentence in words if len(sentence) >= _WORDS),
        frozenset(map(hash, zip(*(flat[at:] for at in range(_SHINGLE)), strict=False))),
    )


def _words(text: str) -> list[list[str]]:
    """Return the words of each sentence, in small letters; where words are not spaced, its characters in twos."""
    plain = text if text.isascii() else _without_signs(text)
    if plain.isascii():
        return [sentence.split() for sentence in plain.translate(_SPACED).split("\n")]
    return [_twos(sentence) if _UNSPACED.search(sentence) else _WORD.findall(sentence) for sentence in _SENTENCE_END.split(text.lower())]


def _without_signs(text: str) -> str:
    """Return the text with a space, or a line end where a sentence ends, for the signs beyond ASCII; as it is where they are many."""
    signs = [sign for sign in set(text) if not (sign.isascii() or sign.isalnum())]
    for sign in signs if len(signs) <= _FEW_SIGNS else ():
        text = text.replace(sign, "\n" if _SENTENCE_END.match(sign) else " ")
    return text


def _twos(sentence: str) -> list[str]:
    letters = "".join(_WORD.findall(sentence))
    return [letters[at : at + 2] for at in range(0, len(letters), 2)]
