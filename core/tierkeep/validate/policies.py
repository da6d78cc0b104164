"""When to try again, and how (tiers spec, 1.7 and 5.3.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tierkeep.plans import plan_for
from tierkeep.protocols import Tier
from tierkeep.records import Intent, Plan, Query, Step
from tierkeep.settings import Budgets


class HeavierTier:
    """Not supported: the next heavier tier. Bounded: a (tier, search text) pair is never tried twice.

    Args:
        tiers: The tiers of the preset.
        budgets: Evidence tokens by tier.
    """

    def __init__(self, tiers: Mapping[str, Tier], budgets: Budgets) -> None:
        self._weights = {tier.name: tier.weight for tier in sorted(tiers.values(), key=lambda tier: tier.weight)}
        self._budgets = budgets

    def next(self, query: Query, steps: Sequence[Step]) -> Plan | None:
        """Return the plan for the next heavier tier, or None at the top."""
        last = steps[-1].plan
        weight = self._weights.get(last.tier, 0)
        heavier = [name for name, own in self._weights.items() if own > weight]
        if not heavier:
            return None
        if any(item.flag == "ENDED" for item in steps[-1].evidence.items):
            # What was known is over: only the tier that looks at changes can say what came after it.
            heavier = heavier[-1:]
        # A question that left the profile empty-handed is an ordinary look-up; the deep tier treats it as a state.
        intent: Intent = "targeted" if heavier[0] == "targeted" else ("state" if last.intent == "targeted" else last.intent)
        why = "; ".join(steps[-1].verdict.reasons) if steps[-1].verdict else steps[-1].evidence.note
        return plan_for(heavier[0], intent, query, self._budgets, attempt=last.attempt + 1, reason=f"{last.tier}: {why}")
