"""One atomic change in PostgreSQL, and what is done when the server gives it up or the connection breaks.

What a transaction was asked to do is kept until it has ended. When the server takes it back (serialization failure, deadlock, a broken
connection before the commit), it is asked the same again on a new transaction, under the same numbers; it goes on only if the scope is
still as it was and every answer is the same, because the application has seen the answers. When the connection breaks during the commit,
the scope's chain says whether it took place: its newest entry covers random bytes, so that no other transaction can have written it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import StorageError, StoreUnavailable
from tierkeep.ledger import chain, forgetting, portable, vectors
from tierkeep.ledger.canaries import Finder
from tierkeep.ledger.connections import translated
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.postgres import sweeping
from tierkeep.ledger.postgres.connections import Connections
from tierkeep.ledger.postgres.failures import ConnectionLost, GivenUp
from tierkeep.ledger.postgres.session import Session
from tierkeep.ledger.postgres.vectors import write
from tierkeep.ledger.postgres.views import PostgresView
from tierkeep.ledger.rows import refuse_nul
from tierkeep.ledger.transactions import TableTransaction
from tierkeep.protocols import Appended, Clock, View
from tierkeep.records import Event, EventDraft, GuardEntry, Op, Scope

__all__ = ["PostgresTransaction"]

_T = TypeVar("_T")
_NUMBERS = {"events": "event_places", "batches": "batch_numbers"}
_DRAW = "SELECT nextval(?::regclass) FROM generate_series(1, ?)"
_WROTE = "SELECT pg_current_xact_id_if_assigned()::text"
_COMMITTED_ENTRY = "SELECT 1 FROM chain WHERE scope = ? AND n = ? AND hash = ?"
_COMMITTED_NUMBER = "SELECT 1 WHERE pg_xact_status(?::xid8) = 'committed'"


class _State(NamedTuple):
    """What shows that a scope is as it was: its number, and the end of its chain, which every change but that of a cursor makes longer."""

    number: int
    tail: chain.Tail


class _Numbers:
    """Numbers drawn from sequences, so that a transaction that is run again gets the same ones. Only a killed server takes them back."""

    def __init__(self) -> None:
        self._drawn: list[tuple[str, list[int]]] = []
        self._at = 0

    def rewind(self) -> None:
        """Give the same numbers again, from the first."""
        self._at = 0

    def draw(self, connection: Connection, table: str, count: int) -> list[int]:
        """Return numbers for the next rows of a table, ascending."""
        if self._at < len(self._drawn) and self._drawn[self._at][0] == table and len(self._drawn[self._at][1]) == count:
            numbers = self._drawn[self._at][1]
            _pass(connection, table, numbers[-1])
        else:
            numbers = sorted(row[0] for row in connection.execute(_DRAW, (_NUMBERS[table], count)).fetchall())
            self._drawn[self._at :] = [(table, numbers)]
        self._at += 1
        return numbers


def _pass(connection: Connection, table: str, number: int) -> None:
    """Bring a sequence past a number that is used again: a server that was killed may have forgotten that it gave it out."""
    short = 1
    while short > 0:
        drawn = connection.execute(_DRAW, (_NUMBERS[table], short)).fetchall()
        short = number - max(row[0] for row in drawn)


class _Tables(TableTransaction):
    """The rules of a transaction on PostgreSQL's tables, once."""

    def __init__(self, session: Session, scope: Scope, clock: Clock, where: str, numbers: _Numbers) -> None:
        super().__init__(session, scope, clock, where)
        self.view: View = PostgresView(self._lend, scope, number=lambda: self._number)
        self._session = session
        self._drawn = numbers
        session.scope = self._number

    @property
    def number(self) -> int:
        """Number of the scope; 0 while it has none."""
        return self._number

    def begin(self) -> chain.Tail:
        """Look at the end of the chain, from which this transaction goes on; return it."""
        self._tail = chain.tail(self._connection)
        return self._tail

    @property
    def written(self) -> chain.Tail | None:
        """The newest entry of the chain, when this transaction has looked at it."""
        return self._tail

    def _ensure_scope(self) -> int:
        self._session.scope = super()._ensure_scope()
        return self._session.scope

    def _back_to(self, savepoint: str) -> None:
        super()._back_to(savepoint)
        self._session.scope = self._number

    def _together(self) -> AbstractContextManager[None]:
        return self._session.together()

    def _numbers(self, table: str, count: int) -> Sequence[int]:
        return self._drawn.draw(self._connection, table, count)

    def living(self, finder: Finder) -> set[str]:
        """Return which terms something living of this scope holds: what others hold says nothing about a removal here."""
        return sweeping.living(self._session, finder, self._number)

    def put_vectors(self, identity: str, dimension: int, rows: Sequence[tuple[int, NDArray[np.float32]]], upto: int) -> int:
        """Store vectors of events (`tierkeep.protocols.Transaction`)."""
        with translated(self._where):
            refuse_nul(identity)
            # Nobody is there who was erased while the embedder was at work: the name must not come back.
            return vectors.put(self._connection, self._number, (identity, dimension), rows, upto, write) if self._number else 0


class PostgresTransaction:
    """One atomic change in one scope (`tierkeep.protocols.Transaction`).

    Args:
        connections: The store.
        scope: The scope.
        clock: Dates the batches.
    """

    def __init__(self, connections: Connections, scope: Scope, clock: Clock) -> None:
        self._connections = connections
        self._scope = scope
        self._clock = clock
        self._numbers = _Numbers()
        self._done: list[tuple[Callable[[_Tables], Any], Any]] = []
        self._repeatable = True
        self._open = True
        self._attempts = 0
        self._session, self._tables, self._before = self._begun()
        self.view: View = PostgresView(self._lend, scope, number=lambda: self._tables.number)

    def _begun(self) -> tuple[Session, _Tables, _State]:
        session = self._connections.begin(self._scope)
        try:
            with translated(self._connections.where):
                tables = _Tables(session, self._scope, self._clock, self._connections.where, self._numbers)
                state = _State(tables.number, tables.begin())
        except BaseException:
            self._connections.end(session)
            raise
        return session, tables, state

    def _lend(self) -> nullcontext[Connection]:
        self._check_open()
        return nullcontext(self._session)

    def _check_open(self) -> None:
        if not self._open:
            raise StorageError("This transaction is over; begin another one.", path=self._connections.where)

    # ------------------------------------------------------------------------------------------------- asking again

    def _do(self, call: Callable[[_Tables], _T], *, repeatable: bool = True) -> _T:
        """Do something in the transaction, again after the server has given it up."""
        self._check_open()
        self._repeatable = self._repeatable and repeatable
        while True:
            try:
                with translated(self._connections.where):
                    result = call(self._tables)
            except (GivenUp, ConnectionLost) as error:
                self._again(error)
                continue
            self._done.append((call, result))
            return result

    def _again(self, error: StoreUnavailable) -> None:
        """Begin anew and do all that was done; `error` when that may not be tried again.

        Raises:
            StoreUnavailable: There were too many attempts, or the scope is not as it was. Nothing was changed.
        """
        while True:
            if not self._repeatable or self._attempts >= self._connections.address.retries:
                raise error
            self._connections.end(self._session)
            self._connections.pause(self._attempts)
            self._attempts += 1
            try:
                self._session, self._tables, state = self._begun()
                self._numbers.rewind()
                same = state == self._before
                with translated(self._connections.where):
                    same = same and all(call(self._tables) == result for call, result in self._done)
            except (GivenUp, ConnectionLost) as next_error:
                error = next_error
                continue
            if not same:
                message = "Others have changed the scope since the server gave this transaction up. Nothing was changed; try again."
                raise StoreUnavailable(message, path=self._connections.where)
            return

    def commit(self) -> None:
        """Make the change durable.

        Raises:
            StoreUnavailable: It could not be, and nothing was changed; or nobody knows, and the message says so.
            StorageError: A failed statement has taken the transaction back.
        """
        self._do(lambda tables: tables.finish())
        while True:
            question, values = self._evidence()
            if not self._session.sound:
                raise StorageError("The transaction was rolled back by an earlier failure.", path=self._connections.where)
            try:
                self._session.execute("COMMIT")
                return
            except GivenUp as error:
                self._again(error)
            except ConnectionLost as error:
                if not question or self._connections.resolved(self._scope, question, values):
                    return
                self._again(error)

    def _evidence(self) -> tuple[str, tuple[object, ...]]:
        """What will show that this transaction was committed; an empty question when it has written nothing."""
        tail = self._tables.written
        if tail is not None and tail != self._before.tail:
            return _COMMITTED_ENTRY, (self._tables.number, tail.n, tail.hash)
        try:
            (number,) = self._session.execute(_WROTE).fetchone()
        except (GivenUp, ConnectionLost) as error:
            self._again(error)
            return self._evidence()
        return (_COMMITTED_NUMBER, (number,)) if number else ("", ())

    def end(self) -> None:
        """Take back what was not committed; make every further use an error."""
        self._open = False
        self._connections.end(self._session)

    # ------------------------------------------------------------------------------------------------------- verbs

    def append(self, drafts: Sequence[EventDraft]) -> list[Appended]:
        """Append events in order, giving each its id, place and position. A known id is not stored twice."""
        kept = list(drafts)
        return list(self._do(lambda tables: tables.append(kept)))

    def apply(self, ops: Sequence[Op]) -> list[str]:
        """Apply ops in order with before-images for undo; return the ids of records that were added or changed."""
        kept = list(ops)
        return list(self._do(lambda tables: tables.apply(kept)))

    def cursor(self, name: str) -> int:
        """Return the place up to which deriver `name` has read this scope's events; 0 at first."""
        return self._do(lambda tables: tables.cursor(name))

    def advance(self, name: str, seq: int) -> None:
        """Remember that deriver `name` has read up to `seq`."""
        self._do(lambda tables: tables.advance(name, seq))

    def put_vectors(self, identity: str, dimension: int, rows: Sequence[tuple[int, NDArray[np.float32]]], upto: int) -> int:
        """Store vectors of events, in place of those that the same embedder made before; return of how many events."""
        kept = list(rows)
        return self._do(lambda tables: tables.put_vectors(identity, dimension, kept, upto))

    def drop_vectors(self, but: str) -> int:
        """Drop the scope's vectors that other embedders than `but` made; return of how many events."""
        return self._do(lambda tables: tables.drop_vectors(but))

    def log(self, entries: Sequence[GuardEntry]) -> None:
        """Append to the guard's log and to the hash chain."""
        kept = list(entries)
        self._do(lambda tables: tables.log(kept))

    def release(self, event_id: str) -> Event:
        """Lift a quarantine; return the event."""
        return self._do(lambda tables: tables.release(event_id))

    def elevate(self, event_id: str) -> Event:
        """Give an event authority to act; return it."""
        return self._do(lambda tables: tables.elevate(event_id))

    def issue(self, token: bytes, subject: str, expires: float) -> None:
        """Keep a confirmation that was asked for."""
        self._do(lambda tables: tables.issue(token, subject, expires))

    def redeem(self, token: bytes, subject: str, now: float) -> bool:
        """Use a confirmation up; return whether it fitted."""
        return self._do(lambda tables: tables.redeem(token, subject, now))

    # ------------------------------------------------------------------------------------- what the ledger asks of it

    def undo(self) -> list[str]:
        """Take the last batch of ops back; return the ids of the records it touched."""
        return self._do(lambda tables: tables.undo())

    def remove(self, event_ids: Sequence[str]) -> forgetting.Removal | None:
        """Remove events and everything derived from them; return what went, or None when none of them is there."""
        kept = list(event_ids)
        return self._do(lambda tables: forgetting.remove(tables, self._session, kept))

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Write exported rows; return (events, records) that were new. Rows that can be read once only cannot be written again."""
        return self._do(lambda tables: portable.restore(tables, self._session, rows), repeatable=isinstance(rows, Sequence))
