"""The ledger in PostgreSQL: one database, every scope of every machine in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from tierkeep.errors import StoreUnavailable
from tierkeep.ledger import forgetting, histories, lexicon, portable, scopes, statistics
from tierkeep.ledger.postgres import schema, sweeping
from tierkeep.ledger.postgres.address import Address, parse
from tierkeep.ledger.postgres.connections import Connections
from tierkeep.ledger.postgres.transactions import PostgresTransaction
from tierkeep.ledger.postgres.verification import verify
from tierkeep.ledger.postgres.views import PostgresView
from tierkeep.protocols import Clock, Forgotten, Owner
from tierkeep.records import Revision, Scope, VerifyReport

__all__ = ["PostgresLedger"]

_BYTES = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
    JOIN pg_namespace AS s ON s.oid = c.relnamespace WHERE s.nspname = current_schema() AND c.relkind = 'r'"""
_COUNTED = ("scopes", "sessions", "events", "records", "batches", "chain")


class PostgresLedger:
    """The ledger in PostgreSQL with pgvector (`tierkeep.protocols.Ledger`). Threads, processes and machines may share it.

    Durability is the server's: with `synchronous_commit` on, as it is by default, a finished transaction survives a power cut.

    Args:
        where: `postgresql://user@host:port/database?schema=tierkeep`; see docs/guides/postgresql.md for what may follow. A password may
            stand in it, in PGPASSWORD, or in ~/.pgpass.
        clock: Dates the batches of record changes.

    Raises:
        SettingsError: The address cannot be read.
        StoreUnavailable: The server cannot be reached, refuses the user, lacks pgvector, or is read-only and has no store.
        StoreCorrupt: The schema holds something that is no store.
        SchemaTooNew: The store was made by a newer tierkeep.
    """

    def __init__(self, where: str | Address, *, clock: Clock) -> None:
        self._address = parse(where) if isinstance(where, str) else where
        self._clock = clock
        self._connections = Connections(self._address)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        connections, address = self._connections, self._address
        with connections.bare() as session:
            if not connections.read_only:
                schema.migrate(session, address.schema, address.partitions, connections.where)
            elif schema.version(session, address.schema, connections.where) != schema.SCHEMA_VERSION:
                message = f"The store at {connections.where} is read-only and has no store of this version. Make it on the primary first."
                raise StoreUnavailable(message, path=connections.where)
        with connections.bare() as session:
            stale = not connections.read_only and lexicon.stale(session)
        if stale:
            with connections.alone() as session:
                if lexicon.stale(session):  # another process may have done it
                    lexicon.renew(session)

    def __repr__(self) -> str:
        """Name the store; never its password."""
        return f"PostgresLedger({self._address.shown!r})"

    def __enter__(self) -> PostgresLedger:
        """Return the ledger; leaving the block closes it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the ledger."""
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether the server takes no writes, so that reads work and writes raise."""
        return self._connections.read_only

    def view(self, scope: Scope) -> PostgresView:
        """Return a read-only window on the scope."""
        return PostgresView(self._connections.reading, scope)

    @contextmanager
    def transaction(self, scope: Scope) -> Iterator[PostgresTransaction]:
        """Begin an atomic change in the scope; waits for other writers of that scope, and for no others.

        Raises:
            StoreUnavailable: Another writer holds the scope for too long, or the server is gone. Nothing was changed.
            StorageError: This thread is already inside a transaction of this ledger.
        """
        with self._connections.inside():
            transaction = PostgresTransaction(self._connections, scope, self._clock)
            try:
                yield transaction
                transaction.commit()
            finally:
                transaction.end()

    def undo(self, scope: Scope) -> list[str]:
        """Take the scope's last batch of ops back; return the ids of the records it touched.

        Raises:
            NotFoundError: There is nothing to undo, or its text was forgotten since.
            OpRefused: Records outside the batch have come to rest on what it added.
        """
        with self.transaction(scope) as transaction:
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

        Ids that the scope does not have are passed over. The removal is one transaction; the sweep after it looks through every column of
        the scope's rows. What the server keeps besides is its operator's: see docs/guides/postgresql.md.
        """
        with self.transaction(scope) as transaction:
            removal = transaction.remove(event_ids)
        return forgetting.reported(removal, lambda found: sweeping.prove(self._connections, found.words, found.scope))

    def sweep(self, canaries: Iterable[str]) -> list[str]:
        """Return where any of these terms is still found: "table.column"."""
        return sweeping.sweep(self._connections, canaries)

    def verify(self) -> VerifyReport:
        """Check the tables, each scope's hash chain, every digest and every provenance link."""
        return verify(self._connections)

    def export(self, scope: Scope) -> Iterator[dict[str, Any]]:
        """Yield the scope as JSON objects: a header, events, records, revisions (`tierkeep.ledger.portable`)."""
        return portable.export(self._connections, scope)

    def restore(self, scope: Scope, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Write exported rows into the scope in one transaction; return (events, records) that were new.

        Raises:
            ImportFormatError: A row is not what `export` writes. Nothing is stored.
        """
        with self.transaction(scope) as transaction:
            return transaction.restore(rows)

    def owners(self) -> list[Owner]:
        """Return every owner that has something here, sorted by name, with what each holds."""
        with self._connections.reading() as connection:
            return scopes.owners(connection)

    def stats(self) -> Mapping[str, Any]:
        """Return counts and sizes for the doctor."""
        with self._connections.snapshot() as session:
            counts = {table: session.execute(" ".join(("SELECT count(*) FROM", table))).fetchone()[0] for table in _COUNTED}
            (size,) = session.execute(_BYTES).fetchone()
            (partitions,) = session.execute("SELECT value FROM counters WHERE name = 'partitions'").fetchone()
            server, commit, vector = session.execute(
                "SELECT current_setting('server_version'), current_setting('synchronous_commit'), "
                "(SELECT extversion FROM pg_extension WHERE extname = 'vector')"
            ).fetchone()
            inside = statistics.contents(session)
        return {
            **counts,
            **inside,
            "bytes": size,
            "log_bytes": 0,
            "free_bytes": 0,
            "journal_mode": f"postgresql {server}, pgvector {vector}",
            "durability": f"synchronous_commit {commit}",
            "read_only": self.read_only,
            "seal": "none",
            "schema_version": schema.SCHEMA_VERSION,
            "partitions": partitions,
            "path": self._address.shown,
        }

    def close(self) -> None:
        """Release the connections. A second call does nothing."""
        self._connections.close()
