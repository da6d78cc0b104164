"""MemFlow's router cascade: rules, then the model, then keywords (tiers spec, 1.3)."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.plans import plan_for
from tierkeep.prompts import answering
from tierkeep.protocols import View
from tierkeep.records import Intent, Plan, Query
from tierkeep.route.rules import RuleRouter
from tierkeep.settings import Budgets
from tierkeep.skills import Skills

#: Which tier serves an intent (tiers 1.3, table).
TIER_OF: dict[Intent, str] = {
    "profile": "profile",
    "targeted": "targeted",
    "summary": "targeted",
    "state": "deep",
    "temporal": "deep",
    "conflict": "deep",
    "constraint": "deep",
}


class CascadeRouter:
    """The rules decide when exactly one kind of tier fires; else the model classifies; else the rules' own order decides.

    Args:
        rules: The rule router, which is also the keyword stage.
        skills: The model.
        budgets: Evidence tokens by tier.
    """

    def __init__(self, rules: RuleRouter, skills: Skills, budgets: Budgets) -> None:
        self._rules = rules
        self._skills = skills
        self._budgets = budgets

    def route(self, query: Query, view: View, allowance: Allowance) -> Plan:
        """Return the first plan; costs a call only when the rules are not sure."""
        plan = self._rules.route(query, view, allowance)
        if self._rules.sure(query.text):
            return plan
        reply = self._skills.use("classify", answering.classify(query.text), answering.IntentReply, allowance, max_tokens=16)
        if reply is None:
            return plan.model_copy(update={"source": "keywords"})
        chosen = plan_for(TIER_OF[reply.label], reply.label, query, self._budgets, reason=f"classified as {reply.label}")
        return chosen.model_copy(update={"source": "model"})
