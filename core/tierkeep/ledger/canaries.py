"""Canaries: rare terms of a removed text, and finding any of thousands of them in a hundred megabytes.

Verified deletion (strategies spec, 6.14): after a removal, the terms that nothing living holds must be found nowhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_CANARIES", "Finder", "spoken", "words"]

MAX_CANARIES = 4096
"""Canaries looked for per removal, rarest first."""

MAX_LENGTH = 64
"""Characters of a canary that count."""

_WORD = re.compile(r"[^\W_]{4,}")
_GRAM = 4  # bytes: one 32-bit comparison finds where a canary may stand
_TABLE_BITS = 20
_SPREAD = np.uint32(2654435761)  # Knuth's multiplicative hash
_COMMON = {byte: rank for rank, byte in enumerate(reversed(b" etaoinshrdlcumwfgypbvk"), start=1)}


def spoken(value: Any) -> Iterator[str]:
    """Yield every string inside a JSON value, keys included."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)


def words(texts: Iterable[str], limit: int = 2 * MAX_CANARIES) -> list[str]:
    """Return the words of four letters or more, rarest first, then longest, then in order of the alphabet.

    Case is kept where it is not ASCII, because bytes of other scripts cannot be folded in a file.
    """
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(_WORD.findall(text))
    folded: Counter[str] = Counter()
    for word, count in counted.items():
        folded[(word.lower() if word.isascii() else word)[:MAX_LENGTH]] += count
    return sorted(folded, key=lambda word: (folded[word], -len(word), word))[:limit]


class Finder:
    """Finds which of many terms occur in a stream of bytes, in time linear in the bytes, ASCII case aside.

    Args:
        terms: What to look for. A term that is not ASCII is looked for as given, folded, in lower, upper and title case.

    Attributes:
        ambiguous: Whether a form is one of two terms: where it stands, only the first of them is said to be found.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        forms: dict[bytes, str] = {}
        self.ambiguous = False
        for term in terms:
            for variant in (term, term.casefold(), term.lower(), term.upper(), term.title()):
                meant = forms.setdefault(variant.encode("utf-8", "surrogatepass").lower(), term)
                self.ambiguous = self.ambiguous or meant != term
        forms.pop(b"", None)
        self._terms = len(set(forms.values()))
        self._short = {form: term for form, term in forms.items() if len(form) < _GRAM}
        self.overlap = max((len(form) for form in forms), default=1) - 1
        buckets: dict[int, list[tuple[int, bytes, str]]] = {}
        for form, term in forms.items():
            if len(form) >= _GRAM:
                offset = _rarest_gram(form)
                gram = int.from_bytes(form[offset : offset + _GRAM], "little")
                buckets.setdefault(gram, []).append((offset, form, term))
        self._grams = np.array(sorted(buckets), dtype=np.uint32)
        self._buckets = [buckets[int(gram)] for gram in self._grams]
        self._table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        self._table[_slot(self._grams)] = True

    def all_in(self, found: set[str]) -> bool:
        """Return whether there is nothing left to look for."""
        return len(found) >= self._terms

    def find(self, block: bytes, found: set[str]) -> None:
        """Add to `found` the terms that occur in `block`."""
        low = block.lower()
        for form, term in self._short.items():
            if term not in found and form in low:
                found.add(term)
        if not self._buckets or len(low) < _GRAM:
            return
        where, which = self._candidates(low)
        if not which.size:
            return
        order = np.argsort(which, kind="stable")
        where, which = where[order], which[order]
        cuts = np.flatnonzero(np.diff(which)) + 1
        buffer = np.frombuffer(low, dtype=np.uint8)
        for start, places in zip((0, *cuts.tolist()), np.split(where, cuts), strict=True):
            for offset, form, term in self._buckets[int(which[start])]:
                if term not in found and _stands(buffer, places - offset, form):
                    found.add(term)

    def _candidates(self, low: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where a term's rarest four bytes stand, and the number of that gram."""
        places, numbers = [], []
        for shift in range(_GRAM):
            count = (len(low) - shift) // _GRAM
            grams = np.frombuffer(low, dtype="<u4", count=count, offset=shift)
            hits = np.flatnonzero(self._table[_slot(grams)])
            number = np.searchsorted(self._grams, grams[hits])
            number = np.minimum(number, len(self._grams) - 1)
            true = self._grams[number] == grams[hits]
            places.append(hits[true] * _GRAM + shift)
            numbers.append(number[true])
        return np.concatenate(places), np.concatenate(numbers)


def _slot(grams: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (grams * _SPREAD) >> np.uint32(32 - _TABLE_BITS)


def _rarest_gram(form: bytes) -> int:
    """Offset of the four bytes that are likely to be rarest in text, by English letter frequency."""
    ranks = [_COMMON.get(byte, 0) for byte in form]
    return min(range(len(form) - _GRAM + 1), key=lambda at: sum(ranks[at : at + _GRAM]))


def _stands(buffer: NDArray[np.uint8], starts: NDArray[np.int64], form: bytes) -> bool:
    """Whether the whole form stands at any of these places."""
    starts = starts[(starts >= 0) & (starts + len(form) <= len(buffer))]
    for step, byte in enumerate(form):
        if not starts.size:
            return False
        starts = starts[buffer[starts + step] == byte]
    return bool(starts.size)
