"""The default guard: every check in order, on write and on read."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.guard.authority import AuthorityGuard
from tierkeep.guard.screening import ScreeningGuard
from tierkeep.records import EventDraft, Hit, Query


class DefaultGuard:
    """Authority first, then screening; reading is the authority guard's."""

    def __init__(self) -> None:
        self._authority = AuthorityGuard()
        self._screening = ScreeningGuard()

    def admit(self, draft: EventDraft) -> EventDraft:
        """Return the draft as it may be stored."""
        return self._screening.admit(self._authority.admit(draft))

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that may be shown for this query."""
        return self._authority.release(hits, query)
