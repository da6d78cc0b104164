"""Inverted lists that grow in geometric segments: term -> which rows hold it, and how often.

One add costs one small segment; neighbouring segments of similar size are merged, so a posting is copied O(log N) times
over the index's life and a lookup visits O(log N) segments (the logarithmic method of Bentley and Saxe 1980, which
log-structured indexes use).

Many rows that come at once, as when a scope is loaded, stay unsorted at first and are read through for each question, so that the first
answer does not wait for the sort; the questions after it sort a portion each (adaptive indexing: Idreos, Kersten and Manegold 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.retrieve.columns import Column

__all__ = ["PostingLists", "Postings"]

_MOST = 65_535  # of a term in one row; more of it would not score higher
_MERGE_RATIO = 2  # a segment joins the one before it once that one is less than this many times larger
_AT_ONCE = 2_048
_PORTION = 8_192  # rows that one question sorts for those after it, at least: some 20 ms
_BUCKETS = 1 << 16


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
    def build(cls, terms: NDArray[np.uint32], sizes: NDArray[np.int32], first_row: int) -> _Segment:
        """The segment of texts with `sizes` terms each, given one after the other, whose rows start at `first_row`."""
        rows = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
        # Term and row packed in one word: one sort orders both and brings repetitions together.
        keys, counts = np.unique(terms.astype(np.uint64) << np.uint64(32) | rows, return_counts=True)
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


class _Unsorted:
    """Terms of a contiguous run of rows, as they came: cheap to add to, and read from end to end for each question."""

    __slots__ = ("first_row", "sizes", "terms")

    def __init__(self, first_row: int) -> None:
        """Starts empty, at a row."""
        self.first_row = first_row
        self.terms, self.sizes = Column(np.uint32), Column(np.int32)

    def extend(self, terms: NDArray[np.uint32], sizes: NDArray[np.int32]) -> None:
        """Adds rows, whose terms are given one after the other."""
        self.terms.extend(terms)
        self.sizes.extend(sizes)

    def split(self, count: int) -> tuple[_Segment, _Unsorted]:
        """The first `count` rows, sorted, and the rest."""
        sizes = self.sizes.values
        cut = int(sizes[:count].sum())
        rest = _Unsorted(self.first_row + count)
        rest.extend(self.terms.values[cut:], sizes[count:])
        return _Segment.build(self.terms.values[:cut], sizes[:count], self.first_row), rest

    def find_each(self, terms: NDArray[np.uint32], bounds: Sequence[int]) -> list[Postings]:
        """What `_Segment.find_each` gives."""
        asked, numbers = np.unique(terms, return_inverse=True)
        rows, ends = self._holding(asked)
        found = []
        for first, last in pairwise(bounds):
            lists = [rows[ends[number] : ends[number + 1]] for number in dict.fromkeys(numbers[first:last].tolist())]
            held = np.concatenate([np.zeros(0, np.int64), *lists])
            if len([one for one in lists if len(one)]) > 1:
                held.sort(kind="stable")
            starts = np.flatnonzero(np.concatenate(([True], held[1:] != held[:-1]))) if len(held) else np.zeros(0, np.intp)
            counts = np.diff(np.append(starts, len(held))).clip(max=_MOST)
            found.append(Postings((held[starts] + self.first_row).astype(np.int32), counts.astype(np.uint16)))
        return found

    def _holding(self, asked: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """The rows of each distinct term, a row once for each time it holds it, and where in them those of each term begin and end."""
        flat = self.terms.values
        # Most terms are not asked for, and one look at their lower half tells.
        wanted = np.zeros(_BUCKETS, np.bool_)
        wanted[asked % _BUCKETS] = True
        at = np.flatnonzero(wanted[flat.astype(np.uint16)])
        if not len(at):
            return np.zeros(0, np.int64), np.zeros(len(asked) + 1, np.intp)
        number = np.minimum(np.searchsorted(asked, flat[at]), len(asked) - 1)
        meant = asked[number] == flat[at]
        at, number = at[meant], number[meant].astype(np.uint16 if len(asked) <= _BUCKETS else np.int32)
        order = np.argsort(number, kind="stable")
        rows: NDArray[np.int64] = np.searchsorted(np.cumsum(self.sizes.values), at[order], side="right")
        return rows, np.searchsorted(number[order], np.arange(len(asked) + 1))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.terms.nbytes + self.sizes.nbytes


class PostingLists:
    """All inverted lists of a scope; rows are added at the end only.

    Args:
        at_once: Rows of one addition that are sorted when they come; more of them wait.
    """

    __slots__ = ("_at_once", "_segments", "_unsorted")

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        """Starts empty."""
        self._at_once = at_once
        self._segments: list[_Segment] = []
        self._unsorted = _Unsorted(0)  # rows behind those of the segments

    def extend(self, terms: NDArray[np.uint32], sizes: NDArray[np.int32], first_row: int) -> None:
        """Adds the term ids of new rows, numbered from `first_row`, which must follow every row added before.

        Args:
            terms: Term ids of the rows, one after the other, shape (sum of `sizes`,).
            sizes: How many each row has, shape (rows,).
            first_row: Number of the first of them.
        """
        if not len(self._unsorted):
            if len(sizes) <= self._at_once:
                self._join(_Segment.build(terms, sizes, first_row))
                return
            self._unsorted = _Unsorted(first_row)
        self._unsorted.extend(terms, sizes)

    def settle(self, least: int = _PORTION) -> None:
        """Sorts a portion of what is not sorted yet: `least` rows, or a sixteenth of all when that is more."""
        if count := min(len(self._unsorted), max(least, (self._unsorted.first_row + len(self._unsorted)) // 16)):
            segment, self._unsorted = self._unsorted.split(count)
            self._join(segment)

    def _join(self, segment: _Segment) -> None:
        self._segments.append(segment)
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
        if len(self._unsorted) and len(terms):
            by_segment.append(self._unsorted.find_each(terms, bounds))
        return [_joined([found[place] for found in by_segment if len(found[place].rows)]) for place in range(len(queries))]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self._unsorted.nbytes + sum(segment.nbytes for segment in self._segments)


def _joined(found: list[Postings]) -> Postings:
    if len(found) == 1:
        return found[0]
    if not found:
        return _NO_POSTINGS
    return Postings(np.concatenate([rows for rows, _ in found]), np.concatenate([counts for _, counts in found]))
