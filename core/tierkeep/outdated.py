"""Which hits are past: values of items that do not stand any more (`tierkeep.items`), and events that have expired."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tierkeep.protocols import View
from tierkeep.records import ITEM, Event, Hit

__all__ = ["outdated"]


def outdated(hits: Iterable[Hit], view: View, expired: Callable[[Event], bool] | None = None) -> frozenset[str]:
    """Return ids of the events with values that were replaced, deleted or undone: those among the hits, and the others of their items.

    Args:
        hits: What was found.
        view: The scope.
        expired: Whether an event's time is over; those among the hits are past too.
    """
    hits = list(hits)
    past = {hit.item.id for hit in hits if isinstance(hit.item, Event) and expired is not None and expired(hit.item)}
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
