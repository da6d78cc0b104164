"""When to try again, and how (tiers spec, 1.7 and 5.3.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from tierkeep.plans import plan_for
from tierkeep.protocols import Tier
from tierkeep.records import Intent, Plan, Query, Step
from tierkeep.settings import Budgets, HyMemSettings

#: Turns that the heavy tiers of HyMem and D-Mem may hand to the packer; the budget decides where evidence ends.
_DEEP_K = 600


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
        why = _why(steps[-1])
        return plan_for(heavier[0], intent, query, self._budgets, attempt=last.attempt + 1, reason=f"{last.tier}: {why}")


class Reflection:
    """HyMem's loop: declined in the light tier, the segments are opened; not settled, the light tier looks up the rewrite.

    The rewrite is only searched for; what is answered stays the question, with the answer before in hand (tiers spec, 2.3). What the
    rules refuse in the light tier goes deeper first, because their rewrite is a guess.

    Args:
        settings: Rounds, and the deep tier's size.
        light: Name of the light tier.
        deep: Name of the deep tier.
    """

    def __init__(self, settings: HyMemSettings, light: str = "light", deep: str = "segments") -> None:
        self._settings = settings
        self._light = light
        self._deep = deep

    def next(self, query: Query, steps: Sequence[Step]) -> Plan | None:
        """Return the next plan, or None when the rounds are over."""
        first, last, verdict = steps[0].plan, steps[-1].plan, steps[-1].verdict
        rewrite = verdict.rewrite if verdict else ""
        why = "; ".join(verdict.reasons) if verdict else steps[-1].evidence.note
        then = {"attempt": last.attempt + 1, "reason": f"{last.tier}: {why}", "source": "policy"}
        if last.tier == self._light and not (rewrite and verdict and verdict.source == "model"):
            budget = self._settings.deep_budget if query.budget is None else query.budget
            return last.model_copy(update={"tier": self._deep, "budget": budget, "k": _DEEP_K, **then})
        rounds = sum(step.plan.tier == self._light for step in steps)
        if rewrite and rounds < self._settings.iterations:
            return first.model_copy(update={"search_text": rewrite, **then})
        return None


class OtherOperation:
    """The policy of `auto` with a model: what failed is tried by another operation, not by a larger window (tiers spec, 4.6 and 5.3.7).

    The profile had nothing: search. Search did not suffice: the model looks through far more turns and opens what it picks. That did not
    either: everything is read, if the ceiling allows it. Without an answer to check (`recall`), the tiers that ask no model follow, so that
    evidence stays cheap.

    Args:
        tiers: The tiers of the preset; one that it lacks is passed over.
        budgets: Evidence tokens by tier.
    """

    _NEXT: ClassVar[Mapping[str, str]] = {"profile": "targeted", "targeted": "opened", "deep": "opened", "opened": "deliberation"}
    _RECALLING: ClassVar[Mapping[str, str]] = {"profile": "targeted", "targeted": "deep"}

    def __init__(self, tiers: Mapping[str, Tier], budgets: Budgets) -> None:
        self._tiers = frozenset(tiers)
        self._budgets = budgets

    def next(self, query: Query, steps: Sequence[Step]) -> Plan | None:
        """Return the plan for the next operation, or None after the last."""
        last = steps[-1].plan
        ended = any(item.flag == "ENDED" for item in steps[-1].evidence.items)
        # What was known is over: only the tier that looks at changes can say what came after it.
        order = self._NEXT if steps[-1].verdict else self._RECALLING
        following = "deep" if ended and last.tier in ("profile", "targeted") else order.get(last.tier)
        if following not in self._tiers:
            return None
        intent: Intent = "targeted" if last.intent == "profile" and following == "targeted" else last.intent
        return plan_for(following, intent, query, self._budgets, attempt=last.attempt + 1, reason=f"{last.tier}: {_why(steps[-1])}")


def _why(step: Step) -> str:
    return "; ".join(step.verdict.reasons) if step.verdict else step.evidence.note


class Deliberate:
    """D-Mem's escalation: not good enough, then the deliberation, once; its answer is final (tiers spec, 3.5).

    When the deliberation finds nothing, the first answer stands, unless it was an abstention.

    Args:
        budget: Evidence tokens of the deliberation, when the caller names none.
        tier: Name of its tier.
    """

    def __init__(self, budget: int, tier: str = "deliberation") -> None:
        self._budget = budget
        self._tier = tier

    def next(self, query: Query, steps: Sequence[Step]) -> Plan | None:
        """Return the plan of the deliberation, or None after it."""
        if any(step.plan.tier == self._tier for step in steps):
            return None
        last, verdict = steps[-1].plan, steps[-1].verdict
        why = "; ".join(verdict.reasons) if verdict else steps[-1].evidence.note
        return last.model_copy(update={
            "tier": self._tier, "k": _DEEP_K, "budget": self._budget if query.budget is None else query.budget,
            "attempt": last.attempt + 1, "reason": f"{last.tier}: {why}", "source": "policy",
        })  # fmt: skip
