"""D-Mem's first tier: the best facts of each speaker, and what no fact has been made of yet (tiers spec, 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tierkeep.allowance import Allowance
from tierkeep.prompts import dmem
from tierkeep.prompts.answering import SelectReply
from tierkeep.protocols import Gathered, View
from tierkeep.records import Hit, Plan, Query
from tierkeep.retrieve.derived import DerivedSearch
from tierkeep.skills import Skills
from tierkeep.tiers.light import Undistilled, told_in_scope

__all__ = ["FactsTier", "Release", "chosen"]

#: What may be shown for a query (`Guard.release`): a tier that shows memories to a model asks before it does.
Release = Callable[[Sequence[Hit], Query], list[Hit]]

_MAX_TOKENS = 512


class FactsTier:
    """Facts by similarity, so many of each speaker; raw events where there are no facts.

    Args:
        records: The shared search over records.
        undistilled: The search over what is not distilled.
        release: What may be shown.
        skills: The model that narrows the facts down (the Filter variant); None to show them all.
    """

    name = "facts"
    weight = 1

    def __init__(self, records: DerivedSearch, undistilled: Undistilled, release: Release, skills: Skills | None = None) -> None:
        self._records = records
        self._undistilled = undistilled
        self._release = release
        self._skills = skills

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return at most `plan.k` facts of each speaker and as many raw events, best first."""
        found = self._records(query, view, allowance, kind="fact", text=plan.search_text, k=plan.k, per_speaker=True)
        found = told_in_scope(found, query, view)
        if allowance.expired():
            return Gathered(found.hits, found.confidence, partial=True)
        raw = self._undistilled(query, plan, view, allowance, found.hits)
        hits = self._release([*found.hits, *raw.hits[: plan.k]], query)
        hits.sort(key=lambda hit: -hit.score)
        if self._skills is not None and len(hits) > 1:
            hits = chosen(self._skills, query, hits, allowance)
        return Gathered(hits, found.confidence if found.hits else raw.confidence, found.partial or raw.partial)


def chosen(skills: Skills, query: Query, hits: Sequence[Hit], allowance: Allowance) -> list[Hit]:
    """Return the hits that one model call finds necessary; all of them when it names none or cannot be asked (tiers 3.3 and 3.5).

    Args:
        skills: The model.
        query: The question.
        hits: What may be shown, in the order in which it is numbered from 0.
        allowance: What the question may still spend.
    """
    reply = skills.use("select", dmem.select(query.text, hits), SelectReply, allowance, max_tokens=_MAX_TOKENS)
    wanted = set(reply.ids) if reply is not None else set()
    return [hit for place, hit in enumerate(hits) if place in wanted] or list(hits)
