"""The search over derived records (HyMem's key sentences, D-Mem's facts): lexical, always level with the ledger.

Ask outside of transactions, as deferred derivers do. The view of a transaction shows what is not committed yet, while a batch gets its
number only at the commit: an index brought level from such a view may know records that no batch counts. It reads them again once one
does; when the transaction is rolled back instead, they weigh on scores until the generation changes, but they are never returned, because
every result is read from the view. And an in-memory store has one connection, which a transaction keeps to itself: a search in another
thread that has the index waits for it while the transaction waits for the index, until the store's busy timeout ends that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.records import Hit, Query, Record
from tierkeep.retrieve.fusion import confidence, rank, score
from tierkeep.retrieve.question import read_question
from tierkeep.retrieve.record_index import RecordIndex
from tierkeep.retrieve.search import Found
from tierkeep.retrieve.shelf import Room, Shelf, Slot
from tierkeep.settings import RetrievalSettings

__all__ = ["Neighbour", "RecordSearch"]


class Neighbour(NamedTuple):
    """A record and how similar it is to a text, in [0, 1]."""

    record: Record
    similarity: float


class RecordSearch:
    """Lexical search over the active records of one kind. Several threads may use one.

    Args:
        room: Memory that all indexes together may hold, a number of bytes or shared with others.
        settings: Weights of retrieval.
    """

    def __init__(self, room: Room | int, settings: RetrievalSettings) -> None:
        self._shelf: Shelf[tuple[tuple[str, str, str], str], RecordIndex] = Shelf(room, RecordIndex)
        self._settings = settings

    def __call__(
        self, query: Query, view: View, allowance: Allowance, *, kind: str, text: str, k: int, per_speaker: bool = False
    ) -> Found:
        """Return the best active records for `text`: score descending, then newest, then by creation.

        Args:
            query: For its session: a scope bound to one sees only the records that were said in it.
            view: The scope.
            allowance: For its deadline; past it, what is indexed so far is searched.
            kind: Of this kind.
            text: What to search for.
            k: At most this many hits.
            per_speaker: At most `k` of each `attrs["speaker"]` instead (D-Mem, tiers 3.3).
        """
        with self._shelf.take((view.scope.partition, kind), allowance) as slot:
            if slot is None:
                return Found([], 0.0, True)
            complete = _level(slot, view, kind, allowance)
            index = slot.held
            visible = _visible(index, query, view)
            total = score(index.rows, read_question(text), visible, self._settings).total
            sure = confidence(total, self._settings)
            rows = rank(index.rows, total, len(total) if per_speaker else k, index.places)
            if per_speaker:
                rows = _best_of_each(index.rows.speaker[rows], rows, k)
            worth = dict(zip(index.ids(rows), total[rows].tolist(), strict=True))
        hits = [Hit(record, worth[record.id]) for record in _current(list(worth), view, kind)]
        return Found(hits, sure, not complete)

    def similar(
        self, text: str, view: View, *, kind: str, k: int, at_least: float, but: Collection[str] = ()
    ) -> list[Neighbour]:
        """Return the active records most similar to a text: the idf-weighted cosine of their distinct stems.

        For D-Mem's nearest facts and HyMem's merge candidates when there is no embedder (tiers 2.2, 3.2). The whole owner's
        records are compared, whatever session the scope is bound to: what is derived belongs to the owner.

        Args:
            text: What to compare with.
            view: The scope.
            kind: Of this kind.
            k: At most this many.
            at_least: Only records at least this similar; one that shares no stem never is.
            but: Ids to leave out.
        """
        with self._shelf.take((view.scope.partition, kind), None) as slot:
            if slot is None:
                return []
            _level(slot, view, kind, None)
            near = dict(slot.held.nearest(text, k, at_least, but))
        return [Neighbour(record, near[record.id]) for record in _current(list(near), view, kind)]

    def nbytes(self) -> int:
        """Return the bytes held by all indexes, as of when each was last used."""
        return self._shelf.nbytes()


def _level(slot: Slot[RecordIndex], view: View, kind: str, allowance: Allowance | None) -> bool:
    """Bring the index level with the ledger; return False when time ran out before it was."""
    generation = view.generation
    if generation != slot.generation:
        slot.held = RecordIndex()
    # Until it is done: a change that is broken off leaves the index half changed, so the next use starts anew.
    slot.generation = None
    complete = _read(slot.held, view, kind, allowance)
    if complete and slot.held.worn and not (allowance is not None and allowance.expired()):
        slot.held = RecordIndex()
        complete = _read(slot.held, view, kind, allowance)
    slot.generation = generation
    return complete


def _read(index: RecordIndex, view: View, kind: str, allowance: Allowance | None) -> bool:
    # The batch before the records: what is committed between the two is then read twice, not never.
    newest, changed = view.changes(index.batch)
    if not index.loaded:
        # Of every status, so that a record that becomes active again has its place in the order of creation.
        index.take(view.records(kind=kind, status=None))
    elif changed:
        index.take([record for record in view.get(changed) if record.kind == kind])
    index.loaded, index.batch = True, newest
    return index.index(allowance)


def _visible(index: RecordIndex, query: Query, view: View) -> NDArray[np.bool_] | None:
    """Return the rows that the query may see; None when that is all of them."""
    visible = index.live
    if query.scope.session is not None:
        visible = visible & index.said_in(query.scope.session, view)
    return None if visible.all() else visible


def _best_of_each(speakers: NDArray[np.int32], rows: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """Return the first `k` rows of each speaker, in the order given."""
    grouped = np.argsort(speakers, kind="stable")
    ordered = speakers[grouped]
    number = np.arange(len(rows)) - np.searchsorted(ordered, ordered)
    return rows[np.sort(grouped[number < k])]


def _current(ids: list[str], view: View, kind: str) -> list[Record]:
    """Return the records as they stand now, without those that ended since they were indexed."""
    return [record for record in view.get(ids) if record.status == "active" and record.kind == kind]
