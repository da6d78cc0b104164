"""Reading one scope in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

from tierkeep.ledger import vectors
from tierkeep.ledger.engine import Lend
from tierkeep.ledger.postgres.vectors import unpack
from tierkeep.ledger.views import TableView
from tierkeep.protocols import VectorPage

__all__ = ["PostgresView"]


class PostgresView(TableView):
    """Read-only window on one scope (`tierkeep.protocols.View`)."""

    @property
    def lend(self) -> Lend:
        """Gives a connection for one short read: for searches that are the server's to do."""
        return self._lend

    def vectors(self, identity: str, after_seq: int = 0) -> Iterator[VectorPage]:
        """Yield the vectors that an embedder made of this scope's events, in ledger order."""
        return vectors.pages(self._lend, self.scope, identity, after_seq, unpack)
