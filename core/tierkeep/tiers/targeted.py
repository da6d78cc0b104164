"""Tier 2, targeted retrieval: the best raw turns for the question (MemFlow, tiers spec 1.4 and 5.3.4)."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.protocols import Gathered, View
from tierkeep.records import Plan, Query
from tierkeep.retrieve.search import Search


class TargetedTier:
    """One round of search over the scope's events.

    Args:
        search: The shared search.
    """

    name = "targeted"
    weight = 2

    def __init__(self, search: Search) -> None:
        self._search = search

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return events, best first."""
        if allowance.expired():
            return Gathered([], partial=True)
        found = self._search(query, view, allowance, text=plan.search_text, k=plan.k, budget=plan.budget)
        return Gathered(found.hits, found.confidence, found.partial, found.note)
