"""The in-memory index of one scope: columns of its events and their inverted lists.

Derived from the ledger and rebuildable from it; nothing here reads or writes a store. Rows are numbered 0, 1, 2, … in
the order of `seq`. One writer at a time, and no reader while it writes: the owner holds the lock.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.records import TermPage, TermRow
from tierkeep.retrieve.columns import Column
from tierkeep.retrieve.postings import PostingLists, Postings
from tierkeep.terms import term_ids

__all__ = ["ScopeIndex"]

# Bytes of the Python objects around the arrays, measured with tracemalloc; names of usual length.
_OBJECTS = 5_000
_SESSION = 200
_SPEAKER = 450
_SPEAKER_TERM = 250


class ScopeIndex:
    """What lexical retrieval knows of one scope. `len(index)` is its number of events, N below."""

    def __init__(self, rows: Sequence[TermRow] = ()) -> None:
        """Builds the index of `rows`; equal to extending an empty one by them in any portions."""
        self._postings = PostingLists()
        self._seq, self._ts = Column(np.int64), Column(np.float64)
        self._session, self._speaker = Column(np.int32), Column(np.int32)
        self._length, self._size, self._asks = Column(np.int32), Column(np.int32), Column(np.bool_)
        self._own = Column(np.bool_)
        self._previous, self._following = Column(np.int32), Column(np.int32)
        self._session_codes: dict[str, int] = {}
        self._speaker_codes: dict[str, int] = {}
        self._speakers_by_term: dict[int, list[int]] = {}
        self._speaker_terms: list[frozenset[int]] = []
        self._first_names: list[int] = []
        self._name_bytes = 0
        self._session_tail: list[int] = []
        self.extend(rows)

    def extend(self, rows: Sequence[TermRow]) -> None:
        """Adds events; see `add`."""
        if rows:
            self.add(TermPage.of(rows))

    def add(self, page: TermPage) -> None:
        """Adds a page of events.

        Raises:
            ValueError: `seq` does not ascend, within the page or from `last_seq`; nothing was added.
        """
        if not len(page.seq):
            return
        if (np.diff(page.seq) <= 0).any() or (len(self) and page.seq[0] <= self.last_seq):
            raise ValueError("the seq of indexed events must ascend")
        first_row = len(self)
        self._postings.extend(page.terms, page.size, first_row)
        self._seq.extend(page.seq)
        self._ts.extend(page.ts)
        self._length.extend(page.length)
        self._size.extend(page.size)
        self._asks.extend(page.asks)
        self._own.extend(page.own)
        self._speaker.extend(np.array([self._speaker_code(name) for name in page.speakers], np.int32)[page.speaker])
        self._link(page, first_row)

    def settle(self) -> None:
        """Does a portion of what a large page left for later, so that the next questions are answered faster."""
        self._postings.settle()

    def _link(self, page: TermPage, first_row: int) -> None:
        """Gives each new row its session, and its neighbours there."""
        of_name = [self._session_codes.setdefault(name, len(self._session_codes)) for name in page.sessions]
        self._session_tail += [-1] * (len(self._session_codes) - len(self._session_tail))
        grouped = np.argsort(page.session, kind="stable")
        starts = np.flatnonzero(np.diff(page.session[grouped], prepend=-1))  # where each session begins
        rows = grouped + first_row
        before = np.concatenate(([-1], rows[:-1]))
        present = [of_name[place] for place in page.session[grouped[starts]].tolist()]
        before[starts] = [self._session_tail[code] for code in present]
        for code, last in zip(present, rows[np.append(starts[1:], len(rows)) - 1].tolist(), strict=True):
            self._session_tail[code] = last
        previous = np.empty(len(rows), np.int32)
        previous[grouped] = before
        self._session.extend(np.array(of_name, np.int32)[page.session])
        self._previous.extend(previous)
        self._following.extend(np.full(len(rows), -1, np.int32))
        self._following.values[before[before >= 0]] = rows[before >= 0]

    def relink(self, rows: NDArray[np.intp]) -> None:
        """Makes neighbours of the rows that follow one another in the same session, in the order given; other rows get none.

        For owners whose rows end, or do not stand in the order in which things were said. The session's next new row follows its
        last one here.
        """
        codes = self.session[rows]
        grouped = np.argsort(codes, kind="stable")
        chained, of = rows[grouped].astype(np.int32), codes[grouped]
        same = of[1:] == of[:-1]
        self.previous[:], self.following[:] = -1, -1
        self.previous[chained[1:][same]] = chained[:-1][same]
        self.following[chained[:-1][same]] = chained[1:][same]
        self._session_tail = [-1] * len(self._session_codes)
        for at in np.flatnonzero(np.append(~same, True)) if len(chained) else ():
            self._session_tail[int(of[at])] = int(chained[at])

    def _speaker_code(self, speaker: str) -> int:
        """The code of a speaker; a new one's name is analysed, so that a question that names it is noticed."""
        if speaker not in self._speaker_codes:
            code = self._speaker_codes[speaker] = len(self._speaker_codes)
            terms = term_ids(speaker).tolist()
            self._first_names.append(terms[0] if terms else -1)
            self._speaker_terms.append(frozenset(terms))
            self._name_bytes += _SPEAKER + len(speaker) + _SPEAKER_TERM * len(self._speaker_terms[code])
            for term in self._speaker_terms[code]:
                self._speakers_by_term.setdefault(term, []).append(code)
        return self._speaker_codes[speaker]

    def find(self, terms: NDArray[np.uint32]) -> Postings:
        """The events that hold any of the distinct term ids, and how often; several count as one term."""
        return self._postings.find(terms)

    def find_each(self, queries: Sequence[NDArray[np.uint32]]) -> list[Postings]:
        """For each of several queries what `find` gives; cheaper than one after the other."""
        return self._postings.find_each(queries)

    def __len__(self) -> int:
        return len(self._seq.values)

    @property
    def last_seq(self) -> int:
        """The `seq` of the newest event, -1 when empty."""
        return int(self._seq.values[-1]) if len(self) else -1

    @property
    def nbytes(self) -> int:
        """Bytes held: the arrays exactly, the dictionaries of sessions and speakers by estimate."""
        columns = (self._seq, self._ts, self._session, self._speaker, self._length, self._size, self._asks, self._own)
        links = (self._previous, self._following)
        objects = _OBJECTS + _SESSION * len(self._session_codes) + self._name_bytes
        return objects + self._postings.nbytes + sum(column.nbytes for column in columns + links)

    @property
    def seq(self) -> NDArray[np.int64]:
        """Ledger positions, shape (N,), ascending. Views of the index: read them, do not write."""
        return self._seq.values

    @property
    def ts(self) -> NDArray[np.float64]:
        """Seconds since the epoch, shape (N,)."""
        return self._ts.values

    @property
    def session(self) -> NDArray[np.int32]:
        """Session codes, shape (N,); `session_code` gives the code of a name."""
        return self._session.values

    @property
    def speaker(self) -> NDArray[np.int32]:
        """Speaker codes, shape (N,), in the order in which they first spoke."""
        return self._speaker.values

    @property
    def length(self) -> NDArray[np.int32]:
        """Characters of each text, shape (N,)."""
        return self._length.values

    @property
    def size(self) -> NDArray[np.int32]:
        """Terms of each text, repetitions included, shape (N,)."""
        return self._size.values

    @property
    def asks(self) -> NDArray[np.bool_]:
        """Whether each text ends with a question mark, shape (N,)."""
        return self._asks.values

    @property
    def own(self) -> NDArray[np.bool_]:
        """Whether each text is the user's own word, shape (N,)."""
        return self._own.values

    @property
    def previous(self) -> NDArray[np.int32]:
        """Row of the event before in the same session, shape (N,); -1 for none."""
        return self._previous.values

    @property
    def following(self) -> NDArray[np.int32]:
        """Row of the event after in the same session, shape (N,); -1 for none."""
        return self._following.values

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return len(self._session_codes)

    def session_code(self, session: str) -> int:
        """The code of a session name, -1 when the scope has none of it."""
        return self._session_codes.get(session, -1)

    def speakers(self) -> dict[str, int]:
        """Speaker names and their codes, in the order they first spoke."""
        return dict(self._speaker_codes)

    def speaker_terms(self, code: int) -> frozenset[int]:
        """The term ids of a speaker's name."""
        return self._speaker_terms[code]

    def named_speakers(self, terms: frozenset[int]) -> list[int]:
        """Codes of the speakers the term ids name, ascending: by the whole name, or by a first name nobody shares."""
        near = {code for term in terms for code in self._speakers_by_term.get(term, ())}
        return sorted(code for code in near if self._speaker_terms[code] <= terms or self._first_named(code, terms))

    def _first_named(self, code: int, terms: frozenset[int]) -> bool:
        first = self._first_names[code]
        return first in terms and len(self._speakers_by_term[first]) == 1
