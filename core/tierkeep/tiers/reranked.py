"""Any tier with its hits read again by a re-ranker."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.protocols import Gathered, Tier, View
from tierkeep.records import Plan, Query
from tierkeep.retrieve.rerank import Reranking
from tierkeep.tiers.facts import Release

__all__ = ["RerankedTier"]

#: Evidence tokens that a search is asked for, for each hit to be read again: it fetches no more than the budget could hold, and a small
#: budget is where the order matters most. A chat message with its heading takes about as many (ours).
_TOKENS_EACH = 30


class RerankedTier:
    """A tier whose best hits are re-ranked; to routers, policies and traces it is the tier itself.

    Args:
        tier: Gathers.
        reranking: Blends the re-ranker's scores in.
        release: What may be shown to it (`Guard.release`), asked before: a re-ranker may be somebody else's model.
    """

    def __init__(self, tier: Tier, reranking: Reranking, release: Release) -> None:
        self.name = tier.name
        self.weight = tier.weight
        self._tier = tier
        self._reranking = reranking
        self._release = release

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return the tier's hits in blended order; in its own order, with a note, when the re-ranker failed or had no time."""
        wide = plan.model_copy(update={"budget": max(plan.budget, self._reranking.n * _TOKENS_EACH)})
        found = self._tier.gather(query, wide, view, allowance)
        again = self._reranking(plan.search_text, self._release(found.hits, query), allowance)
        return found._replace(hits=again.hits, note="; ".join(filter(None, (found.note, again.note))))
