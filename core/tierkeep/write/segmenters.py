"""Cutting new events into the units that an extractor reads."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.protocols import Span, View
from tierkeep.records import Event


class TurnSegmenter:
    """One span for each event: right for extractors that read a message at a time (MemFlow keeps raw turns)."""

    def segment(self, events: Sequence[Event], view: View, *, final: bool) -> list[Span]:
        """Return one span per event, in order."""
        return [Span((event,), "turn") for event in events]
