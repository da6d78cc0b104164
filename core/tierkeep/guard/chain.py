"""The default guard: every check in order, on write and on read (guard spec, section 1: layer order)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tierkeep.clock import SystemClock
from tierkeep.guard.authority import AuthorityGuard
from tierkeep.guard.hubness import Flagged, HubnessCheck
from tierkeep.guard.limits import LimitsCheck
from tierkeep.guard.occupancy import OccupancyCheck
from tierkeep.guard.rate import RateCheck
from tierkeep.guard.redaction import RedactionCheck, Redactor
from tierkeep.guard.screening import ScreeningGuard
from tierkeep.protocols import Clock
from tierkeep.records import EventDraft, Hit, Query, Scope
from tierkeep.settings import Settings


class WriteCheck(Protocol):
    """One check of what comes in. It may lower authority, take something out, or refuse; it never raises authority."""

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as it may be stored.

        Raises:
            WriteRejected: It must not be stored at all.
        """
        ...


class ReadCheck(Protocol):
    """One check of what is about to be shown."""

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that may be shown for this query, in the same order."""
        ...


class DefaultGuard:
    """On write bounds, rates, authority, redaction, screening; on read authority, hubness, occupancy (guard spec, section 1).

    Args:
        settings: Numbers; the defaults otherwise.
        clock: For rates; the machine's clock otherwise.
        write: Checks of your own, after the default ones.
        read: Checks of your own, after the default ones.
        flagged: Is told of memories that a read check holds back from now on, as entries for the guard's log.

    Attributes:
        hubness: What is held back because it is near every question, and the way to let it out again.

    Raises:
        MissingExtraError: The settings ask for libraries that are not installed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        *,
        write: Sequence[WriteCheck] = (),
        read: Sequence[ReadCheck] = (),
        flagged: Flagged | None = None,
    ) -> None:
        settings = Settings() if settings is None else settings
        authority = AuthorityGuard()
        self.hubness = HubnessCheck(settings.guard, flagged)
        self._write: tuple[WriteCheck, ...] = (
            LimitsCheck(settings),
            RateCheck(settings.guard, SystemClock() if clock is None else clock),
            authority,
            RedactionCheck(Redactor(settings.redaction)),
            ScreeningGuard(),
            *write,
        )
        self._read: tuple[ReadCheck, ...] = (authority, self.hubness, OccupancyCheck(), *read)

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as it may be stored."""
        for check in self._write:
            draft = check.admit(draft, scope)
        return draft

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that may be shown for this query."""
        kept = list(hits)
        for check in self._read:
            kept = check.release(kept, query)
        return kept
