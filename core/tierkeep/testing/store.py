"""The conformance suite of ledgers: one class, one method to override, and a new store is proved.

    class TestMyLedger(LedgerContract):
        def make_ledger(self) -> Ledger:
            return MyLedger(...)

Run it with pytest. A store that outlives its object also overrides `reopen`.
"""

from __future__ import annotations

from tierkeep.testing.ledger_events import EventContract
from tierkeep.testing.ledger_guarded import GuardContract
from tierkeep.testing.ledger_records import RecordContract
from tierkeep.testing.ledger_removal import RemovalContract
from tierkeep.testing.ledger_sharing import SharingContract
from tierkeep.testing.ledger_under_test import draft, record, snapshot
from tierkeep.testing.ledger_vectors import VectorContract

__all__ = ["LedgerContract", "draft", "record", "snapshot"]


class LedgerContract(EventContract, RecordContract, RemovalContract, SharingContract, VectorContract, GuardContract):
    """What every ledger must do. Override `make_ledger`; pytest runs the rest."""
