"""Ledgers: the one place that writes. `SqliteLedger` is the embedded default."""

from tierkeep.ledger.seal import Seal
from tierkeep.ledger.sqlite import SqliteLedger

__all__ = ["Seal", "SqliteLedger"]
