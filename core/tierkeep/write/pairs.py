"""D-Mem's unit of ingestion: two messages of one conversation (tiers spec, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.protocols import Span, View
from tierkeep.records import Event
from tierkeep.write.sentences import may_be_distilled

#: Events in one span at most (ours): a long run of tool calls without a word between them is cut here.
_MOST = 32


class PairSegmenter:
    """Cuts a conversation after every second message. What is not distilled (tool calls, pages) goes along with the message it precedes.

    An odd last message waits for the next one, until the conversation is over.
    """

    def segment(self, events: Sequence[Event], view: View, *, final: bool) -> list[Span]:
        """Return spans of two messages each, in order."""
        spans: list[Span] = []
        held: list[Event] = []
        messages = 0
        for event in events:
            held.append(event)
            messages += may_be_distilled(event)
            if messages == 2 or len(held) == _MOST:
                spans.append(Span(tuple(held), "pair" if messages == 2 else "long"))
                held, messages = [], 0
        if held and final:
            spans.append(Span(tuple(held), "end"))
        return spans
