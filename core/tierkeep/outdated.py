"""Which hits are values of items that do not stand any more (`tierkeep.items`): history, and no evidence of what holds."""

from __future__ import annotations

from collections.abc import Iterable

from tierkeep.protocols import View
from tierkeep.records import ITEM, Event, Hit

__all__ = ["outdated"]


def outdated(hits: Iterable[Hit], view: View) -> frozenset[str]:
    """Return ids of the events with values that were replaced, deleted or undone: those among the hits, and the others of their items."""
    past: set[str] = set()
    for hit in hits:
        if not isinstance(hit.item, Event) or hit.item.kind != ITEM or hit.item.id in past:
            continue
        records = view.records(kind=ITEM, source=hit.item.id, status=None)
        if any(record.status == "active" for record in records):
            continue
        past.add(hit.item.id)
        versions = (version for record in records for version in view.records(kind=ITEM, key=record.key, status=None))
        past.update(source for version in versions if version.status != "active" for source in version.sources)
    return frozenset(past)
