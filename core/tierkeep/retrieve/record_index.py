"""The in-memory index of the active records of one kind: their lexical rows, their places, and their stems for similarity.

Derived from the ledger and rebuildable from it. A record that changes gets a new row and its old one dies; what the dead rows held is
neither found nor felt, so that results are those of an index made anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.records import FROM_USER, Authority, Record, TermRow
from tierkeep.retrieve.columns import Column
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.sessions import saying
from tierkeep.sentences import asks
from tierkeep.terms import term_ids

__all__ = ["RecordIndex"]

_PAGE = 1024  # records indexed between two looks at the clock: some 50 ms
# Bytes of the Python objects beside the arrays, measured with tracemalloc; ids of usual length.
_PLACE = 300
_ROW = 150
_TERM = 130
_WAITING = 3_000


class _Weights(NamedTuple):
    """Squared idf among the live rows: of each stem, of a stem that no row holds, and summed over each row's distinct stems."""

    squares: NDArray[np.float64]
    unknown: float
    norms: NDArray[np.float64]


class RecordIndex:
    """What lexical retrieval knows of one owner's records of one kind. `len(index)` is what it holds, dead rows included.

    Attributes:
        batch: The ledger's batch of record changes that it is level with.
        loaded: Whether the records that were there at first have been handed in.
        rows: The lexical rows, N of them.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self.batch = 0
        self.loaded = False
        self.rows = ScopeIndex()
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._place, self._live = Column(np.int64), Column(np.bool_)
        self._codes: dict[int, int] = {}
        self._stem_codes, self._stem_rows = Column(np.int32), Column(np.int32)
        self._weights: _Weights | None = None
        self._waiting: deque[Record] = deque()
        self._unlocated: list[tuple[int, tuple[str, ...]]] = []
        self._said_in: dict[str, list[int]] = {}
        self._tangled = False  # rows died, or do not stand in the order of creation
        self._silent = False  # a speaker has no live row left

    def __len__(self) -> int:
        return len(self._ids) + len(self._waiting)

    @property
    def nbytes(self) -> int:
        """Bytes held: the arrays exactly, the rest by estimate."""
        columns = (self._place, self._live, self._stem_codes, self._stem_rows)
        arrays = self.rows.nbytes + sum(column.nbytes for column in columns)
        if self._weights is not None:
            arrays += self._weights.norms.nbytes + self._weights.squares.nbytes
        objects = _PLACE * len(self._places) + _ROW * len(self._ids) + _TERM * len(self._codes) + _WAITING * len(self._waiting)
        return arrays + objects

    @property
    def worn(self) -> bool:
        """Whether it should be made anew: most rows are dead, or somebody's last row is, whose name still counts as a speaker's."""
        return 2 * len(self._row_of) < len(self._ids) or self._silent

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which rows stand for an active record as it is now, shape (N,)."""
        return self._live.values

    @property
    def places(self) -> NDArray[np.int64]:
        """The order of creation of each row's record, shape (N,)."""
        return self._place.values

    def ids(self, rows: NDArray[np.intp]) -> list[str]:
        """The ids of the records of these rows, in that order."""
        return [self._ids[row] for row in rows.tolist()]

    def take(self, records: Sequence[Record]) -> None:
        """Queues records, new or changed, of any status; those not seen before in the order of their creation."""
        for record in records:
            self._places.setdefault(record.id, len(self._places))
        self._waiting.extend(records)

    def index(self, allowance: Allowance | None) -> bool:
        """Indexes what is queued; returns False when time ran out before the end. At least one page is done, however late it is."""
        if not self._waiting:
            return True
        while self._waiting:
            self._index_page([self._waiting.popleft() for _ in range(min(_PAGE, len(self._waiting)))])
            if allowance is not None and self._waiting and allowance.expired():
                break
        self._weights = None
        if self._tangled:
            living = np.flatnonzero(self.live)
            self.rows.relink(living[np.argsort(self.places[living])])
            self._silent = len(np.unique(self.rows.speaker[living])) < len(self.rows.speakers())
        return not self._waiting

    def _index_page(self, records: Sequence[Record]) -> None:
        latest = {record.id: record for record in records}
        for id_ in latest:
            if (row := self._row_of.pop(id_, None)) is not None:
                self._live.values[row] = False
                self._tangled = True
        shown = [record for record in latest.values() if record.status == "active" and record.authority != Authority.QUARANTINED]
        first = len(self._ids)
        rows = [_term_row(record, row) for row, record in enumerate(shown, first)]
        self.rows.extend(rows)
        self._add_stems(rows, first)
        places = [*self._place.values[-1:].tolist(), *(self._places[record.id] for record in shown)]
        self._tangled |= any(later <= earlier for earlier, later in pairwise(places))
        self._place.extend(places[-len(shown) :] if shown else [])
        self._live.extend([True] * len(shown))
        self._ids += [record.id for record in shown]
        self._row_of.update((record.id, row) for row, record in enumerate(shown, first))
        self._unlocated += [(row, saying(record)) for row, record in enumerate(shown, first)]

    def _add_stems(self, rows: Sequence[TermRow], first: int) -> None:
        """Adds each row's distinct terms, ascending."""
        for at, row in enumerate(rows, first):
            codes = [self._codes.setdefault(term, len(self._codes)) for term in np.unique(row.terms).tolist()]
            self._stem_codes.extend(codes)
            self._stem_rows.extend([at] * len(codes))

    def said_in(self, session: str, view: View) -> NDArray[np.bool_]:
        """Which rows were said in the session, in part at least, shape (N,) (see `tierkeep.retrieve.sessions`)."""
        if self._unlocated:
            wanted = list(dict.fromkeys(id_ for _, said in self._unlocated for id_ in said))
            session_of = {event.id: event.session for event in view.events(wanted)}
            for row, said in self._unlocated:
                for name in dict.fromkeys(session_of[id_] for id_ in said if id_ in session_of):
                    self._said_in.setdefault(name, []).append(row)
            self._unlocated = []
        mask = np.zeros(len(self._ids), np.bool_)
        mask[self._said_in.get(session, [])] = True
        return mask

    def similarities(self, text: str) -> NDArray[np.float64]:
        """The cosine of the text's and each row's distinct stems, each stem weighing its idf among the live rows; shape (N,), in [0, 1].

        A dead row has 0, and so has everything for a text without stems.
        """
        weights = self._stem_weights()
        asked = np.zeros(len(self._codes))
        own = 0.0
        # In the order in which a row's own sum is made, so that equal texts have a cosine of exactly 1.
        for term in np.unique(term_ids(text)).tolist():
            code = self._codes.get(term)
            square = weights.unknown if code is None else float(weights.squares[code])
            own += square
            if code is not None:
                asked[code] = square
        dots = self._by_row(asked)
        dots[~self.live] = 0.0
        scale = np.sqrt(weights.norms * own)
        return np.minimum(np.divide(dots, scale, out=np.zeros_like(dots), where=scale > 0), 1.0)

    def _stem_weights(self) -> _Weights:
        """The weights as they are now; kept until the next change."""
        if self._weights is None:
            codes, documents = self._stem_codes.values, len(self._row_of)
            holding = np.bincount(codes[self.live[self._stem_rows.values]], minlength=len(self._codes))
            squares = _idf(documents, holding) ** 2
            self._weights = _Weights(squares, float(_idf(documents, np.zeros(1, np.int64))[0]) ** 2, self._by_row(squares))
        return self._weights

    def _by_row(self, of_stems: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over each row's distinct stems, shape (N,), of one value per stem."""
        sums = np.bincount(self._stem_rows.values, weights=of_stems[self._stem_codes.values], minlength=len(self._ids))
        return sums.astype(np.float64, copy=False)

    def nearest(self, text: str, k: int, at_least: float, but: Collection[str]) -> list[tuple[str, float]]:
        """The ids and similarities of the `k` most similar records, best first, ties by creation; none of `but`, none at 0."""
        values = self.similarities(text)
        for id_ in but:
            if (row := self._row_of.get(id_)) is not None:
                values[row] = 0.0
        rows = np.flatnonzero((values >= at_least) & (values > 0))
        order = np.lexsort((self.places[rows], -values[rows]))[: max(k, 0)]
        return [(self._ids[row], float(values[row])) for row in rows[order].tolist()]


def _idf(documents: int, holding: NDArray[np.int64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.log1p((documents - holding + 0.5) / (holding + 0.5))
    return weights


def _term_row(record: Record, row: int) -> TermRow:
    """The record as the event index takes it."""
    session, speaker = (value if isinstance(value := record.attrs.get(name), str) else "" for name in ("session", "speaker"))
    own = record.origin.source in FROM_USER
    asking = asks(record.text)
    return TermRow(row, session, speaker, _seconds(record.observed_at), term_ids(record.text), asking, len(record.text), own)


def _seconds(moment: str) -> float:
    """Seconds since 1970 of an ISO day or time, midnight UTC for a bare day; 0 for anything else."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
