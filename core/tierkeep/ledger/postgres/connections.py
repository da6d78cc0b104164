"""Connections to one PostgreSQL store: a pool of them in each process, kept from children, and how a write is begun and ended.

One writer at a time in each scope: a transaction takes an advisory lock on its owner's name, so that places, positions and the chain ascend
in the order of commits. It runs READ COMMITTED, so that its first look is made after the wait for that lock; SERIALIZABLE would take its
snapshot before it. Writers of other scopes are not waited for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import SystemRandom
from typing import Any

import psycopg
import psycopg_pool

from tierkeep.errors import StorageError, StoreUnavailable
from tierkeep.ledger.connections import translated
from tierkeep.ledger.postgres.address import Address
from tierkeep.ledger.postgres.failures import ConnectionLost, refused, typed
from tierkeep.ledger.postgres.schema import lock_key
from tierkeep.ledger.postgres.session import Cursor, Narrowed, Raw, Session
from tierkeep.records import Scope

__all__ = ["Connections"]

_CLOSED = "This ledger is closed. Open it again."
_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_RESOLVE = 6  # times the timeout: a server that was killed needs a while to recover before it can say what it has committed
_CONFIGURE = """SELECT set_config('search_path', concat_ws(', ', $1::text, (SELECT quote_ident(s.nspname) FROM pg_extension AS x
    JOIN pg_namespace AS s ON s.oid = x.extnamespace WHERE x.extname = 'vector')), false), set_config('lock_timeout', $2, false),
    set_config('bytea_output', 'hex', false), set_config('client_min_messages', 'warning', false),
    current_setting('transaction_read_only') = 'on'"""
_LOCKS = "SELECT pg_advisory_xact_lock_shared(?), pg_advisory_xact_lock(?)"
_random = SystemRandom()
_inherited: list[object] = []  # pools of the process that forked: their sockets are that one's, and are never closed here


class Connections:
    """All connections of this process to one store.

    Args:
        address: Where it is.

    Raises:
        StoreUnavailable: The server cannot be reached, or refuses the user.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._local = threading.local()
        self._guard = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self._pool: psycopg_pool.ConnectionPool[Raw] | None = None
        self._store = lock_key("store", address.schema)
        raw = self._connect()
        try:
            self.read_only = self._configure(raw)
        finally:
            raw.close()

    @property
    def where(self) -> str:
        """The address as it may be shown."""
        return self.address.shown

    # --------------------------------------------------------------------------------------------- making them

    def _connect(self) -> Raw:
        """Make a connection outside of the pool: its errors say what is wrong, where the pool's only say that it waited."""
        try:
            return psycopg.connect("", autocommit=True, cursor_factory=Cursor, **self._arguments())
        except psycopg.OperationalError as error:
            raise refused(error, self.where) from None
        except psycopg.ProgrammingError:
            # The client library repeats what it could not read, which may be a password.
            message = f"The store at {self.where} cannot be reached: an option of its address is unknown."
            raise StoreUnavailable(message, path=self.where) from None

    def _arguments(self) -> dict[str, Any]:
        return {"application_name": "tierkeep", "connect_timeout": str(self.address.timeout), **self.address.given}

    def _ready(self, raw: Raw) -> None:
        self._configure(raw)

    def _configure(self, raw: Raw) -> bool:
        """Prepare a connection; return whether it may only read."""
        row = raw.execute(_CONFIGURE.encode(), [f'"{self.address.schema}"', f"{self.address.timeout * 1000:d}"]).fetchone()
        return bool(row and row[-1])

    def _pooled(self) -> psycopg_pool.ConnectionPool[Raw]:
        with self._guard:
            if self._closed:
                raise StoreUnavailable(_CLOSED, path=self.where)
            if self._pid != os.getpid():
                _inherited.extend((self._pool, self._local))
                self._pool, self._pid, self._local = None, os.getpid(), threading.local()
            if self._pool is None:
                self._pool = psycopg_pool.ConnectionPool(
                    "",
                    kwargs={**self._arguments(), "autocommit": True, "cursor_factory": Cursor},
                    min_size=0,
                    max_size=self.address.pool,
                    timeout=self.address.timeout,
                    reconnect_timeout=self.address.timeout,
                    configure=self._ready,
                    name="tierkeep",
                    open=True,
                )
            return self._pool

    def _take(self) -> Raw:
        pool = self._pooled()
        try:
            return pool.getconn()
        except psycopg_pool.PoolClosed:
            raise StoreUnavailable(_CLOSED, path=self.where) from None
        except psycopg.OperationalError:
            self._connect().close()  # says why there is none, when the server is why
            message = f"All {self.address.pool} connections of this process to {self.where} are in use; raise pool= in its address."
            raise StoreUnavailable(message, path=self.where) from None

    def give_back(self, raw: Raw) -> None:
        """Return a connection to the pool; a broken one is replaced there."""
        with suppress(psycopg.Error):
            if not raw.closed and raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                raw.execute(b"ROLLBACK")
        if self._pool is not None and self._pid == os.getpid():
            with suppress(ValueError):  # not this pool's: the ledger was closed or forked meanwhile
                self._pool.putconn(raw)

    def fresh(self, dead: Raw) -> Raw:
        """Return a living connection in place of a dead one, and let go of others that died with it."""
        self.give_back(dead)
        self._pooled().check()
        return self._take()

    # --------------------------------------------------------------------------------------------------- reading

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Lend a connection for one short read. Inside a transaction of this thread it is that one's, and sees what it has written."""
        if (own := self.own) is not None:
            with translated(self.where):
                yield own
            return
        session = Session(self._take(), self.where, self.fresh)
        try:
            with translated(self.where):
                yield session
        finally:
            self.give_back(session.raw)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Lend a connection with every read of the block in one snapshot."""
        with self.reading() as session:
            begun = self.own is None
            if begun:
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield session
            finally:
                if begun and session.in_transaction:
                    session.execute("ROLLBACK")

    def narrowed(self, session: Session, number: int) -> Narrowed:
        """Return a session on the same connection whose statements read one scope."""
        narrow = Narrowed(session.raw, self.where)
        narrow.scope = number
        return narrow

    # --------------------------------------------------------------------------------------------------- writing

    @property
    def own(self) -> Session | None:
        """The session of this thread's transaction, if it is inside of one."""
        session: Session | None = getattr(self._local, "session", None)
        return session if self._pid == os.getpid() else None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Note that this thread is inside a transaction, once.

        Raises:
            StorageError: It is already.
        """
        if self.own is not None:
            raise StorageError("This thread is inside a transaction of this ledger; finish it first.", path=self.where)
        if self.read_only:
            raise StoreUnavailable(f"The store at {self.where} is read-only.", path=self.where)
        try:
            yield
        finally:
            self._local.session = None

    def begin(self, scope: Scope) -> Session:
        """Begin a transaction as the only writer of the scope, and make it this thread's.

        Raises:
            StoreUnavailable: Another writer of the scope took too long, or the server is gone.
        """
        session = Session(self._take(), self.where)
        try:
            try:
                self._lock(session, scope)
            except ConnectionLost:  # nothing was begun: it had died in the pool
                session.raw = self.fresh(session.raw)
                self._lock(session, scope)
        except BaseException:
            self.give_back(session.raw)
            raise
        self._local.session = session
        return session

    def _lock(self, session: Session, scope: Scope) -> None:
        session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        session.execute(_LOCKS, (self._store, lock_key("scope", self.address.schema, *scope.partition)))

    def end(self, session: Session) -> None:
        """Take back what was not committed, and return the connection."""
        self._local.session = None
        self.give_back(session.raw)

    def pause(self, attempt: int) -> None:
        """Wait before the next attempt, longer each time and never as long as the others that were given up."""
        time.sleep(_random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE_S, _PAUSE_S * 2**attempt))

    def resolved(self, scope: Scope, question: str, values: tuple[object, ...]) -> bool:
        """Find out whether a transaction whose commit was not answered has taken place.

        Whoever asks first waits for the scope: a server that is still at the old transaction holds its lock.

        Args:
            scope: The scope it was in.
            question: Finds a row if it was committed.
            values: Of the question.

        Raises:
            StoreUnavailable: The server did not come back in time, so that nobody knows.
        """
        last = time.monotonic() + _RESOLVE * self.address.timeout
        attempt = 0
        while True:
            try:
                raw = self._connect()
                try:
                    self._configure(raw)
                    session = Session(raw, self.where)
                    self._lock(session, scope)
                    return session.execute(question, values).fetchone() is not None
                finally:
                    raw.close()
            except (StoreUnavailable, psycopg.Error) as error:
                if time.monotonic() > last:
                    message = (
                        f"The connection to the store at {self.where} was lost while a change was committed, and the server did "
                        "not come back: whether it was stored is not known. Look for it, or store it again under the same ids."
                    )
                    raise StoreUnavailable(message, path=self.where) from (error if isinstance(error, StorageError) else None)
            self.pause(attempt)
            attempt += 1

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """Lend a connection inside a transaction during which nobody writes to the store."""
        raw = self._connect()
        try:
            self._configure(raw)
            session = Session(raw, self.where)
            session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            session.execute("SELECT pg_advisory_xact_lock(?)", (self._store,))
            yield session
            session.execute("COMMIT")
        except psycopg.Error as error:
            raise typed(error, self.where, broken=True) from None
        finally:
            raw.close()

    @contextmanager
    def bare(self) -> Iterator[Session]:
        """Lend a connection outside of the pool, with no transaction begun."""
        raw = self._connect()
        try:
            self._configure(raw)
            yield Session(raw, self.where)
        finally:
            raw.close()

    def close(self) -> None:
        """Close every connection of this process. A second call does nothing."""
        with self._guard:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None and self._pid == os.getpid():
            pool.close()
