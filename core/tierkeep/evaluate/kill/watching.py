"""A ledger that tells somebody of every change that it has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tierkeep.allowance import Listener
from tierkeep.errors import SettingsError
from tierkeep.ledger import SqliteLedger
from tierkeep.protocols import Forgotten, Ledger, Owner, Transaction, View
from tierkeep.records import Revision, Scope, VerifyReport
from tierkeep.testing.clock import FixedClock

__all__ = ["Watched", "bare", "ledger_at"]


def ledger_at(where: str) -> Ledger:
    """Open the ledger at a path or an address; its clock stands still, so that the same work writes the same times.

    Raises:
        StorageError: It cannot be opened.
    """
    if "://" not in where:
        return SqliteLedger(where, clock=FixedClock())
    from tierkeep.ledger.postgres.ledger import PostgresLedger

    return PostgresLedger(where, clock=FixedClock())


@contextmanager
def bare(address: str) -> Iterator[Any]:
    """Lend a connection to a server, without opening the store."""
    from tierkeep.ledger.postgres.address import parse
    from tierkeep.ledger.postgres.connections import Connections

    connections = Connections(parse(address))
    try:
        with connections.bare() as session:
            yield session
    finally:
        connections.close()


class Watched:
    """A ledger (`tierkeep.protocols.Ledger`) that says when something is committed.

    Args:
        ledger: Does the work.
        committed: Called after each change that the ledger has acknowledged, and before whoever asked for it is told.
    """

    def __init__(self, ledger: Ledger, committed: Callable[[], None]) -> None:
        self._ledger = ledger
        self._committed = committed

    def view(self, scope: Scope) -> View:
        """Return the ledger's own window."""
        return self._ledger.view(scope)

    @contextmanager
    def transaction(self, scope: Scope) -> Iterator[Transaction]:
        """Begin the ledger's own transaction, and tell when it is committed."""
        with self._ledger.transaction(scope) as transaction:
            yield transaction
        self._committed()

    def undo(self, scope: Scope) -> list[str]:
        """Undo, and tell."""
        undone = self._ledger.undo(scope)
        self._committed()
        return undone

    def history(self, scope: Scope, record_id: str) -> list[Revision]:
        """Return the ledger's history of a record."""
        return self._ledger.history(scope, record_id)

    def forget(self, scope: Scope, event_ids: Sequence[str]) -> Forgotten:
        """Forget, and tell."""
        forgotten = self._ledger.forget(scope, event_ids)
        self._committed()
        return forgotten

    def sweep(self, canaries: Iterable[str]) -> list[str]:
        """Return what the ledger's sweep finds."""
        return self._ledger.sweep(canaries)

    def verify(self) -> VerifyReport:
        """Return the ledger's report."""
        return self._ledger.verify()

    def export(self, scope: Scope) -> Iterator[dict[str, Any]]:
        """Return the ledger's export."""
        return self._ledger.export(scope)

    def restore(self, scope: Scope, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Restore, and tell."""
        restored = self._ledger.restore(scope, rows)
        self._committed()
        return restored

    def backup(self, path: Path, *, replace: bool = False, listener: Listener | None = None) -> int:
        """Back the ledger up, if it is a file.

        Raises:
            SettingsError: It is none.
        """
        if not isinstance(self._ledger, SqliteLedger):
            raise SettingsError("this ledger is no file")
        return self._ledger.backup(path, replace=replace, listener=listener)

    def owners(self) -> list[Owner]:
        """Return the ledger's owners."""
        return self._ledger.owners()

    def stats(self) -> Mapping[str, Any]:
        """Return the ledger's figures."""
        return self._ledger.stats()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()
