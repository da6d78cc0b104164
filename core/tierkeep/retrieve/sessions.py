"""What a scope that is bound to a conversation may see of the records, which belong to the whole owner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from tierkeep.protocols import View
from tierkeep.records import Record

__all__ = ["in_session", "saying"]


def in_session(records: Sequence[Record], session: str | None, view: View) -> list[Record]:
    """Return the records whose value was said in the session, in the same order; all of them for None.

    The last source of a record that is over is the message that ended it, which says nothing of its value. Status and end may come
    from another session: what was said later elsewhere ended it there. A profile value says the same in each of its sources; a merged
    sentence or an updated fact tells of all of them, so all must have been said in the session.
    """
    if session is None or not records:
        return list(records)
    of_record = {record.id: saying(record) for record in records}
    said = {event.id for event in view.events(list(dict.fromkeys(chain.from_iterable(of_record.values())))) if event.session == session}
    return [record for record in records if _told(record, of_record[record.id], said)]


def _told(record: Record, sources: Sequence[str], said: set[str]) -> bool:
    return bool(said.intersection(sources)) if record.kind == "profile" else said.issuperset(sources)


def saying(record: Record) -> tuple[str, ...]:
    """Return the ids of the events that said what the record says."""
    sources = record.roots or record.sources
    return sources if record.status == "active" or len(sources) == 1 else sources[:-1]
