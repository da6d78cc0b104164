"""A guard with a stopwatch: what it adds to each write and each read."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.evaluate.attacks.memories import Stopwatch
from tierkeep.protocols import Guard
from tierkeep.records import EventDraft, Hit, Query, Scope


class TimedGuard:
    """Passes everything on to a guard, and notes how long it takes."""

    def __init__(self, guard: Guard, watch: Stopwatch) -> None:
        self._guard = guard
        self._watch = watch

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as the guard admits it."""
        with self._watch.timing(self._watch.write):
            return self._guard.admit(draft, scope)

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that the guard releases."""
        with self._watch.timing(self._watch.read):
            return self._guard.release(hits, query)
