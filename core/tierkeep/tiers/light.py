"""HyMem's light tier: the best key sentences, and what no sentence has been made of yet (tiers spec, 2.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tierkeep.allowance import Allowance
from tierkeep.prompts.hymem import distilled
from tierkeep.protocols import Gathered, View
from tierkeep.records import Event, Hit, Plan, Query, Record
from tierkeep.retrieve.derived import DerivedSearch
from tierkeep.retrieve.search import Found, Search
from tierkeep.retrieve.sessions import saying

#: Of which budget raw events are looked for, against the plan's: what is distilled already is passed over.
_LOOK_FURTHER = 8


def told_in_scope(found: Found, query: Query, view: View) -> Found:
    """Return the hits without records that rest on anything said outside the conversation that the scope is bound to.

    A merged sentence or an updated fact tells of all its sources, so one source in the conversation is not enough to show it.
    """
    session = query.scope.session
    if session is None:
        return found
    of_record = {hit.item.id: saying(hit.item) for hit in found.hits if isinstance(hit.item, Record)}
    events = view.events(list(dict.fromkeys(source for sources in of_record.values() for source in sources)))
    inside = {event.id for event in events if event.session == session}
    return found._replace(hits=[hit for hit in found.hits if inside.issuperset(of_record.get(hit.item.id, ()))])


class Undistilled:
    """Finds the events of which no key sentence has been made: the newest, those from outside, and the ends of very long ones.

    Args:
        search: The shared search over events.
        deriver: Name of the deriver that makes the sentences.
        whole: Whether sentences are made of all of an event.
    """

    def __init__(self, search: Search, deriver: str, whole: Callable[[Event], bool] = distilled) -> None:
        self._search = search
        self._deriver = deriver
        self._whole = whole

    def __call__(self, query: Query, plan: Plan, view: View, allowance: Allowance, but: Sequence[Hit] = ()) -> Found:
        """Return them, best first, without the newest of which one of the sentences in `but` was made meanwhile.

        To a scope that is bound to a conversation, an event also counts when no sentence in `but` was made of it: its sentence may have
        been merged with another conversation's, and is then not shown.
        """
        found = self._search(query, view, allowance, text=plan.search_text, k=10_000, budget=plan.budget * _LOOK_FURTHER)
        read_to = view.cursor(self._deriver) if query.scope.session is None else 0
        read = {source for hit in but if isinstance(hit.item, Record) for source in hit.item.sources}

        def raw(item: Event | Record) -> bool:
            return isinstance(item, Event) and (not self._whole(item) or (item.seq > read_to and item.id not in read))

        return found._replace(hits=[hit for hit in found.hits if raw(hit.item)])


class LightTier:
    """The first tier: single sentences, and raw events where there are none.

    Args:
        records: The shared search over records.
        undistilled: The search over what is not distilled.
    """

    name = "light"
    weight = 1

    def __init__(self, records: DerivedSearch, undistilled: Undistilled) -> None:
        self._records = records
        self._undistilled = undistilled

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return at most `plan.k` sentences, and raw events, best first."""
        found = told_in_scope(self._records(query, view, allowance, kind="key_information", text=plan.search_text, k=plan.k), query, view)
        if allowance.expired():
            return Gathered(found.hits, found.confidence, partial=True)
        raw = self._undistilled(query, plan, view, allowance, found.hits)
        hits = sorted([*found.hits, *raw.hits], key=lambda hit: -hit.score)
        sure = found.confidence if found.hits else raw.confidence
        return Gathered(hits, sure, found.partial or raw.partial)
