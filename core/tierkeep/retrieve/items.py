"""The items of recently used owners (`tierkeep.items`), in bounded memory and always level with the ledger, and their ranking for a query.

Derived from the ledger's records and rebuildable from them: lists and searches would otherwise read every record of an owner each time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tierkeep.allowance import Allowance
from tierkeep.protocols import Embedder, Near, VectorIndex, View
from tierkeep.records import ITEM, Record
from tierkeep.retrieve.dense import Dense
from tierkeep.retrieve.fusion import score
from tierkeep.retrieve.question import read_question
from tierkeep.retrieve.record_index import RecordIndex
from tierkeep.retrieve.shelf import Room, Shelf, Slot
from tierkeep.settings import Settings

__all__ = ["HeldItem", "ItemShelf"]

_FEW = 64  # changes that are entered into the ordered items one by one: a sort of all takes milliseconds
_ENTRY = 1_000  # bytes of an entry's Python objects beside its text, by estimate


class HeldItem(NamedTuple):
    """An item as it stands.

    Attributes:
        id: Id of its record.
        source: Id of the event with its value.
        seq: Place of that event in the ledger.
        namespace: Its namespace.
        key: Its key there.
        group: When its namespace got its first item, and where in the ledger: orders namespaces.
        place: Position of its first value in its namespace: orders items there.
        created_at: ISO time of its first value.
        updated_at: ISO time of its value.
        text: Its value as JSON.
        indexed: Whether a query may find it.
    """

    id: str
    source: str
    seq: int
    namespace: tuple[str, ...]
    key: str
    group: tuple[float, int]
    place: int
    created_at: str
    updated_at: str
    text: str
    indexed: bool


class _Table:
    """One owner's items. `words` is made with the first query, and then with the items when they are read anew."""

    def __init__(self, known: Mapping[str, HeldItem] | None = None, *, words: bool = False) -> None:
        self.batch = 0
        self.loaded = False
        self.words = RecordIndex() if words else None
        self._by_key: dict[str, HeldItem] = {}
        self._known = {held.source: held for held in (known or {}).values()}  # events are immutable: their texts are not read again
        self._ordered: list[HeldItem] | None = None
        self._first: dict[tuple[str, ...], tuple[float, int]] = {}  # of each namespace when `_ordered` was made
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def nbytes(self) -> int:
        """Bytes held, by estimate."""
        return self._bytes + (0 if self.words is None else self.words.nbytes)

    def items(self) -> Mapping[str, HeldItem]:
        """Return the items by the key of their record."""
        return self._by_key

    def level(self, view: View) -> None:
        """Read what has changed among the records."""
        # The batch before the records: what is committed between the two is then read twice, not never.
        newest, changed = view.changes(self.batch)
        records = [record for record in view.get(changed) if record.kind == ITEM] if self.loaded else view.records(kind=ITEM)
        self._take(records, view)
        if self.words is not None:
            self.words.take([_alone(record) for record in records])
        self.loaded, self.batch, self._known = True, newest, {}

    def _take(self, records: Sequence[Record], view: View) -> None:
        if not records:
            return
        active = [record for record in records if record.status == "active"]
        missing = [record.sources[0] for record in active if record.sources[0] not in self._known]
        said = {event.id: (event.seq, event.text) for event in view.events(missing)}
        said |= {id_: (held.seq, held.text) for id_, held in self._known.items()}
        gone, came = list[HeldItem](), list[HeldItem]()
        for record in records:
            held = self._by_key.get(record.key)
            if record.status != "active" and held is not None and held.id == record.id:
                self._bytes -= _ENTRY + len(self._by_key.pop(record.key).text)
                gone.append(held)
        for record in active:
            if record.sources[0] in said:
                before = self._by_key.get(record.key)
                now = self._by_key[record.key] = held_item(record, *said[record.sources[0]])
                self._bytes += len(now.text) - len(before.text) if before else _ENTRY + len(now.text)
                gone += [before] if before else []
                came.append(now)
        self._ordered = self._with(gone, came)

    def _with(self, gone: Sequence[HeldItem], came: Sequence[HeldItem]) -> list[HeldItem] | None:
        """Return the ordered items after a small change; None when all of them have to be sorted anew."""
        if self._ordered is None or len(gone) + len(came) > _FEW:
            return None
        for held in came:
            self._first.setdefault(held.namespace, held.group)
        firsts = {(held.namespace, held.group) for held in came}
        if any(held.group < self._first[held.namespace] for held in came):
            return None
        if any(held.group == self._first[held.namespace] and (held.namespace, held.group) not in firsts for held in gone):
            return None  # with its first item a namespace may lose its place among the others
        ordered = self._ordered.copy()
        for held in gone:
            at = bisect_left(ordered, self._order(held), key=self._order)
            if at == len(ordered) or ordered[at] is not held:
                return None
            del ordered[at]
        for held in came:
            ordered.insert(bisect_left(ordered, self._order(held), key=self._order), held)
        return ordered

    def _order(self, held: HeldItem) -> tuple[tuple[float, int], int, int]:
        return self._first[held.namespace], held.place, held.seq

    def ordered(self) -> list[HeldItem]:
        """Return the items by namespace and in order of creation. The list is never changed afterwards."""
        if self._ordered is None:
            first: dict[tuple[str, ...], tuple[float, int]] = {}
            for held in self._by_key.values():
                first[held.namespace] = min(held.group, first.get(held.namespace, held.group))
            self._first = first
            self._ordered = sorted(self._by_key.values(), key=self._order)
        return self._ordered


class ItemShelf:
    """Gives an owner's items and ranks them. Threads may share it.

    Args:
        settings: Weights of retrieval, and the memory that the items of all owners may hold where there is no `room`.
        embedder: Makes the vectors of the events behind them; None without one.
        vectors: Where those are searched; needed with an embedder.
        room: Memory that they share with other indexes; one of their own when None.
    """

    def __init__(self, settings: Settings, embedder: Embedder | None, vectors: VectorIndex | None, room: Room | None = None) -> None:
        self._settings = settings.retrieval
        self._shelf: Shelf[tuple[str, str, str], _Table] = Shelf(room or settings.index_bytes, _Table)
        self._dense = None if embedder is None or vectors is None else Dense(embedder, vectors)

    def ordered(self, view: View) -> Sequence[HeldItem]:
        """Return an owner's items: namespaces in order of their first item, and in each the items in order of their first value."""
        with self._shelf.take(view.scope.partition, None) as slot:
            return [] if slot is None else _leveled(slot, view).ordered()

    def scores(self, text: str, candidates: Iterable[HeldItem], view: View, allowance: Allowance) -> dict[str, float]:
        """Return how much speaks for each of some items, by the ids of their records; what nothing speaks for is left out.

        Words of their own texts count, and with an embedder how far the similarity of an item's event stands out among the candidates.
        The others influence nothing: the items of one namespace do not weigh on the words of another.
        """
        near = None if self._dense is None else self._dense.near(text, view, allowance)[0]
        wanted = {held.id: held for held in candidates}
        with self._shelf.take(view.scope.partition, None) as slot:
            if slot is None:
                return {}
            table = _leveled(slot, view)
            if table.words is not None and table.words.worn:
                table.words = None
            if table.words is None:
                table.words = RecordIndex()
                table.words.take([_alone(record) for record in view.records(kind=ITEM)])
            table.words.index(None)
            ids = table.words.ids(np.arange(len(table.words.rows)))
            mask = table.words.live & np.fromiter((id_ in wanted for id_ in ids), np.bool_, len(ids))
            shown = np.flatnonzero(mask)
            if near is not None:
                near = _by_row(near, [(row, wanted[ids[row]].seq) for row in shown.tolist()])
            total = score(table.words.rows, read_question(text), mask, self._settings, near).total
        return {ids[row]: float(total[row]) for row in shown.tolist() if total[row] > 0}


def held_item(record: Record, seq: int, text: str) -> HeldItem:
    """Return the item of an active record and of the event behind it."""
    attrs = record.attrs
    return HeldItem(
        record.id, record.sources[0], seq, tuple(attrs["namespace"]), attrs["key"], (attrs["group"][0], attrs["group"][1]),
        attrs["place"], attrs["created_at"], record.observed_at, text, bool(record.text),
    )  # fmt: skip


def _leveled(slot: Slot[_Table], view: View) -> _Table:
    generation = view.generation
    if generation != slot.generation:
        slot.held = _Table(slot.held.items(), words=slot.held.words is not None)
    # Until it is done: a change that is broken off leaves the table half changed, so the next use starts anew.
    slot.generation = None
    slot.held.level(view)
    slot.generation = generation
    return slot.held


def _alone(record: Record) -> Record:
    """Return the record as a conversation of its own: what stands beside an item says nothing of it."""
    return record.model_copy(update={"attrs": {"session": record.id}})


def _by_row(near: Near, rows: Sequence[tuple[int, int]]) -> Near:
    """Return similarities of events as those of the rows that stand for them, given as (row, place of the event), rows ascending."""
    order = np.argsort(near.seqs, kind="stable")
    places = near.seqs[order]
    seqs = np.array([seq for _, seq in rows], np.int64)
    at = np.minimum(np.searchsorted(places, seqs), max(len(places) - 1, 0))
    known = places[at] == seqs if len(places) else np.zeros(len(seqs), np.bool_)
    here = np.array([row for row, _ in rows], np.int64)[known]
    return near._replace(seqs=here, similarities=near.similarities[order[at[known]]] if len(places) else near.similarities[:0])
