"""Tier 3, deep reasoning: what changed, and a second hop (MemFlow, tiers spec 1.4; the offline half of HyMem's reflection, 2.7)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.allowance import Allowance
from tierkeep.protocols import Gathered, View
from tierkeep.records import Event, Hit, Plan, Query, Record
from tierkeep.retrieve.search import Search
from tierkeep.sentences import asks
from tierkeep.terms import analyze
from tierkeep.tiers.profile import asked_for, current

#: A capitalised word inside a sentence: a name, most likely. The first word of a sentence says nothing.
_NAME = re.compile(r"(?<=[\w,;:] )[^\W\d_a-z][\w'\u2019-]+")
_HOP_HITS = 3
_HOP_NAMES = 8


class DeepTier:
    """Search in two rounds, with the present and former values of the profile slots that the question is about.

    Round two looks for the names that the best hits of round one bring in ("Henrike is my climbing partner" → what else was said
    of Henrike). It is the reserve for questions that a lighter tier could not answer: it changes the operation, and it costs evidence
    of the first round (measured: up to a point of recall), so a question that is routed here at once is spared it.

    Args:
        search: The shared search.
    """

    name = "deep"
    weight = 3

    def __init__(self, search: Search) -> None:
        self._search = search

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return present and former profile values first, then events."""
        known = self._values(query, plan, view) if plan.intent != "temporal" else []
        if allowance.expired():
            return Gathered(known, confidence=1.0 if known else 0.0, partial=True)
        found = self._search(query, view, allowance, text=plan.search_text, k=plan.k, budget=plan.budget)
        partial = found.partial
        if plan.attempt and plan.intent != "temporal" and found.hits:
            names = _new_names(plan.search_text, _with_questions(found.hits[:_HOP_HITS], view))
            if names and allowance.expired():
                partial = True
            elif names:
                wider = self._search(query, view, allowance, text=plan.search_text, k=plan.k, budget=plan.budget, also=names)
                found, partial = found._replace(hits=wider.hits), wider.partial
        return Gathered([*known, *found.hits], max(found.confidence, 1.0 if known else 0.0), partial, found.note)

    @staticmethod
    def _values(query: Query, plan: Plan, view: View) -> list[Hit]:
        """Return the slots' values, flagged CURRENT, ENDED (over, and nothing known came after it) or EARLIER, best first."""
        hits = [hit for hit in asked_for(query, plan, view) if isinstance(hit.item, Record) and hit.item.status != "quarantined"]
        over = {hit.item.id for hit in current(hits) if hit.flag == "ENDED"}
        flags = {"active": "CURRENT", "retracted": "EARLIER", "superseded": "EARLIER"}
        known = [(hit, hit.item) for hit in hits[:20] if isinstance(hit.item, Record)]
        return [hit._replace(flag="ENDED" if record.id in over else flags[record.status]) for hit, record in known]


def _with_questions(hits: Sequence[Hit], view: View) -> list[Event]:
    """Return the hits' events, each after the turn before it when that is a question ("Who is Ana?" "My dentist.", tiers 1.4)."""
    events: list[Event] = []
    for hit in hits:
        if isinstance(hit.item, Event):
            before = view.events_at([hit.item.seq - 1])
            events += [event for event in before if event.session == hit.item.session and asks(event.text)]
            events.append(hit.item)
    return events


def _new_names(question: str, events: Sequence[Event]) -> str:
    """Return the names in the events that the question does not have, in order of appearance."""
    asked = set(analyze(question))
    names: dict[str, None] = {}
    for event in events:
        own = set(analyze(event.speaker))
        for name in _NAME.findall(event.text[:2_000]):
            stems = set(analyze(name))
            if stems and not stems & asked and not stems & own:
                names.setdefault(name)
    return " ".join(list(names)[:_HOP_NAMES])
