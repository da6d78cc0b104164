"""Connections to one SQLite file: how they are opened, shared by threads, kept from children, and how they fail.

Every thread has its own connection to a file; ":memory:" has one, behind a lock. Writers stand in line (`line.py`). No connection
survives a fork: SQLite's locks belong to the process, so idle connections are closed before the fork and both sides open new ones.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

from tierkeep.errors import InputError, LimitError, StorageError, StoreCorrupt, StoreUnavailable, TierkeepError
from tierkeep.ledger import belonging, lexicon, schema
from tierkeep.ledger.files import Claim, claim
from tierkeep.ledger.line import Line, begin

__all__ = ["Connections", "Durability", "translated"]

Durability = Literal["normal", "full"]

_FORK_WAIT_S = 2.0  # a fork waits this long for other threads' calls to end; then those connections are left behind
_CACHE_KIB = 2048  # of pages, for each connection, and each thread has one: with 8192 none of recall, add and forget was faster
_LOG_BYTES = 16 << 20  # a log that grew while somebody read for long gives the disk back when it begins anew
_CLOSED = "This ledger is closed (an in-memory one does not follow a fork). Open it again."

_DAMAGED = "{store} is damaged ({error}). Keep the file, and restore from a backup or an export; `tierkeep verify` names what is wrong."
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "is locked by another writer for longer than the busy timeout; try again",
    sqlite3.SQLITE_LOCKED: "is locked by another writer for longer than the busy timeout; try again",
    sqlite3.SQLITE_READONLY: "is read-only; check the permissions of the file and of its folder",
    sqlite3.SQLITE_IOERR: "cannot be read or written by the operating system; check the disk",
    sqlite3.SQLITE_FULL: "has no room left: the disk is full; free some space and try again",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that the folder exists and may be written",
    sqlite3.SQLITE_PERM: "may not be accessed; check the permissions of the file and of its folder",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
    sqlite3.SQLITE_INTERRUPT: "was interrupted",
    sqlite3.SQLITE_PROTOCOL: "is locked by another writer for longer than the busy timeout; try again",
}


class translated:  # noqa: N801 - reads as a verb at its uses, like contextlib's own
    """Context in which SQLite's errors, and values it cannot store, become tierkeep's typed errors.

    Args:
        where: The store's path, for the message; None for ":memory:".

    Raises:
        StoreUnavailable: Locked, read-only, full, closed.
        StoreCorrupt: Damaged or not a database.
        InputError: A text that is not Unicode, or a number that does not fit.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str | None) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, sqlite3.Error):
            raise _typed(error, self._where) from error
        if isinstance(error, UnicodeEncodeError):
            # The cause carries the whole text, which must not reach a log.
            raise InputError("A text holds half of a surrogate pair, which is not Unicode. Replace it first.") from None
        if isinstance(error, UnicodeDecodeError):
            # Python reads SQLite's message, which names what it found in a damaged schema.
            raise StoreCorrupt(_DAMAGED.format(store=_named(self._where), error="bytes that are no text"), path=self._where) from None
        if isinstance(error, OverflowError):
            raise InputError("A number does not fit into 64 bits.") from None


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for errors that Python's own module raises."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _typed(error: sqlite3.Error, where: str | None) -> TierkeepError:
    code = _code(error)
    store = _named(where)
    if isinstance(error, sqlite3.ProgrammingError):
        return StoreUnavailable(f"{store} is closed.", path=where)
    if code in _UNAVAILABLE:
        return StoreUnavailable(f"{store} {_UNAVAILABLE[code]}. Nothing was changed.", path=where)
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return LimitError("A text is larger than SQLite can store (1,000,000,000 bytes).", limit=1_000_000_000)
    if isinstance(error, sqlite3.IntegrityError):
        return StorageError(f"{store} refused a change that breaks its rules ({error}). Nothing was changed.", path=where)
    return StoreCorrupt(_DAMAGED.format(store=store, error=error), path=where)


def _named(where: str | None) -> str:
    return f"The store at {where}" if where else "The in-memory store"


class _Handle:
    """One connection, the lock under which it is used, and the process that may use it."""

    __slots__ = ("__weakref__", "connection", "lock", "pid")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pid = os.getpid()
        self.connection: sqlite3.Connection | None = None

    def __del__(self) -> None:
        # A connection and its statement cache hold each other, so a dead thread's would stay open until the next collection.
        if self.pid == os.getpid():
            with suppress(sqlite3.Error):
                self.close()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Connections:
    """All connections of this process to one store.

    Args:
        path: The database file, or None for ":memory:".
        durability: "normal" survives the death of the process; "full" also survives a power cut, one fsync per commit.
        busy_timeout_s: Seconds to wait for another writer.

    Raises:
        StoreUnavailable: The file cannot be opened.
        StoreCorrupt: It is not a tierkeep store, or damaged.
        SchemaTooNew: It was written by a newer tierkeep.
    """

    def __init__(self, path: Path | None, *, durability: Durability, busy_timeout_s: float) -> None:
        self.where = str(path) if path else None
        self.read_only = False
        self._durability = durability
        self._timeout = busy_timeout_s
        self._immutable = False
        self._closed = False
        self._reset()
        self.claim: Claim | None = claim(path) if path else None
        try:
            with translated(self.where):
                self._first_opening()
        except BaseException:
            self.close()
            raise
        _living.add(self)

    def _reset(self) -> None:
        """Forget all connections and locks: at first, and in a child process."""
        self._pid = os.getpid()
        self._line = Line(self._timeout)
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._registering = threading.Lock()
        self._shared = _Handle()

    # ------------------------------------------------------------------------------------------------- opening

    def _first_opening(self) -> None:
        path = self.claim.path if self.claim else None
        if path is not None:
            self.read_only = not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
            belonging.check_log(path)
        with self.reading() as connection:
            if schema.version(connection) != schema.SCHEMA_VERSION and self.read_only:
                message = f"The store at {self.where} is empty or from an older tierkeep, and may not be written."
                raise StoreUnavailable(message, path=self.where)
            schema.migrate(connection, path=self.where)
            if path is not None and not self.read_only:
                belonging.give_name(connection)
                self._write_ahead(connection)
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := sorted(set(schema.TABLES) - tables):
                message = f"The store at {self.where} lacks the tables {', '.join(missing)}; restore it from a backup."
                raise StoreCorrupt(message, path=self.where)
            if not self.read_only:
                lexicon.refresh(connection)

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log. The change needs the file alone for a moment, which busy_timeout does not cover."""
        last = time.monotonic() + self._timeout
        while True:
            try:
                if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                    return
                if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                    return
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
            if time.monotonic() > last:
                raise StoreUnavailable(f"The store at {self.where} stayed locked while it was opened.", path=self.where)
            time.sleep(0.01)

    def _open(self) -> sqlite3.Connection:
        if self.claim is None:
            target, uri = ":memory:", False
        elif self.read_only:
            target, uri = self.claim.path.as_uri() + ("?immutable=1" if self._immutable else "?mode=ro"), True
        else:
            target, uri = str(self.claim.path), False
        made = sqlite3.connect(target, uri=uri, timeout=self._timeout, isolation_level=None, check_same_thread=False, cached_statements=256)
        try:
            self._configure(made)
        except sqlite3.OperationalError as error:
            made.close()
            if self.read_only and not self._immutable and self.log_bytes() == 0 and _code(error) in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                # Nobody can write here and no log waits: the file can be read without the shared-memory file.
                self._immutable = True
                return self._open()
            raise
        except BaseException:
            made.close()
            raise
        return made

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log; 0 when there is none."""
        log = self.claim.path.with_name(self.claim.path.name + "-wal") if self.claim else None
        return log.stat().st_size if log is not None and log.exists() else 0

    def _configure(self, connection: sqlite3.Connection) -> None:
        synchronous = "FULL" if self._durability == "full" else "NORMAL"
        for pragma in (
            f"synchronous = {synchronous}",
            "secure_delete = ON",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "temp_store = MEMORY",  # nothing of a forgotten text may end in a temporary file
            f"cache_size = -{_CACHE_KIB:d}",
            f"journal_size_limit = {_LOG_BYTES:d}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    # ------------------------------------------------------------------------------------------------- using

    def _handle(self) -> _Handle:
        if self._pid != os.getpid():
            self._reset()
            if self.claim is None:
                self._closed = True
        if self._closed:
            raise StoreUnavailable(_CLOSED, path=self.where)
        if self.claim is None:
            return self._shared
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = _Handle()
            with self._registering:
                self._handles.add(handle)
        return handle

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend this thread's connection for one read. Keep it short: a fork waits for it."""
        return self._lend(self._handle())

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's connection with every read of the block in one transaction."""
        with self.reading() as connection, ExitStack() as ending:
            if not connection.in_transaction:
                connection.execute("BEGIN")
                ending.callback(connection.execute, "ROLLBACK")
            yield connection

    @contextmanager
    def _lend(self, handle: _Handle) -> Iterator[sqlite3.Connection]:
        # In memory the one connection is busy while another thread writes, and that thread may be waiting for this one.
        if not handle.lock.acquire(timeout=self._timeout):
            raise StoreUnavailable("Another thread has been writing for longer than the busy timeout.", path=self.where)
        try:
            with translated(self.where):
                yield self._ready(handle)
        finally:
            handle.lock.release()

    def _ready(self, handle: _Handle) -> sqlite3.Connection:
        """The handle's connection, opened if need be. The caller holds its lock, so `close` is either over or yet to come."""
        if self._closed:
            raise StoreUnavailable(_CLOSED, path=self.where)
        if handle.connection is None:
            handle.connection = self._open()
        return handle.connection

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's connection as the only writer of this process, with no transaction begun.

        Raises:
            StoreUnavailable: The store is read-only, or another thread is writing for too long.
            StorageError: This thread is inside a transaction of this ledger.
        """
        handle = self._handle()
        if self.read_only:
            raise StoreUnavailable(f"The store at {self.where} is read-only.", path=self.where)
        line = self._line
        if line.writing == threading.get_ident():
            raise StorageError("This thread is inside a transaction of this ledger; finish it first.", path=self.where)
        if not line.join():
            raise StoreUnavailable("Another thread has been writing for longer than the busy timeout.", path=self.where)
        try:
            with handle.lock:
                with translated(self.where):
                    connection = self._ready(handle)
                yield connection
        finally:
            line.leave()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's connection inside a write transaction; commit on leaving, roll back on an exception."""
        with self.alone() as connection:
            with translated(self.where):
                begin(connection, self._timeout, self._line.go_on)
            try:
                yield connection
                with translated(self.where):
                    connection.execute("COMMIT")
            except BaseException:
                # A full disk or a lost connection has already rolled back.
                with translated(self.where):
                    if not self._closed and connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every connection of this process. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            with self._registering:
                handles = [*self._handles, self._shared]
            for handle in handles:
                with handle.lock:
                    handle.close()
        if self.claim is not None:
            self.claim.release()

    # ------------------------------------------------------------------------------------------------- forks

    def before_fork(self) -> tuple[list[Callable[[], None]], list[object]]:
        """Close what is idle, so that a child inherits no SQLite state.

        Returns:
            What undoes the waiting, and what a child must keep and never close.
        """
        if self._closed or self._pid != os.getpid():
            return [], []
        with self._registering:
            handles = list(self._handles)
        kept: list[object] = [*handles, self._shared, self._local]
        inside = self._line.writing == threading.get_ident()
        if self.claim is None or inside or not self._line.pause(_FORK_WAIT_S):
            return [], kept
        releases: list[Callable[[], None]] = [self._line.leave]
        for handle in handles:
            if handle.lock.acquire(timeout=_FORK_WAIT_S):
                releases.append(handle.lock.release)
                handle.close()
        return releases, kept


_living: weakref.WeakSet[Connections] = weakref.WeakSet()
_releases: list[Callable[[], None]] = []
_inherited: list[object] = []


def _before_fork() -> None:
    for connections in list(_living):
        releases, kept = connections.before_fork()
        _releases.extend(releases)
        _inherited.extend(kept)


def _after_in_parent() -> None:
    _inherited.clear()
    while _releases:
        _releases.pop()()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_releases.clear)
