"""How much one owner may have, and for how long: quotas at the write, and events that expire (`Settings.retention`).

An event expires a number of days after the time that it was said at, by the memory's clock; a shorter number holds for what came from
outside (OWASP ASI06: memory that nobody has verified should not live for ever). What has expired is held back from reads at once, and
`maintain` removes it like any forget. An event that its owner has confirmed counts as the owner's own: it is not from outside any more, so
the shorter number does not hold for it, and the longer one does, because that is a promise about everything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tierkeep.errors import QuotaExceeded, StorageError
from tierkeep.protocols import Clock, Guard, Ledger, Size, VectorIndex, View
from tierkeep.records import FROM_OUTSIDE, Authority, Event, EventDraft, ForgetReport, Hit, Query, Scope
from tierkeep.settings import RetentionSettings

if TYPE_CHECKING:
    from tierkeep.presets import Preset
    from tierkeep.scoped import ScopedMemory

__all__ = ["ExpiringGuard", "Keeping", "expire", "let_go"]

_LOG = logging.getLogger(__name__)
_DAY_S = 86_400
_PAGE = 512


class Keeping:
    """The quotas and lifetimes of one memory.

    Args:
        settings: What is allowed.
        clock: What "now" is, for lifetimes.
    """

    def __init__(self, settings: RetentionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        given = [days for days in (settings.days, settings.days_untrusted) if days is not None]
        self._least_s = min(given) * _DAY_S if given else None

    def guarding(self, guard: Guard, ledger: Ledger) -> Guard:
        """Return the guard, which holds back what has expired where anything ever does."""
        return ExpiringGuard(guard, self, ledger) if self.expires else guard

    def into(self, preset: Preset) -> Preset:
        """Return the preset with the quotas in its writes, and with what has expired past in its reads."""
        write = replace(preset.write, quota=self.check if self._limited else None)
        return replace(preset, write=write, read=replace(preset.read, expired=self.expired if self.expires else None))

    # --------------------------------------------------------------------------------------------------- lifetimes

    @property
    def expires(self) -> bool:
        """Whether anything ever expires."""
        return self._least_s is not None

    def expired(self, event: Event) -> bool:
        """Return whether the event's time is over."""
        own = self._settings
        days = [own.days, own.days_untrusted if _from_outside(event) else None]
        least = min((one for one in days if one is not None), default=None)
        return least is not None and event.ts + least * _DAY_S <= self._now()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def overdue(self, view: View) -> list[str]:
        """Return the ids of the events that have expired and are still there, in ledger order."""
        if self._least_s is None:
            return []
        before = self._now() - self._least_s
        old = [seq for page in view.term_pages() for seq in page.seq[page.ts <= before].tolist()]
        pages = (view.events_at(old[at : at + _PAGE]) for at in range(0, len(old), _PAGE))
        return [event.id for page in pages for event in page if self.expired(event)]

    def living(self, seqs_and_times: Iterable[tuple[int, str]], view: View) -> set[int]:
        """Return which of these events, given as places and ISO times, have not expired."""
        entries = list(seqs_and_times)
        if self._least_s is None:
            return {seq for seq, _ in entries}
        before = self._now() - self._least_s
        old = [seq for seq, at in entries if datetime.fromisoformat(at).timestamp() <= before]
        gone = {event.seq for event in view.events_at(old) if self.expired(event)}
        return {seq for seq, _ in entries} - gone

    # ------------------------------------------------------------------------------------------------------ quotas

    def check(self, view: View) -> None:
        """Refuse a transaction that leaves the owner with more than is allowed.

        Raises:
            QuotaExceeded: Leaving the transaction with it takes everything back.
        """
        if self._limited:
            self._refuse_over(view.size(), view.scope)

    def make_room(self, drafts: Sequence[EventDraft], owner: ScopedMemory) -> None:
        """Forget what was said first, where the settings say so and the drafts would not fit. What comes from outside goes first.

        A write of nothing but texts from outside makes room among such texts alone: a page that floods the memory cannot push out what the
        user said.

        Raises:
            QuotaExceeded: They would not fit all the same; nothing was forgotten.
        """
        if not self._limited:
            return
        view = owner._memory._ledger.view(owner.scope)
        known = {event.id for event in view.events([draft.id for draft in drafts if draft.id is not None])}
        fresh = [draft for draft in drafts if draft.id not in known]
        size, new = view.size(), Size(len(fresh), sum(len(draft.text) for draft in fresh))
        whole = Size(size.events + new.events, size.chars + new.chars)
        if not fresh or not self._over(whole):
            return
        if self._settings.when_full == "refuse":
            self._refuse_over(whole, owner.scope)
        self._refuse_over(new, owner.scope)  # alone it is too much
        doomed = self._oldest(view, whole, outside_only=all(_from_outside(draft) for draft in fresh))
        if doomed is None:
            self._refuse_over(whole, owner.scope)
        else:
            owner._forget(doomed)

    def within(self, rows: Iterable[Mapping[str, Any]], view: View) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of an export that is being restored; refuse it when the owner would have too much. Room is never made for it.

        Raises:
            QuotaExceeded: Nothing is restored.
        """
        size = view.size()
        for row in rows:
            event = row.get("event") if self._limited and isinstance(row, Mapping) else None
            if isinstance(event, Mapping) and isinstance(event.get("id"), str) and not view.events([event["id"]]):
                size = Size(size.events + 1, size.chars + len(str(event.get("text", ""))))
                self._refuse_over(size, view.scope)
            yield row

    @property
    def _limited(self) -> bool:
        return self._settings.max_events is not None or self._settings.max_chars is not None

    def _over(self, size: Size) -> tuple[str, int, int] | None:
        """Return what there is too much of, its limit and its number; None when all fits."""
        own = self._settings
        for what, limit, actual in (("events", own.max_events, size.events), ("characters", own.max_chars, size.chars)):
            if limit is not None and actual > limit:
                return what, limit, actual
        return None

    def _refuse_over(self, size: Size, scope: Scope) -> None:
        if over := self._over(size):
            what, limit, actual = over
            name = "max_events" if what == "events" else "max_chars"
            full = "" if self._settings.when_full == "oldest_first" else ", set retention.when_full='oldest_first'"
            raise QuotaExceeded(
                f"this owner ({scope}) would have {actual:,} {what}, and {limit:,} are allowed; nothing was stored. Forget something "
                f"(forget, or maintain for what has expired){full}, or raise Settings.retention.{name}",
                what=what, limit=limit, actual=actual,
            )  # fmt: skip

    def _oldest(self, view: View, whole: Size, *, outside_only: bool) -> list[str] | None:
        """Return ids of events without which everything fits, and a little more, so that the next write need not forget again.

        Args:
            view: The scope.
            whole: How much it would be with the new events.
            outside_only: Whether only events from outside may go.

        Returns:
            None when there are not enough.
        """
        own = self._settings
        wanted = Size(
            0 if own.max_events is None else max(0, whole.events - own.max_events + int(own.max_events * own.slack)),
            0 if own.max_chars is None else max(0, whole.chars - own.max_chars + int(own.max_chars * own.slack)),
        )
        doomed: dict[str, None] = {}
        events, chars = 0, 0
        for outside in (True,) if outside_only else (True, False):
            for event in view.scan():
                if events >= wanted.events and chars >= wanted.chars:
                    return list(doomed)
                if _from_outside(event) == outside:
                    doomed[event.id] = None
                    events, chars = events + 1, chars + len(event.text)
        fits = self._over(Size(whole.events - events, whole.chars - chars)) is None
        return list(doomed) if fits else None


def _from_outside(event: Event | EventDraft) -> bool:
    """Return whether anybody could have written it, and its owner has not confirmed it since."""
    confirmed = isinstance(event, Event) and event.authority == Authority.ACT
    return event.origin.source in FROM_OUTSIDE and not confirmed


class ExpiringGuard:
    """A guard that also holds back what has expired: expired events, and records that rest on one until they are derived again.

    It is asked wherever something would be shown, to a model as well, so nothing expired passes.

    Args:
        guard: Decides the rest.
        keeping: What has expired.
        ledger: Where a record's events are looked up.
    """

    def __init__(self, guard: Guard, keeping: Keeping, ledger: Ledger) -> None:
        self._guard = guard
        self._keeping = keeping
        self._ledger = ledger

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as the guard lets it in."""
        return self._guard.admit(draft, scope)

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that have not expired and that the guard releases."""
        roots = {root for hit in hits if not isinstance(hit.item, Event) for root in hit.item.roots}
        events = self._ledger.view(query.scope).events(sorted(roots)) if roots else []
        gone = {event.id for event in events if self._keeping.expired(event)}
        kept = [
            hit for hit in hits
            if not (self._keeping.expired(hit.item) if isinstance(hit.item, Event) else gone.intersection(hit.item.roots))
        ]  # fmt: skip
        return self._guard.release(kept, query)


def expire(owner: ScopedMemory) -> int:
    """Forget what has expired of an owner's memory, with everything derived from it; return of how many events."""
    overdue = owner._memory._keeping.overdue(owner._memory._ledger.view(owner.scope))
    if not overdue:
        return 0
    report = owner._forget(overdue)
    if not report.complete:
        _LOG.warning("expired events of %s may still be found in the store's files: %s", owner.scope, report.note)
    return report.events


def let_go(report: ForgetReport, vectors: VectorIndex, scope: Scope) -> ForgetReport:
    """Have an index of vectors drop its copies; return the report, which is not complete when the index cannot be reached.

    The ledger has forgotten by then. The index compares itself with it before it answers, so its copies go at the latest when this owner
    is next searched.
    """
    try:
        vectors.forget(scope)
    except StorageError as error:
        note = f"the vector index could not be reached; its copies are deleted when this owner is next searched ({error})"
        return report.model_copy(update={"complete": False, "note": "; ".join(filter(None, (report.note, note)))})
    return report
