"""What the signals alone make of texts of others: requests that SafeHarbor would refuse, memories that a consensus would hold back."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from tierkeep import Settings
from tierkeep.errors import InputError
from tierkeep.evaluate.attacks import consensus_table, over_refusal
from tierkeep.guard.amemguard.backends import RulesBackend
from tierkeep.guard.amemguard.consensus import AMemGuard
from tierkeep.guard.safeharbor.gate import SafeHarbor
from tierkeep.protocols import Embedder

__all__ = ["Signals", "measure"]

#: Sets that a consensus is shown for each row of its table.
_DRAWS = 30


class Signals(NamedTuple):
    """What was measured, ready for JSON, and what could not be, with its reason."""

    over_refusal: list[dict[str, Any]]
    consensus: list[dict[str, Any]]
    skipped: dict[str, str]


def measure(data: Path, guards: Collection[str], embedder: Embedder | None, settings: Settings) -> Signals:
    """Measure the signals of the chosen guards on a folder of others' texts.

    Args:
        data: The folder.
        guards: Names of guards; safeharbor, amemguard and all have signals.
        embedder: For SafeHarbor; it needs one.
        settings: For the numbers.
    """
    skipped: dict[str, str] = {}
    refused: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    if not {"safeharbor", "all"}.isdisjoint(guards):
        try:
            if embedder is None:
                raise InputError("SafeHarbor needs an embedder: --embedder minilm")
            refused = [one._asdict() for one in over_refusal.run(data, SafeHarbor.bundled(embedder))]
        except InputError as error:
            skipped["over-refusal"] = str(error)
    if not {"amemguard", "all"}.isdisjoint(guards):
        try:
            own = settings.amemguard
            consensus = AMemGuard(RulesBackend(own), own)
            rows = consensus_table.table(consensus, consensus_table.corpora(data), ks=(4, 8), draws=_DRAWS)
            compared = [one._asdict() for one in rows]
        except InputError as error:
            skipped["consensus"] = str(error)
    return Signals(refused, compared, skipped)
