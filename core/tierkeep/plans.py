"""Making plans: the numbers that a tier's plan starts from. Routers and policies both make them here."""

from __future__ import annotations

import re

from tierkeep.records import Intent, Plan, Query
from tierkeep.settings import Budgets

#: Hits a tier may hand to the packer. Wide on purpose: the budget decides where evidence ends, not a rank.
_K = {"profile": 20, "targeted": 400, "deep": 600}

_ABOUT_ANOTHER = re.compile(r"\b(?:does|did|has|have|had|will|would|do) (?:my|our)\b", re.IGNORECASE)


_ADVICE = re.compile(
    r"\b(?:recommend|suggest|propose|advise)"
    r"|\b(?:what|which|where)\b.{0,40}\b(?:should|shall) (?:i|we) (?:cook|eat|order|make|bake|drink|have|book|take|get|try|go for)\b"
    r"|\bwhat (?:can|could) (?:i|we) (?:cook|eat|bake|drink|order)\b|\bwhat to (?:cook|eat|order|drink|bake)\b|\bshould i take\b",
    re.IGNORECASE,
)
#: What allergies and diets bear on, however the question is put.
_TABLE = re.compile(
    r"\b(?:breakfast|brunch|lunch|dinner|supper|desserts?|snacks?|menu|recipes?|meals?|dish(?:es)?|restaurants?|baker(?:y|ies)"
    r"|street food|food|cook|bake|eat|okay for me|safe for me|medicines?|medication|painkillers?|antibiotics?|penicillin)\b",
    re.IGNORECASE,
)
_PAST_OR_ANOTHER = re.compile(r"\b(?:did|was|were|had|when|who|does|has)\b", re.IGNORECASE)


def asks_for_advice(question: str) -> bool:
    """Return whether the question asks for a recommendation. Such an answer must respect allergies and diets, named or not."""
    return _ADVICE.search(question) is not None or (_TABLE.search(question) is not None and not _PAST_OR_ANOTHER.search(question))


def about_another(question: str) -> bool:
    """Return whether the question is about somebody the user knows ("Where does my sister work?").

    The profile holds what the user said about themselves, so it has no answer to that.
    """
    return _ABOUT_ANOTHER.search(question) is not None


def plan_for(tier: str, intent: Intent, query: Query, budgets: Budgets, *, attempt: int = 0, reason: str = "") -> Plan:
    """Return a plan for a tier with its number of hits and its budget.

    Args:
        tier: Name of the tier; one that has no budget of its own takes that of targeted retrieval.
        intent: What kind of question it is.
        query: The question; its own budget, when it has one, is the ceiling.
        budgets: Evidence tokens by tier.
        attempt: 0 for the router's plan; later attempts may take `budgets.retry_factor` more.
        reason: Why this plan, for the trace.
    """
    own = {"profile": budgets.profile, "deep": budgets.deep}.get(tier, budgets.targeted)
    if attempt:
        own = int(own * budgets.retry_factor)
    return Plan(
        tier=tier, intent=intent, search_text=query.text, k=_K.get(tier, _K["targeted"]), attempt=attempt, reason=reason,
        budget=own if query.budget is None else query.budget, source="policy" if attempt else "rules",
    )
