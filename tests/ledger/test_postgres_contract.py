"""The ledger in PostgreSQL keeps the contract of ledgers, on a real server."""

from __future__ import annotations

import pytest

from tierkeep.ledger.postgres.ledger import PostgresLedger
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import LedgerContract


class TestInPostgres(LedgerContract):
    @pytest.fixture(autouse=True)
    def _opened(self, postgres) -> None:  # type: ignore[no-untyped-def]
        self.server = postgres
        self.ledger = self.make_ledger()

    def setup_method(self) -> None:
        """The server comes from a fixture, which pytest runs after this."""

    def make_ledger(self) -> PostgresLedger:
        self.address = self.server.fresh(partitions=1)
        return self.reopen()

    def reopen(self) -> PostgresLedger:
        return PostgresLedger(self.address, clock=FixedClock())
