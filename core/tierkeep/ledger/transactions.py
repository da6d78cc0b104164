"""One atomic change: append events, apply ops, move cursors; and undo, which puts the images before back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError, NotFoundError, OpRefused, StorageError
from tierkeep.ledger import chain, scopes, sweeping, vectors
from tierkeep.ledger.canaries import Finder
from tierkeep.ledger.connections import translated
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.guarded import GuardSide, check_parents
from tierkeep.ledger.lexicon import indexed
from tierkeep.ledger.ops import Change, RecordTable, apply_op
from tierkeep.ledger.rows import derived_id, dumps, event_from_draft, event_to_row, loads, record_from_json, record_to_json, refuse_nul
from tierkeep.ledger.seal import StoreKey
from tierkeep.ledger.sealing import Sealer
from tierkeep.ledger.views import TableView
from tierkeep.protocols import Appended, Clock, View
from tierkeep.records import FROM_USER, Authority, Event, EventDraft, Op, Record, Scope

__all__ = ["TableTransaction"]

_INSERT_EVENT = """INSERT INTO events(scope, session, seq, position, id, kind, role, speaker, text, at, ts, origin,
    authority, meta, salt, entry) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_LEXICON = """INSERT INTO lexicon(scope, seq, session, speaker, ts, terms, asks, length, own)
    VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_REVISION = """INSERT INTO journal(tx, scope, record, op, before, after, why, by, place, salt, digest)
    VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_LAST_POSITION = "SELECT max(position) FROM events WHERE session = ? AND +scope = ?"
_LAST_BATCH = """SELECT tx FROM batches AS b WHERE scope = ? AND kind = 'ops'
    AND NOT EXISTS (SELECT 1 FROM batches AS u WHERE u.undoes = b.tx AND +u.scope = b.scope) ORDER BY tx DESC LIMIT 1"""


class _Placed(NamedTuple):
    """A draft's session number and the event it became, or already was."""

    session: int
    event: Event
    duplicate: bool


class TableTransaction(GuardSide):
    """One atomic change in one scope (`tierkeep.protocols.Transaction`).

    Everything that changes records inside one transaction is one batch: it has one number and is undone as one.
    """

    def __init__(self, connection: Connection, scope: Scope, clock: Clock, where: str | None, key: StoreKey | None = None) -> None:
        self.view: View = TableView(self._lend, scope, key, lambda: self._number)
        self._sealer = Sealer(connection, key)
        self._connection = connection
        self._scope = scope
        self._clock = clock
        self._where = where
        self._number = scopes.find(connection, scope)
        self._tail = None
        self._tx = 0
        self._digests: list[bytes] = []
        self._growth = scopes.Growth()
        self._open = True
        self._broken = False

    def _lend(self) -> nullcontext[Connection]:
        self._check_open()
        return nullcontext(self._connection)

    def _check_open(self) -> None:
        if not self._open:
            raise StorageError("This transaction is over; begin another one.", path=self._where)

    def living(self, finder: Finder) -> set[str]:
        """Return which terms something living holds, so that they cannot tell whether a removal was complete."""
        return sweeping.living(self._connection, finder, self._number)

    def _ensure_scope(self) -> int:
        if not self._number:
            refuse_nul(*self._scope.partition)
            self._number = scopes.ensure(self._connection, self._scope)
        return self._number

    def table(self) -> RecordTable:
        """Return the records of this scope, giving the scope its number."""
        return RecordTable(self._connection, self._scope, self._ensure_scope(), self._sealer)

    # -------------------------------------------------------------------------------------------------- events

    def append(self, drafts: Sequence[EventDraft]) -> list[Appended]:
        """Append events in order, giving each its id, place and position. A known id is not stored twice.

        Raises:
            InputError: A text, id or value cannot be stored. Nothing of `drafts` was.
            OpRefused: An event is derived from others, and one of them is not there or has less authority. Nothing of `drafts` was stored.
        """
        self._check_open()
        if not drafts:
            return []
        with translated(self._where):
            self._connection.execute("SAVEPOINT append")
            try:
                appended = self._append(drafts)
            except BaseException:
                self._back_to("append")
                raise
            self._connection.execute("RELEASE append")
            return appended

    def _append(self, drafts: Sequence[EventDraft]) -> list[Appended]:
        number = self._ensure_scope()
        known = self._known([draft.id for draft in drafts if draft.id is not None])
        checked: set[str] = set()
        seqs = self._numbers("events", len(drafts))
        while True:
            placed = self._assign(drafts, known, seqs)
            derived = [p.event.id for p, d in zip(placed, drafts, strict=True) if d.id is None and not p.duplicate]
            # A derived id is taken only if somebody gave that very id before; the places behind it then move up.
            found = self._known([id_ for id_ in derived if id_ not in checked])
            if not found:
                break
            checked.update(derived)
            known |= found
        fresh = [(p.session, p.event) for p in placed if not p.duplicate]
        check_parents(self.view, [event for _, event in fresh])
        with self._together():
            self._insert(number, fresh)
            self._growth.write(self._connection, self._number)
        return [Appended(p.event, p.duplicate) for p in placed]

    def _assign(self, drafts: Sequence[EventDraft], known: Mapping[str, Event], seqs: Sequence[int]) -> list[_Placed]:
        """Each draft with its place: the stored event for a known id, the next free position for a new one."""
        seen = dict(known)
        following = iter(seqs)
        places: dict[str, tuple[int, int]] = {}
        placed: list[_Placed] = []
        for draft in drafts:
            if draft.session not in places:
                places[draft.session] = self._place(draft.session)
            session, position = places[draft.session]
            id_ = draft.id if draft.id is not None else derived_id(self._scope, draft, position)
            if id_ in seen:
                placed.append(_Placed(session, seen[id_], True))
                continue
            seen[id_] = event_from_draft(self._scope, draft, id_, next(following), position)
            placed.append(_Placed(session, seen[id_], False))
            places[draft.session] = (session, position + 1)
        return placed

    def _known(self, ids: list[str]) -> dict[str, Event]:
        """The stored events with these ids.

        Raises:
            InputError: An id is empty, or belongs to a record: sources could not tell them apart.
        """
        if not ids:
            return {}
        if "" in ids:
            raise InputError("An event's id is empty; leave it out to have one derived.", field="id")
        refuse_nul(*ids)
        question = "SELECT 1 FROM records WHERE scope = ? AND id IN (SELECT value FROM json_each(?)) LIMIT 1"
        taken = self._connection.execute(question, (self._number, dumps(ids))).fetchone()
        if taken:
            raise InputError("An event's id is already the id of a record in this scope.", field="id")
        return {event.id: event for event in self.view.events(list(dict.fromkeys(ids)))}

    def _place(self, session: str) -> tuple[int, int]:
        """The session's number and its next position, giving the session its number at its first event."""
        refuse_nul(session)
        for _ in range(2):
            row = self._connection.execute("SELECT id FROM sessions WHERE scope = ? AND name = ?", (self._number, session)).fetchone()
            if row:
                break
            self._connection.execute("INSERT INTO sessions(scope, name) VALUES(?, ?)", (self._number, session))
        last = self._connection.execute(_LAST_POSITION, (row[0], self._number)).fetchone()[0]
        return row[0], 0 if last is None else last + 1

    def _numbers(self, table: str, count: int) -> Sequence[int]:
        """Numbers for the next rows of a table, ascending: greater than any that the scope's rows have or had."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        first = int(row[0]) + 1 if row else 1
        return range(first, first + count)

    def _together(self) -> AbstractContextManager[None]:
        """Give a block of statements whose results nobody needs; an engine on another machine need not wait for each."""
        return nullcontext()

    def _insert(self, number: int, fresh: Sequence[tuple[int, Event]]) -> None:
        if self._tail is None:
            self._tail = chain.tail(self._connection)
        events, lexicon, digests = [], [], []
        entry = self._tail.n
        for salt, (session, event) in zip(chain.salts(len(fresh)), fresh, strict=True):
            entry += 1
            stored = event_to_row(event)
            digests.append(chain.event_digest(salt, self._scope.partition, event.session, stored))
            events.append((number, session, *stored, salt, entry))
            own = event.role == "user" and event.origin.source in FROM_USER
            terms, asking, length = indexed(event.text, hidden=event.authority == Authority.QUARANTINED)
            lexicon.append((number, event.seq, session, event.speaker, event.ts, terms, asking, length, own))
        self._connection.executemany(_INSERT_EVENT, events)
        self._connection.executemany(_INSERT_LEXICON, lexicon)
        self._sealer.events(self._scope, [(n, event.session, event_to_row(event)) for n, (_, event) in enumerate(fresh, self._tail.n + 1)])
        self._tail = chain.extend(self._connection, self._tail, "event", digests)
        self._growth.add([event.text for _, event in fresh])

    def restore_event(self, draft: EventDraft, position: int) -> bool:
        """Append an exported event, at its old position when that is free; return whether it was new."""
        number = self._ensure_scope()
        if draft.id is None or self._known([draft.id]):
            return False
        session, following = self._place(draft.session)
        if position != following:
            taken = self._connection.execute(
                "SELECT 1 FROM events WHERE session = ? AND position = ? AND +scope = ?", (session, position, number)
            ).fetchone()
            position = following if taken else position
        event = event_from_draft(self._scope, draft, draft.id, self._numbers("events", 1)[0], position)
        check_parents(self.view, [event], gone=True)
        self._insert(number, [(session, event)])
        return True

    # ------------------------------------------------------------------------------------------------- records

    def apply(self, ops: Sequence[Op]) -> list[str]:
        """Apply ops in order with before-images for undo; return the ids of records that were added or changed.

        Raises:
            OpRefused: An op breaks a rule (`tierkeep.protocols.Transaction.apply`). Nothing of `ops` was applied.
            InputError: A value cannot be stored. Nothing of `ops` was applied.
        """
        self._check_open()
        if not ops:
            return []
        with translated(self._where):
            self._connection.execute("SAVEPOINT apply")
            digests = list(self._digests)
            try:
                table = self.table()
                changed: dict[str, None] = {}
                for op in ops:
                    for change in apply_op(table, op):
                        self.write_revision(change, op.why, op.by)
                        changed[change.record] = None
                        if change.op == "delete":
                            scopes.touch(self._connection, table.number)
            except BaseException:
                self._digests = digests
                self._back_to("apply")
                raise
            self._connection.execute("RELEASE apply")
            return list(changed)

    def write_revision(self, change: Change, why: str = "", by: str = "", op: str | None = None) -> None:
        """Write one journal row of this transaction's batch."""
        images = [None if state is None else dumps(record_to_json(state)) for state in (change.before, change.after)]
        self.write_images(change.record, op or change.op, (images[0], images[1]), why, by, change.place)

    def write_images(
        self, record: str, op: str, images: tuple[str | None, str | None], why: str, by: str, place: int | None = None
    ) -> None:
        """Write one journal row whose images are JSON already."""
        refuse_nul(why, by)
        if not self._tx:
            self._tx = self._numbers("batches", 1)[0]
        stored = (self._tx, self._ensure_scope(), record, op, *images, why, by, place)
        salt = chain.salts(1)[0]
        digest = chain.revision_digest(salt, stored)
        self._connection.execute(_INSERT_REVISION, (*stored, salt, digest))
        self._digests.append(digest)

    def finish_batch(
        self, kind: str, *, at: str = "", undoes: int | None = None, events: Sequence[int] = (), purged: Sequence[int] = ()
    ) -> int:
        """Close the batch of record changes with its entry in the chain; return the entry's number."""
        if self._tail is None:
            self._tail = chain.tail(self._connection)
        tx = self._tx or self._numbers("batches", 1)[0]
        head = (tx, self._ensure_scope(), at or self._clock.now().isoformat(), kind, undoes)
        digest = chain.batch_digest(head, self._digests, events, purged)
        self._tail = chain.extend(self._connection, self._tail, kind, [digest])
        self._connection.execute("INSERT INTO batches(tx, scope, at, kind, undoes, entry) VALUES(?, ?, ?, ?, ?, ?)", (*head, self._tail.n))
        self._tx, self._digests = 0, []
        return self._tail.n

    def undo(self) -> list[str]:
        """Take the last batch of ops back; return the ids of the records it touched.

        Raises:
            NotFoundError: There is no such batch, or its text was forgotten since.
            OpRefused: Something outside the batch has come to rest on what it added.
        """
        row = self._connection.execute(_LAST_BATCH, (self._number,)).fetchone()
        if row is None:
            raise NotFoundError("There is no change of records left to undo in this scope.")
        revisions = self._connection.execute(
            "SELECT record, before, place, salt IS NULL FROM journal WHERE tx = ? AND +scope = ? ORDER BY row", (row[0], self._number)
        ).fetchall()
        if any(revision[3] for revision in revisions):
            raise NotFoundError("The last change rests on text that was forgotten since; it cannot be undone.")
        table = self.table()
        first: dict[str, str | None] = {}
        places: dict[str, int] = {}
        for record, before, place, _ in revisions:
            first.setdefault(record, before)
            if place is not None:
                places.setdefault(record, place)
        current = {record: table.load(record) for record in first}
        for record, before in reversed(list(first.items())):
            table.set_state(record, None if before is None else self._image(before), places.get(record))
        for record in first:
            state = table.load(record)
            if state is None and table.dependents(record):
                raise OpRefused("Records outside the last change rest on what it added; it cannot be undone.")
            self.write_revision(Change(record, "undo", current[record], state))
        self.finish_batch("undo", undoes=row[0])
        scopes.touch(self._connection, self._number)
        return list(first)

    def _image(self, image: str) -> Record:
        return record_from_json(self._scope, loads(image))

    # ------------------------------------------------------------------------------------------------- cursors

    def cursor(self, name: str) -> int:
        """Return the place up to which deriver `name` has read this scope's events; 0 at first."""
        self._check_open()
        with translated(self._where):
            row = self._connection.execute("SELECT seq FROM cursors WHERE scope = ? AND name = ?", (self._number, name)).fetchone()
            return int(row[0]) if row else 0

    def advance(self, name: str, seq: int) -> None:
        """Remember that deriver `name` has read up to `seq`."""
        self._check_open()
        with translated(self._where):
            refuse_nul(name)
            number = self._ensure_scope()
            self._connection.execute(
                "INSERT INTO cursors(scope, name, seq) VALUES(?, ?, ?) "
                "ON CONFLICT(scope, name) DO UPDATE SET seq = excluded.seq",
                (number, name, seq),
            )
            self._sealer.cursor(self._scope, number, name, seq)

    # ------------------------------------------------------------------------------------------------- vectors

    def put_vectors(self, identity: str, dimension: int, rows: Sequence[tuple[int, NDArray[np.float32]]], upto: int) -> int:
        """Store vectors of events; return of how many. Those of events that are gone are passed over.

        Raises:
            InputError: The dimension is not the one that this embedder's vectors have here.
        """
        self._check_open()
        with translated(self._where):
            refuse_nul(identity)
            if not (number := self._number):
                return 0  # erased while the embedder was at work: its name must not come back
            stored = vectors.put(self._connection, number, (identity, dimension), rows, upto)
            self._sealer.vectors_of(number, identity, [seq for seq, _ in rows])
            return stored

    def drop_vectors(self, but: str) -> int:
        """Drop the scope's vectors that other embedders than `but` made; return of how many events."""
        self._check_open()
        with translated(self._where):
            return vectors.drop(self._connection, self._number, but)

    # --------------------------------------------------------------------------------------------------- ending

    def _back_to(self, savepoint: str) -> None:
        """Take one step back, or mark the whole transaction as lost when SQLite has already rolled back."""
        if not self._connection.in_transaction:
            self._broken = True
            return
        self._connection.execute(f"ROLLBACK TO {savepoint}")
        self._connection.execute(f"RELEASE {savepoint}")
        self._tail, self._growth = None, scopes.Growth()
        self._number = scopes.find(self._connection, self._scope)

    def finish(self) -> None:
        """Write what the commit needs. Called once, just before it.

        Raises:
            StoreUnavailable: A step failed so badly that the whole transaction was rolled back.
        """
        with translated(self._where):
            if self._broken:
                raise StorageError("The transaction was rolled back by an earlier failure.", path=self._where)
            if self._digests:
                self.finish_batch("ops")
            self._growth.write(self._connection, self._number)
            self._sealer.head()

    def end(self) -> None:
        """Make every further use an error."""
        self._open = False
