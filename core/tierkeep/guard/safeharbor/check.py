"""SafeHarbor at write time: a draft from outside that is blocked is quarantined (guard spec 2.11)."""

from __future__ import annotations

import logging

from tierkeep.errors import ModelError
from tierkeep.protocols import RiskSignal
from tierkeep.records import FROM_OUTSIDE, Authority, EventDraft, Scope

_log = logging.getLogger(__name__)

#: What stands before a rule's id in `tierkeep.signals`.
SIGNAL = "safeharbor"


class RiskCheck:
    """Quarantines what came from outside and is blocked by a risk signal. Put it into `DefaultGuard(write=[RiskCheck(...)])`.

    It never rejects, never looks at what the user, an operator or the agent said, and never raises authority. When the signal's embedder is
    down the draft passes on as the other checks left it, and the log says so: the signal abstains.

    Args:
        signal: `SafeHarbor`, or another.
    """

    def __init__(self, signal: RiskSignal) -> None:
        self._signal = signal

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft, quarantined when it is blocked and its origin is outside."""
        if draft.origin.source not in FROM_OUTSIDE or not draft.text.strip():
            return draft
        try:
            risk = self._signal.assess(draft.text)
        except ModelError as error:
            _log.warning("a text from outside was stored without a risk signal: %s", type(error).__name__)
            return draft
        if risk.branch != "block":
            return draft
        reason = f"{SIGNAL}:{risk.rules[0]}" if risk.rules else SIGNAL
        before = draft.meta.get("tierkeep.signals", ())
        signals = list(before) if isinstance(before, (list, tuple)) else []
        meta = {**draft.meta, "tierkeep.signals": [*signals, reason]}
        return draft.model_copy(update={"authority": Authority.QUARANTINED, "meta": meta})
