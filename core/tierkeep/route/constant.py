"""The router of systems that always begin with the cheap tier: HyMem and D-Mem decide on depth later, by the answer (tiers spec, 0.3)."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.dates.questions import asks_for_time
from tierkeep.protocols import View
from tierkeep.records import Plan, Query


class ConstantRouter:
    """Begins every question in one tier.

    The rules only say whether a time is asked for, so that relative times in the evidence are worked out (tiers 5.3.3).

    Args:
        tier: Name of the tier.
        k: Hits it gathers.
        budget: Evidence tokens, when the caller names none.
    """

    def __init__(self, tier: str, k: int, budget: int) -> None:
        self._tier = tier
        self._k = k
        self._budget = budget

    def route(self, query: Query, view: View, allowance: Allowance) -> Plan:
        """Return the plan. Costs no call."""
        return Plan(
            tier=self._tier, intent="targeted" if asks_for_time(query.text) is None else "temporal", search_text=query.text, k=self._k,
            budget=self._budget if query.budget is None else query.budget, reason="always first",
        )
