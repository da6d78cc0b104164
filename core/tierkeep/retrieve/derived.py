"""Search over records that also looks at the messages they rest on: a fact inherits what speaks for its source.

A sentence taken out of a message has lost its neighbours: "It's like therapy for me" shares no word with a question about pottery. The
message it was taken from stands beside one that does, and event search sees that. So both are asked, and their scores, each scaled to its
best, add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.records import Hit, Query, Record
from tierkeep.retrieve.records import RecordSearch
from tierkeep.retrieve.search import Found, Search
from tierkeep.retrieve.sessions import in_session

#: Events whose records are looked up, for each record that is wanted (ours), and tokens fetched for each: a chat message and some more.
_EVENTS = 2
_TOKENS = 64
#: Records taken from the search over records, for each that is wanted (ours).
_WIDER = 4


class DerivedSearch:
    """Search over one kind of records by their own words and by those of their sources.

    Args:
        records: The search over records.
        events: The search over events.
        weight: Of the source's score against the record's own (measured, see docs/benchmarks.md).
    """

    def __init__(self, records: RecordSearch, events: Search, weight: float) -> None:
        self._records = records
        self._events = events
        self._weight = weight

    def __call__(
        self, query: Query, view: View, allowance: Allowance, *, kind: str, text: str, k: int, per_speaker: bool = False
    ) -> Found:
        """Return active records of one kind, best first; arguments and order are those of `RecordSearch`."""
        own = self._records(query, view, allowance, kind=kind, text=text, k=k * _WIDER, per_speaker=per_speaker)
        if allowance.expired():
            return own._replace(hits=_most(own.hits, k, per_speaker), partial=True)
        wanted = k * _EVENTS * (2 if per_speaker else 1)
        events = self._events(query, view, allowance, text=text, k=wanted, budget=wanted * _TOKENS)
        worth = _scaled(events.hits)
        score = _scaled(own.hits)
        found = {hit.item.id: hit.item for hit in own.hits if isinstance(hit.item, Record)}
        for source in worth:
            for record in view.records(kind=kind, source=source):
                found.setdefault(record.id, record)
        allowed = in_session(list(found.values()), query.scope.session, view)
        hits = [
            Hit(record, score.get(record.id, 0.0) + self._weight * max((worth.get(one, 0.0) for one in record.sources), default=0.0))
            for record in allowed
        ]
        hits.sort(key=lambda hit: (-hit.score, hit.item.id))
        return Found(_most(hits, k, per_speaker), own.confidence, own.partial or events.partial)


def _scaled(hits: Iterable[Hit]) -> dict[str, float]:
    scores = {hit.item.id: hit.score for hit in hits}
    top = max(scores.values(), default=0.0)
    return {id_: score / top for id_, score in scores.items()} if top > 0 else {}


def _most(hits: Sequence[Hit], k: int, per_speaker: bool) -> list[Hit]:
    if not per_speaker:
        return list(hits[:k])
    taken: dict[object, int] = {}
    kept: list[Hit] = []
    for hit in hits:
        speaker = hit.item.attrs.get("speaker") if isinstance(hit.item, Record) else None
        taken[speaker] = taken.get(speaker, 0) + 1
        if taken[speaker] <= k:
            kept.append(hit)
    return kept
