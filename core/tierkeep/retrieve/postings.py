"""Inverted lists that grow in geometric segments: term -> which rows hold it, and how often.

One add costs one small segment; neighbouring segments of similar size are merged, so a posting is copied O(log N) times
over the index's life and a lookup visits O(log N) segments (the logarithmic method of Bentley and Saxe 1980, which
log-structured indexes use).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["PostingLists", "Postings"]

_MOST = 65_535  # of a term in one row; more of it would not score higher
_MERGE_RATIO = 2  # a segment joins the one before it once that one is less than this many times larger


class Postings(NamedTuple):
    """The events that hold a term: `rows` ascending, shape (df,), and how often each holds it, shape (df,)."""

    rows: NDArray[np.int32]
    counts: NDArray[np.uint16]


_NO_POSTINGS = Postings(np.zeros(0, np.int32), np.zeros(0, np.uint16))


class _Segment:
    """Postings of a contiguous run of rows, sorted by term, then row."""

    __slots__ = ("counts", "first_row", "last_row", "rows", "starts", "vocabulary")

    def __init__(self, terms: NDArray[np.uint32], rows: NDArray[np.int32], counts: NDArray[np.uint16]) -> None:
        """Takes postings sorted by term, then row: three arrays of shape (postings,)."""
        self.rows, self.counts = rows, counts
        self.first_row = int(rows.min()) if len(rows) else 0
        self.last_row = int(rows.max()) if len(rows) else -1
        first = np.flatnonzero(np.concatenate(([True], terms[1:] != terms[:-1]))) if len(terms) else np.zeros(0, np.intp)
        self.vocabulary = terms[first]
        self.starts = np.append(first, len(terms)).astype(np.int32)

    @classmethod
    def build(cls, texts: Sequence[NDArray[np.uint32]], first_row: int) -> _Segment:
        """The segment of these texts, whose rows start at `first_row`."""
        rows = np.repeat(np.arange(len(texts), dtype=np.uint64), [len(text) for text in texts])
        # Term and row packed in one word: one sort orders both and brings repetitions together.
        packed = np.concatenate([np.zeros(0, np.uint32), *texts]).astype(np.uint64) << np.uint64(32) | rows
        keys, counts = np.unique(packed, return_counts=True)
        row_part = (keys & np.uint64(0xFFFFFFFF)).astype(np.int32) + np.int32(first_row)
        return cls((keys >> np.uint64(32)).astype(np.uint32), row_part, counts.clip(max=_MOST).astype(np.uint16))

    def merged(self, later: _Segment) -> _Segment:
        """One segment with the postings of both; `later` must hold later rows."""
        terms = np.concatenate((self._terms(), later._terms()))
        order = np.argsort(terms, kind="stable")  # two sorted runs: linear for a merge sort, and rows stay ascending
        rows, counts = np.concatenate((self.rows, later.rows)), np.concatenate((self.counts, later.counts))
        return _Segment(terms[order], rows[order], counts[order])

    def _terms(self) -> NDArray[np.uint32]:
        return np.repeat(self.vocabulary, np.diff(self.starts))

    def find_each(self, terms: NDArray[np.uint32], bounds: Sequence[int]) -> list[Postings]:
        """For each query its postings here (see `PostingLists.find_each`); `terms` holds all queries' terms, one after the other.

        Args:
            terms: Term ids, shape (T,).
            bounds: Where each query begins in `terms`, and T at the end.
        """
        if not len(self.vocabulary):
            return [_NO_POSTINGS] * (len(bounds) - 1)
        # One look-up for all: a question has a dozen queries, and each call of numpy costs more than the look-up itself.
        at = np.minimum(np.searchsorted(self.vocabulary, terms), len(self.vocabulary) - 1)
        held = (self.vocabulary[at] == terms).tolist()
        starts, ends = self.starts[at], self.starts[at + 1]
        found = []
        for first, last in pairwise(bounds):
            here = [place for place in range(first, last) if held[place]]
            if len(here) > 1:
                found.append(self._summed(starts[here], ends[here]))
                continue
            own = slice(starts[here[0]], ends[here[0]]) if here else slice(0)
            found.append(Postings(self.rows[own], self.counts[own]))
        return found

    def _summed(self, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Postings:
        """The postings of rows that stand in any of several lists, counts summed."""
        # All lists at once, because a class has hundreds of terms: the k-th place of a list lies at its start plus k.
        lengths = ends - starts
        places = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
        # Dense sums over the segment's rows: sorting the rows of frequent terms together costs more.
        sums = np.bincount(self.rows[places] - self.first_row, weights=self.counts[places])
        held = np.flatnonzero(sums)
        return Postings((held + self.first_row).astype(np.int32), np.minimum(sums[held], _MOST).astype(np.uint16))

    def __len__(self) -> int:
        """The number of postings."""
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.rows.nbytes + self.counts.nbytes + self.vocabulary.nbytes + self.starts.nbytes


class PostingLists:
    """All inverted lists of a scope; rows are added at the end only."""

    __slots__ = ("_segments",)

    def __init__(self) -> None:
        """Starts empty."""
        self._segments: list[_Segment] = []

    def extend(self, texts: Sequence[NDArray[np.uint32]], first_row: int) -> None:
        """Adds the term ids of new rows, numbered from `first_row`, which must follow every row added before."""
        self._segments.append(_Segment.build(texts, first_row))
        while len(self._segments) > 1 and len(self._segments[-2]) < _MERGE_RATIO * len(self._segments[-1]):
            later = self._segments.pop()
            self._segments[-1] = self._segments[-1].merged(later)

    def find(self, terms: NDArray[np.uint32]) -> Postings:
        """The postings of rows that hold any of the term ids, counts summed; empty arrays when no row does."""
        return self.find_each([terms])[0]

    def find_each(self, queries: Sequence[NDArray[np.uint32]]) -> list[Postings]:
        """For each of several queries the postings of rows that hold any of its term ids, counts summed."""
        terms = np.concatenate([np.zeros(0, np.uint32), *queries])
        bounds = [0, *accumulate(map(len, queries))]
        by_segment = [segment.find_each(terms, bounds) for segment in self._segments]
        return [_joined([found[place] for found in by_segment if len(found[place].rows)]) for place in range(len(queries))]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(segment.nbytes for segment in self._segments)


def _joined(found: list[Postings]) -> Postings:
    if len(found) == 1:
        return found[0]
    if not found:
        return _NO_POSTINGS
    return Postings(np.concatenate([rows for rows, _ in found]), np.concatenate([counts for _, counts in found]))
