"""The default guard: every check in order, on write and on read (guard spec, section 1: layer order)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tierkeep.guard.authority import AuthorityGuard
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
    """Authority first, then screening on write; on read authority.

    Args:
        settings: Numbers; the defaults otherwise.
        clock: For rates; the machine's clock otherwise.
        write: Checks of your own, after the default ones.
        read: Checks of your own, after the default ones.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        *,
        write: Sequence[WriteCheck] = (),
        read: Sequence[ReadCheck] = (),
    ) -> None:
        authority = AuthorityGuard()
        self._write: tuple[WriteCheck, ...] = (authority, ScreeningGuard(), *write)
        self._read: tuple[ReadCheck, ...] = (authority, *read)

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
