"""A consensus over the memories of a plain store, which has neither events nor views of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tierkeep.allowance import Allowance
from tierkeep.evaluate.attacks.stores import Entry
from tierkeep.evaluate.attacks.world import TrialClock
from tierkeep.protocols import Consensus, View
from tierkeep.records import PARENTS, Event, Hit, Query, Scope

_AT = "2026-01-01T12:00:00+00:00"


class _Held:
    """As much of a view as a consensus over events needs: whose it is, and events by id."""

    def __init__(self, entries: Mapping[str, Entry], scope: Scope) -> None:
        self._entries = entries
        self.scope = scope
        self.generation = 0  # nothing is forgotten

    def events(self, ids: Sequence[str]) -> list[Event]:
        """Return the entries of these ids as events."""
        return [_event(self._entries[id], self.scope) for id in ids if id in self._entries]


def agreed(consensus: Consensus, found: Sequence[Entry], question: str, scope: Scope, entries: Mapping[str, Entry]) -> set[str]:
    """Return the ids of what a consensus keeps.

    Args:
        consensus: It.
        found: What the store found, best first.
        question: What was asked.
        scope: Whose memory it is.
        entries: Everything that was written, by id.
    """
    hits = [Hit(_event(entry, scope), 1.0 / (place + 1)) for place, entry in enumerate(found)]
    view = cast("View", _Held(entries, scope))  # a consensus over events asks a view for nothing else
    agreement = consensus.agree(hits, Query(text=question, scope=scope, now=_AT), view, Allowance(TrialClock()))
    return {hit.item.id for hit in agreement.kept}


def _event(entry: Entry, scope: Scope) -> Event:
    parents = sorted(entry.roots - {entry.id})
    return Event(
        id=entry.id, seq=int(entry.id[1:]) + 1, scope=scope, position=0, kind="message", role="tool", speaker="", text=entry.text, at=_AT,
        ts=0.0, origin=entry.origin, authority=entry.authority, meta={PARENTS: parents} if parents else {},
    )  # fmt: skip
