"""The embedded ledger keeps the contract of ledgers, in a file and in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tierkeep.ledger import Seal, SqliteLedger
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import LedgerContract


class TestInMemory(LedgerContract):
    def make_ledger(self) -> SqliteLedger:
        return SqliteLedger(":memory:", clock=FixedClock())


class TestInFile(LedgerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def setup_method(self) -> None:
        """The folder comes from a fixture, which pytest runs after this."""

    @pytest.fixture(autouse=True)
    def _opened(self, _folder: None) -> None:
        self.count = 0
        self.ledger = self.make_ledger()

    def make_ledger(self) -> SqliteLedger:
        self.count += 1
        return self.reopen()

    def reopen(self) -> SqliteLedger:
        return SqliteLedger(self.folder / f"store-{self.count}", clock=FixedClock())


class TestSealed(TestInFile):
    """With a key and an anchor nothing is different, but for what an attacker can do."""

    def reopen(self) -> SqliteLedger:
        seal = Seal(bytes(range(32)), anchor=self.folder / f"anchor-{self.count}")
        return SqliteLedger(self.folder / f"store-{self.count}", clock=FixedClock(), seal=seal)


class TestInFileWithFullDurability(TestInFile):
    def reopen(self) -> SqliteLedger:
        return SqliteLedger(self.folder / f"store-{self.count}.db", clock=FixedClock(), durability="full")
