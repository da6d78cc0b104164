"""The embedded ledger: one SQLite file with everything of every scope in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from tierkeep.allowance import Listener
from tierkeep.errors import SettingsError, StoreCorrupt
from tierkeep.ledger import anchors, backups, chain, forgetting, histories, portable, schema, scopes, sealing, statistics, sweeping
from tierkeep.ledger.connections import Connections, Durability, translated
from tierkeep.ledger.files import locate
from tierkeep.ledger.seal import Seal, StoreKey
from tierkeep.ledger.transactions import TableTransaction
from tierkeep.ledger.verification import verify
from tierkeep.ledger.views import TableView
from tierkeep.protocols import Clock, Forgotten, Owner
from tierkeep.records import Revision, Scope, VerifyReport

__all__ = ["SqliteLedger"]


class SqliteLedger:
    """The ledger in one SQLite file (`tierkeep.protocols.Ledger`). Threads and processes may share the file.

    Args:
        path: A folder (the file is `tierkeep.db` in it), a file, or ":memory:".
        clock: Dates the batches of record changes.
        durability: "normal": a finished transaction survives the death of the process. "full": it also survives a power
            cut, at the price of one fsync per transaction.
        busy_timeout_s: Seconds to wait for another writer before `StoreUnavailable`.
        seal: Key of a sealed store; a new store is sealed with it (`tierkeep.ledger.sealing`).

    Raises:
        InputError: The path cannot be a path.
        SettingsError: An unknown durability, or a negative timeout; a sealed store without its key, or a store that holds something and
            bears no seal, with one.
        StoreUnavailable: The file cannot be created or opened.
        StoreCorrupt: The file is not a tierkeep store (it is left as it is), or is damaged.
        SchemaTooNew: The file was written by a newer tierkeep.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock,
        durability: Durability = "normal",
        busy_timeout_s: float = 10.0,
        seal: Seal | None = None,
    ) -> None:
        if durability not in ("normal", "full"):
            raise SettingsError(f'durability is "normal" or "full", not {durability!r}.')
        if not 0 <= busy_timeout_s <= 3600:
            raise SettingsError("busy_timeout_s is between 0 and 3600 seconds.")
        self._clock = clock
        self._durability = durability
        file = locate(path)
        if seal is not None and file is not None:
            seal.check_place(file.parent)
        self._seal = seal
        self._key: StoreKey | None = None
        self._anchored: chain.Tail | None = None
        self._connections = Connections(file, durability=durability, busy_timeout_s=busy_timeout_s)
        try:
            self._key = self._admitted()
        except BaseException:
            self.close()
            raise
        self._note()

    def __enter__(self) -> SqliteLedger:
        """Return the ledger; leaving the block closes it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the ledger."""
        self.close()

    @property
    def path(self) -> Path | None:
        """The database file; None in memory."""
        return self._connections.claim.path if self._connections.claim else None

    @property
    def read_only(self) -> bool:
        """Whether the file or its folder may not be written, so that reads work and writes raise."""
        return self._connections.read_only

    def view(self, scope: Scope) -> TableView:
        """Return a read-only window on the scope."""
        return TableView(self._connections.reading, scope, self._key)

    @contextmanager
    def transaction(self, scope: Scope) -> Iterator[TableTransaction]:
        """Begin an atomic change in the scope; waits for other writers.

        Raises:
            StoreUnavailable: Another writer holds the store for too long, or it cannot be written. Nothing was changed.
            StorageError: This thread is already inside a transaction of this ledger.
        """
        where = self._connections.where
        with self._connections.writing() as connection:
            with translated(where):
                transaction = self._begun(connection, scope)
            try:
                yield transaction
                transaction.finish()
            finally:
                transaction.end()
        self._note()

    def undo(self, scope: Scope) -> list[str]:
        """Take the scope's last batch of ops back; return the ids of the records it touched.

        Raises:
            NotFoundError: There is nothing to undo, or its text was forgotten since.
            OpRefused: Records outside the batch have come to rest on what it added.
        """
        with self.transaction(scope) as transaction, translated(self._connections.where):
            return transaction.undo()

    def history(self, scope: Scope, record_id: str) -> list[Revision]:
        """Return the record's revisions, oldest first.

        Raises:
            NotFoundError: This scope never had that record, or it was forgotten.
        """
        with self._connections.reading() as connection:
            return histories.history(connection, scope, record_id)

    def forget(self, scope: Scope, event_ids: Sequence[str]) -> Forgotten:
        """Remove events and everything derived from them, then look for what is left of their rare terms.

        Ids that the scope does not have are passed over. In the tables the removal is one transaction; when the sweep
        after it cannot end (another process reads, the disk is full) the report says so and `complete` is False.
        """
        where = self._connections.where
        with self._connections.writing() as connection, translated(where):
            transaction = self._begun(connection, scope)
            removal = forgetting.remove(transaction, connection, event_ids)
            transaction.finish()
            transaction.end()
        self._note()
        return forgetting.reported(removal, lambda found: sweeping.prove(self._connections, found.words, found.scope))

    def sweep(self, canaries: Iterable[str]) -> list[str]:
        """Return where any of these terms is still found: "table.column" or "file:name"."""
        return sweeping.sweep(self._connections, canaries)

    def verify(self) -> VerifyReport:
        """Check the hash chain, every digest, every provenance link and the file itself."""
        with self._connections.reading() as connection:
            return verify(connection, self._connections.where, self._key)

    def export(self, scope: Scope) -> Iterator[dict[str, Any]]:
        """Yield the scope as JSON objects: a header, events, records, revisions (`tierkeep.ledger.portable`)."""
        return portable.export(self._connections, scope, self._key)

    def restore(self, scope: Scope, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Write exported rows into the scope in one transaction; return (events, records) that were new.

        Raises:
            ImportFormatError: A row is not what `export` writes. Nothing is stored.
        """
        where = self._connections.where
        with self._connections.writing() as connection:
            with translated(where):
                transaction = self._begun(connection, scope)
                restored = portable.restore(transaction, connection, rows)
                transaction.finish()
            transaction.end()
        self._note()
        return restored

    def backup(self, path: Path, *, replace: bool = False, listener: Listener | None = None) -> int:
        """Copy the store into a file while it is written to, verify the copy, and return its bytes (`tierkeep.ledger.backups`)."""
        return backups.backup(self._connections, self._key, path, replace=replace, listener=listener)

    def owners(self) -> list[Owner]:
        """Return every owner that has something here, sorted by name, with what each holds."""
        with self._connections.reading() as connection:
            return scopes.owners(connection)

    def stats(self) -> Mapping[str, Any]:
        """Return counts and sizes for the doctor."""
        with self._connections.reading() as connection:
            counts = {
                table: connection.execute(" ".join(("SELECT count(*) FROM", table))).fetchone()[0]
                for table in ("scopes", "sessions", "events", "records", "batches", "chain")
            }
            pages, size, free, mode = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size", "freelist_count", "journal_mode")
            )
            inside = statistics.contents(connection)
        return {
            **counts,
            **inside,
            "bytes": pages * size,
            "log_bytes": self._connections.log_bytes(),
            "free_bytes": free * size,
            "journal_mode": mode,
            "durability": self._durability,
            "read_only": self.read_only,
            "seal": "none" if self._seal is None else "sealed" if self._seal.anchor is None else "sealed and anchored",
            "schema_version": schema.SCHEMA_VERSION,
            "path": self._connections.where or ":memory:",
        }

    # -------------------------------------------------------------------------------------------------- sealing

    def _admitted(self) -> StoreKey | None:
        """Check the seal, or seal what bears none; return the store's key."""
        where = self._connections.where
        with self._connections.reading() as connection:
            store = sealing.store_name(connection)
        if self._seal is None:
            if store is not None:
                raise SettingsError(f"The store at {where} is sealed. Open it with its key: Memory.open(…, seal=Seal(…)).")
            return None
        if store is None:
            with self._connections.writing() as connection, translated(where):
                if sealing.store_name(connection) is None:
                    self._key = sealing.begin(connection, self._seal, where, lambda: verify(connection, where).problems)
            self._note()
        with self._connections.reading() as connection:
            connection.execute("BEGIN")  # another process may be committing
            try:
                return sealing.check_opening(connection, self._seal, sealing.store_name(connection) or "", where)
            finally:
                connection.execute("ROLLBACK")

    def reseal(self, new: Seal) -> None:
        """Change the key of a sealed store, after it has verified with the one that it has. Other processes must open it again.

        Raises:
            SettingsError: The store is not sealed, or the new key file or anchor lies in its folder.
            StoreCorrupt: It does not verify. Its seal is left as it was.
        """
        where = self._connections.where
        if self.path is not None:
            new.check_place(self.path.parent)
        with self._connections.writing() as connection, translated(where):
            store = sealing.store_name(connection)
            if self._key is None or store is None or not sealing.is_own(connection, self._key):
                raise SettingsError(f"The store at {where} is not sealed with the key it was opened with; there is nothing to change.")
            report = verify(connection, where, self._key)
            if not report.ok:
                raise StoreCorrupt(f"The store at {where} keeps its seal, because it does not verify: {report.problems[0]}", path=where)
            key = sealing.seal_everything(connection, new, store)
        self._seal, self._key, self._anchored = new, key, None
        self._note(again=True)

    def _begun(self, connection: sqlite3.Connection, scope: Scope) -> TableTransaction:
        """Return a transaction; what is sealed meanwhile, or under another key, is not written to.

        Raises:
            SettingsError: Another process has sealed the store since it was opened here.
        """
        where = self._connections.where
        if not sealing.is_own(connection, self._key):
            raise SettingsError(f"The store at {where} was sealed, or sealed anew, since it was opened here. Open it again with its key.")
        return TableTransaction(connection, scope, self._clock, where, self._key)

    def _note(self, *, again: bool = False) -> None:
        """Bring the anchor level with what is committed; `again` to put it in place of one that another key made."""
        if self._seal is not None and self._seal.anchor is not None and self._key is not None and not self.read_only:
            with self._connections.reading() as connection:
                self._anchored = anchors.write(connection, self._seal.anchor, self._key, self._anchored, again=again)

    def close(self) -> None:
        """Release the files. A second call does nothing."""
        self._connections.close()
