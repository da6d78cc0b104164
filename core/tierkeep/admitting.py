"""What stands between a call's drafts and the ledger: the guard's word, bounded by what they were derived from, and the log of both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from tierkeep.errors import InputError, RateLimited, WriteRejected
from tierkeep.protocols import Guard, Ledger, View
from tierkeep.records import MOST_REASONS, PARENTS, REASON_CODE, Authority, Event, EventDraft, GuardEntry, Scope

__all__ = ["admitted", "bounded", "codes", "quarantines"]

_CODE = re.compile(REASON_CODE)


def admitted(drafts: Sequence[EventDraft], scope: Scope, ledger: Ledger, guard: Guard) -> list[EventDraft]:
    """Return the drafts as the guard lets them in. What it refuses goes into the log, by its hash; what comes too fast does not."""
    allowed: list[EventDraft] = []
    try:
        for draft in drafts:
            allowed.append(guard.admit(draft, scope))
    except RateLimited:
        raise
    except WriteRejected as refused:
        subject = hashlib.sha256(drafts[len(allowed)].text.encode("utf-8", "surrogatepass")).hexdigest()
        with ledger.transaction(scope) as transaction:
            transaction.log([GuardEntry(verb="reject", subject=subject, reasons=codes(refused.reasons), by="guard")])
        raise
    return allowed


def bounded(draft: EventDraft, view: View) -> EventDraft:
    """Return the draft with no more authority than what it was derived from (guard spec, 6.2).

    Raises:
        InputError: It names something that this scope does not have.
    """
    parents: Sequence[str] = draft.meta.get(PARENTS, ())
    if not parents:
        return draft
    found = view.events(parents)
    if len(found) < len(set(parents)):
        gone = next(id_ for id_ in parents if id_ not in {event.id for event in found})
        raise InputError(f"derived_from names an event that this scope does not have: {gone!r}; nothing was stored", field="derived_from")
    least = min(event.authority for event in found)
    return draft if draft.authority <= least else draft.model_copy(update={"authority": least})


def codes(reasons: Iterable[object]) -> tuple[str, ...]:
    """Return reasons as the log takes them: short codes. What a check of the application's own says in words becomes "other"."""
    said = list(dict.fromkeys(str(reason) if _CODE.fullmatch(str(reason)) else "other" for reason in reasons))
    return tuple(said[:MOST_REASONS])


def quarantines(events: Sequence[Event]) -> list[GuardEntry]:
    """Return the log's entries about those of new events that are quarantined."""
    held = [event for event in events if event.authority == Authority.QUARANTINED]
    reasons = [codes(event.meta.get("tierkeep.signals", ())) for event in held]
    return [GuardEntry(verb="quarantine", subject=event.id, reasons=why, by="guard") for event, why in zip(held, reasons, strict=True)]
