"""What a deferred deriver has not read yet, and how far it came: cursors by conversation, so that each is cut on its own.

Two kinds of cursors stand in the ledger. `name` is the low-water mark: everything up to it has been read. `name/<conversation>` is how far
one conversation has been read beyond it; its name is a fingerprint, so that no name of a conversation outlives the conversation.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence

from tierkeep.errors import OpRefused
from tierkeep.protocols import Ledger, Segmenter, Span, View
from tierkeep.records import Event, Op, Scope
from tierkeep.settings import Deriving

_LOG = logging.getLogger(__name__)
#: Events looked at in one round; far more than the unfinished ends of conversations can hold.
_PAGE = 16_384
#: How often a span is tried again when what it rests on changes under it.
_TRIES = 3


class Backlog:
    """The unread events of one scope, for one deriver.

    Args:
        name: The deriver's.
        scope: Whose memory.
        ledger: Where it is.
        limits: When a conversation counts as over.
        final: True when every conversation does.
        page: Events looked at in one round.
    """

    def __init__(self, name: str, scope: Scope, ledger: Ledger, limits: Deriving, final: bool, page: int = _PAGE) -> None:
        self._name = name
        self._scope = scope
        self._ledger = ledger
        self._limits = limits
        self._final = final
        self._page_size = page
        self._left = 0

    def next(self, segmenter: Segmenter) -> list[Span]:
        """Return the spans that can be read now, in order of their last event; none when there is nothing to do."""
        view = self._ledger.view(self._scope)
        page = self._page(view)
        conversations = self._conversations(view, page)
        spans = [span for events, over in conversations for span in segmenter.segment(events, view, final=over)]
        if not spans and len(page) == self._page_size and conversations:
            # A conversation that goes on slowly must not hold up all that lies beyond the page.
            spans = segmenter.segment(conversations[0][0], view, final=True)
        self._left = len(spans)
        return sorted(spans, key=lambda span: span.events[-1].seq)

    def settle(self, span: Span, ops: Callable[[tuple[Event, ...], View], list[Op]]) -> tuple[str, ...] | None:
        """Store what comes of a span and move its conversation's cursor, in one transaction.

        Args:
            span: What was read.
            ops: Makes the ops, outside of any transaction, from those of the span's events that are still there.

        Returns:
            Ids of the records that changed; empty when another process has read the span meanwhile. None when the ledger refused the ops
            again and again; the span is passed over, because one bad span must not hold up all that follow.
        """
        self._left = max(0, self._left - 1)
        cursor, first, last = self._cursor(span.events[0].session), span.events[0].seq, span.events[-1].seq
        for attempt in range(_TRIES + 1):
            view = self._ledger.view(self._scope)
            events = tuple(view.events([event.id for event in span.events]))
            if view.cursor(cursor) >= first:
                return ()
            proposed = ops(events, view) if events and attempt < _TRIES else []
            try:
                with self._ledger.transaction(self._scope) as transaction:
                    if transaction.cursor(cursor) >= first:
                        return ()
                    changed = transaction.apply(proposed)
                    if transaction.view.last_seq:  # else erased meanwhile: a cursor would bring the owner's name back
                        transaction.advance(cursor, last)
            except OpRefused as error:
                problem = error  # an event was forgotten, or a record changed, since it was read
                continue
            if attempt < _TRIES:
                return tuple(changed)
        _LOG.warning("deriver %s: what came of events %d to %d was refused and is left out: %s", self._name, first, last, problem)
        return None

    def advance(self) -> None:
        """Move the low-water mark up to the first event that is still unread."""
        view = self._ledger.view(self._scope)
        low = view.cursor(self._name)
        page = self._page(view)  # once: an event that comes between two looks would count as read
        waiting = [events[0].seq for events, _ in self._conversations(view, page)]
        level = min(waiting) - 1 if waiting else (page[-1].seq if page else low)
        if level > low:
            with self._ledger.transaction(self._scope) as transaction:
                if transaction.view.last_seq and transaction.cursor(self._name) < level:
                    transaction.advance(self._name, level)

    def pending(self) -> int:
        """Return the number of events that are unread."""
        view = self._ledger.view(self._scope)
        read: dict[str, int] = {}
        unread = 0
        for event in view.scan(after_seq=view.cursor(self._name)):
            if event.session not in read:
                read[event.session] = view.cursor(self._cursor(event.session))
            unread += event.seq > read[event.session]
        return unread

    def left(self) -> int:
        """Return the number of spans of this round that are still to be read."""
        return self._left

    def _page(self, view: View) -> list[Event]:
        return list(view.scan(after_seq=view.cursor(self._name), limit=self._page_size))

    def _conversations(self, view: View, page: Sequence[Event]) -> list[tuple[list[Event], bool]]:
        """Return the unread events of a page by conversation, each with whether it is over, in order of their first unread event."""
        by_session: dict[str, list[Event]] = {}
        after: dict[str, tuple[int, float]] = {}
        for place, event in enumerate(page):
            by_session.setdefault(event.session, []).append(event)
            after[event.session] = (place, event.ts)
        newest = max((event.ts for event in page), default=0.0)
        found: list[tuple[list[Event], bool]] = []
        for session, events in by_session.items():
            read = view.cursor(self._cursor(session))
            unread = [event for event in events if event.seq > read]
            if unread:
                place, ts = after[session]
                later = len(page) - 1 - place
                over = later >= self._limits.over_after_events or (later > 0 and newest - ts >= self._limits.over_after_s)
                found.append((unread, self._final or over))
        return sorted(found, key=lambda one: one[0][0].seq)

    def _cursor(self, session: str) -> str:
        return f"{self._name}/{hashlib.sha256(session.encode('utf-8', 'replace')).hexdigest()[:16]}"
