"""Selection over a wide list: a model looks at far more turns than an answer can, and opens the conversation around those it picks.

HyMem's deep tier on raw turns (tiers spec, 2.3 and 4.6): `auto` has no key sentences, so what is chosen from is the ranked turns
themselves, each cut to a line. It changes the operation instead of enlarging the window: evidence that ranks hundredth is found by
reading, not by its score.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.allowance import Allowance
from tierkeep.prompts import answering
from tierkeep.protocols import Gathered, Tier, View
from tierkeep.records import Event, Hit, Plan, Query
from tierkeep.retrieve.search import Search
from tierkeep.settings import OpeningSettings
from tierkeep.skills import Skills
from tierkeep.tiers.facts import Release

#: Longest selection: numbers only.
_MAX_TOKENS = 256


class OpenedTier:
    """Lets the model pick from many turns, and hands over the picked ones with their neighbours.

    Args:
        search: The shared search over events.
        skills: The model that selects.
        release: What may be shown to it.
        fallback: Gathers when the model picks nothing, or cannot.
        settings: How wide to look, and how far to open.
    """

    name = "opened"
    weight = 4

    def __init__(self, search: Search, skills: Skills, release: Release, fallback: Tier, settings: OpeningSettings) -> None:
        self._search = search
        self._skills = skills
        self._release = release
        self._fallback = fallback
        self._settings = settings

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return the picked events, in the model's order, and what stands beside each."""
        budget = self._settings.wide_k * self._settings.line_chars  # nothing of the wide list is to be missed for its length
        found = self._search(query, view, allowance, text=plan.search_text, k=self._settings.wide_k, budget=budget)
        wide = [hit.item for hit in self._release(found.hits, query) if isinstance(hit.item, Event)]
        picked = self._picked(plan.search_text, wide, allowance)
        if not picked:
            return self._fallback.gather(query, plan, view, allowance)
        return Gathered(self._opened(picked, view), 1.0, found.partial)

    def _picked(self, question: str, wide: Sequence[Event], allowance: Allowance) -> list[Event]:
        picked: dict[str, Event] = {}
        for start in range(0, len(wide), self._settings.group):
            group = wide[start : start + self._settings.group]
            prompt = answering.selection(question, group, self._settings.line_chars)
            reply = self._skills.use("select", prompt, answering.SelectReply, allowance, max_tokens=_MAX_TOKENS)
            for number in reply.ids if reply is not None else ():
                if 0 <= number < len(group):
                    picked.setdefault(group[number].id, group[number])
        return list(picked.values())

    def _opened(self, picked: Sequence[Event], view: View) -> list[Hit]:
        """Return the picked events before everything else, then the events up to `reach` places away in their conversations."""
        reach = self._settings.reach
        worth = {event.seq: 2.0 - rank / (len(picked) + 1) for rank, event in enumerate(picked)}
        beside: dict[tuple[int, str], float] = {}  # by conversation too: a place may lie beside picks of two of them
        for event in picked:
            for step in range(1, reach + 1):
                for seq in (event.seq - step, event.seq + step):
                    near = (seq, event.session)
                    beside[near] = max(beside.get(near, 0.0), worth[event.seq] / 2**step / 2)
        events = view.events_at(sorted({*worth, *(seq for seq, _ in beside)}))
        hits = [Hit(event, worth.get(event.seq, beside.get((event.seq, event.session), 0.0))) for event in events]
        return sorted((hit for hit in hits if hit.score), key=lambda hit: -hit.score)
