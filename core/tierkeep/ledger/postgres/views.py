"""Reading one scope in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tierkeep.ledger import vectors
from tierkeep.ledger.engine import Connection, Lend
from tierkeep.ledger.postgres.vectors import unpack
from tierkeep.ledger.views import TableView
from tierkeep.protocols import VectorPage
from tierkeep.records import Scope

__all__ = ["PostgresView"]


class PostgresView(TableView):
    """Read-only window on one scope (`tierkeep.protocols.View`).

    Args:
        lend: Gives a connection for one short read.
        scope: Whose memory.
        number: The scope's number, where a transaction knows it: asking the server is a round trip.
    """

    def __init__(self, lend: Lend, scope: Scope, number: Callable[[], int] | None = None) -> None:
        super().__init__(lend, scope)
        self._known = number

    def _number(self, connection: Connection) -> int:
        return super()._number(connection) if self._known is None else self._known()

    @property
    def lend(self) -> Lend:
        """Gives a connection for one short read: for searches that are the server's to do."""
        return self._lend

    def vectors(self, identity: str, after_seq: int = 0) -> Iterator[VectorPage]:
        """Yield the vectors that an embedder made of this scope's events, in ledger order."""
        return vectors.pages(self._lend, self.scope, identity, after_seq, unpack)
