"""The guard's side of the front door: quarantine, lessons, confirmations, the log; the gate on tool calls is in `gating`."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from tierkeep.admitting import codes
from tierkeep.errors import ConfirmationError, NotFoundError
from tierkeep.gating import ActionGate, Context, ToolPolicy
from tierkeep.guard.actions.values import digest_of, subject_of
from tierkeep.guard.lessons import LESSON
from tierkeep.records import Authority, Confirmation, Event, ForgetReport, GuardEntry, GuardVerb, Record
from tierkeep.rendering import plain
from tierkeep.twins import twin

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

__all__ = ["ActionGate", "Context", "ScopedGuard", "ToolPolicy"]


class ScopedGuard:
    """What the guard has done to one owner's memory, and what can be done about it. Verbs have async twins with an `a` in front.

    It works on all of an owner's memory, also where the scope is bound to one conversation.
    """

    def __init__(self, scoped: ScopedMemory) -> None:
        """Bind an owner. Callers use `ScopedMemory.guard`."""
        self._scoped = scoped
        self._memory = scoped._memory
        self._scope = scoped.scope.model_copy(update={"session": None})

    # -------------------------------------------------------------------------------------------------- quarantine

    def list(self) -> builtins.list[Event]:
        """Return what is held back, oldest first.

        That is what is quarantined, with the signals that it gave in `meta["tierkeep.signals"]`, and what this process has found to be
        among the best hits of everything (hubness).
        """
        view = self._memory._ledger.view(self._scope)
        hubs = view.events(self._hubs())
        return sorted([*view.quarantined(), *hubs], key=lambda event: event.seq)

    def _hubs(self) -> builtins.list[str]:
        hubness = getattr(self._memory._guard, "hubness", None)
        return builtins.list(hubness.held(self._scope)) if hubness is not None else []

    def show(self, id: str) -> Event:
        """Return one event that is held back.

        Raises:
            NotFoundError: Nothing that is held back has that id here.
        """
        hubs = self._hubs()
        found = self._memory._ledger.view(self._scope).events([id])
        if not found or not (found[0].authority == Authority.QUARANTINED or found[0].id in hubs):
            raise NotFoundError(f"nothing that is held back here ({self._scope}) has the id {id!r}", ids=(id,))
        return found[0]

    def release(self, id: str, *, by: str = "operator") -> Event:
        """Let an event out: from now on it is data, and found. Return it.

        Args:
            id: Of an event that is held back.
            by: Who decided, for the log.

        Raises:
            NotFoundError: Nothing that is held back has that id here.
        """
        event = self.show(id)
        hubness = getattr(self._memory._guard, "hubness", None)
        with self._memory._ledger.transaction(self._scope) as transaction:
            if event.authority == Authority.QUARANTINED:
                event = transaction.release(id)
            transaction.log([GuardEntry(verb="release", subject=id, by=by)])
        if hubness is not None:
            hubness.reviewed(self._scope, id)
        if self._memory._indexing is not None:
            self._memory._indexing.notice(self._scope)
        return event

    def reject(self, id: str, *, by: str = "operator") -> ForgetReport:
        """Remove an event that is held back for good; the log keeps its id and why it was held.

        Args:
            id: Of an event that is held back.
            by: Who decided, for the log.

        Raises:
            NotFoundError: Nothing that is held back has that id here.
        """
        reasons = codes(self.show(id).meta.get("tierkeep.signals", ()))
        self.note("reject", id, reasons, by)
        return type(self._scoped)(self._memory, self._scope).forget(ids=[id])

    def log(self, after: int = 0) -> builtins.list[GuardEntry]:
        """Return the guard's entries about this owner whose number is greater than `after`, oldest first. They hold no content."""
        return list(self._memory._ledger.view(self._scope).guard_log(after))

    def note(self, verb: GuardVerb, subject: str, reasons: tuple[str, ...] = (), by: str = "") -> None:
        """Write one entry into the log, such as what an application's own check has decided. Ids, hashes and reason codes only."""
        with self._memory._ledger.transaction(self._scope) as transaction:
            transaction.log([GuardEntry(verb=verb, subject=subject, reasons=reasons, by=by)])

    # ------------------------------------------------------------------------------------------------------- lessons

    def lessons(self) -> builtins.list[Record]:
        """Return what was learnt from memories that a consensus held back; `attrs["state"]` is candidate, active or retired."""
        return self._memory._ledger.view(self._scope).records(kind=LESSON)

    def review(self, id: str, *, accept: bool) -> Record:
        """Make a lesson count at once, or retire it. Return it.

        Raises:
            NotFoundError: There is no such lesson here.
        """
        ops = self._memory._lessons.review(id, self._memory._ledger.view(self._scope), accept=accept)
        if not ops:
            raise NotFoundError(f"this scope ({self._scope}) has no lesson {id!r}", ids=(str(id),))
        with self._memory._ledger.transaction(self._scope) as transaction:
            transaction.apply(ops)
            return transaction.view.get([id])[0]

    # ------------------------------------------------------------------------------------------------ confirmations

    def propose(self, id: str) -> Confirmation:
        """Return a question for the user whether a memory is true and may be acted on.

        Raises:
            NotFoundError: There is no such event, or it is quarantined: release it first.
        """
        event = self._standing(id)
        return self._issue(_memory_subject(event), plain(f"{event.speaker}, {event.at[:10]}: {event.text}"))

    def confirm(self, token: str, *, id: str) -> Event:
        """Take the user's yes: the memory has authority to act from now on. Return it.

        Args:
            token: Of the confirmation that `propose` returned for this memory.
            id: The memory.

        Raises:
            ConfirmationError: The token is unknown, used, expired, or of something else.
            NotFoundError: The memory is gone.
        """
        subject = _memory_subject(self._standing(id))
        now = self._memory._clock.now().timestamp()
        with self._memory._ledger.transaction(self._scope) as transaction:
            if redeemed := transaction.redeem(digest_of(token), subject, now):
                event = transaction.elevate(id)
                transaction.log([GuardEntry(verb="elevate", subject=id, reasons=("confirmed",), by="user")])
        if not redeemed:  # said here, so that what has expired is gone when it is said
            raise ConfirmationError("this confirmation is unknown, used, expired, or of something else: ask the user again")
        return event

    def _standing(self, id: str) -> Event:
        found = self._memory._ledger.view(self._scope).events([id]) if isinstance(id, str) else []
        if not found or found[0].authority == Authority.QUARANTINED:
            raise NotFoundError(f"this scope ({self._scope}) has no event {id!r} that could be confirmed", ids=(str(id),))
        return found[0]

    def _issue(self, subject: str, text: str) -> Confirmation:
        token = secrets.token_urlsafe(32)
        expires = self._memory._clock.now() + timedelta(seconds=self._memory._settings.guard.confirm_s)
        with self._memory._ledger.transaction(self._scope) as transaction:
            transaction.issue(digest_of(token), subject, expires.timestamp())
        return Confirmation(token=token, subject=subject, text=text, expires_at=expires.isoformat())

    # --------------------------------------------------------------------------------------------------- the gate

    def gate(self, tools: Mapping[str, ToolPolicy] | None = None) -> ActionGate:
        """Return the gate on tool calls.

        Args:
            tools: What the application says of its tools, by name.
        """
        return ActionGate(self, dict(tools or {}))

    alist = twin(list)
    ashow = twin(show)
    arelease = twin(release)
    areject = twin(reject)
    alog = twin(log)
    alessons = twin(lessons)
    areview = twin(review)
    apropose = twin(propose)
    aconfirm = twin(confirm)


def _memory_subject(event: Event) -> str:
    return subject_of(f"{event.id}\n{event.text}")
