"""A memory from outside that is among the best hits of everything is held back until somebody has looked at it (guard spec T17, S2.5).

Carriers of a planted text are written to be near many unrelated questions (semantic aliasing). A note that answers many questions about one
thing is no such carrier: questions that it meets with the same word count as one.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

from tierkeep.records import FROM_OUTSIDE, GuardEntry, Hit, Query, Scope
from tierkeep.settings import GuardSettings
from tierkeep.terms import analyze

#: Told of what a check has held back: whose it is, and the entry for the guard's log.
Flagged = Callable[[Scope, GuardEntry], object]

#: Owners whose questions are remembered at once (ours).
_MOST_SCOPES = 256
#: Different memories seen in hits from which the share alone decides (ours): K of 300 is below any share that flags.
_MANY = 300
#: How many times the share of an average memory a hub has at least (ours): where there is little, everything is among the best.
_ABOVE_AVERAGE = 3.0
#: Share of the best hit's score from which a hit is one of the best (ours): a neighbour of a hit has less.
_OF_THE_BEST = 0.5
#: Content words of a question, and memories whose words are remembered at once (ours).
_MOST_TERMS = 64
#: Characters of a memory whose words are looked at (ours).
_SCAN = 4_096


class _Window:
    """The last questions of one owner: their content words, and which memories from outside were among their best hits."""

    def __init__(self, size: int) -> None:
        self.asked: deque[tuple[frozenset[str], set[str]]] = deque()
        self.seen: set[str] = set()
        self.held: OrderedDict[str, None] = OrderedDict()
        self.reviewed: OrderedDict[str, None] = OrderedDict()
        self._size = size
        # In how many of the questions a term is, and a memory among the best: what `asked` holds, counted as it changes.
        self._with_term: Counter[str] = Counter()
        self._with_memory: Counter[str] = Counter()
        self._terms: OrderedDict[str, frozenset[str]] = OrderedDict()

    def note(self, terms: frozenset[str], best: Iterable[str]) -> None:
        """Take down a question with the ids of its best hits; one asked again in the same words is the same."""
        outside = next((known for asked, known in self.asked if asked == terms), None)
        if outside is None:
            outside = set()
            self.asked.append((terms, outside))
            self._with_term.update(terms)
        new = set(best) - outside
        outside |= new
        self._with_memory.update(new)
        while len(self.asked) > self._size:
            terms, outside = self.asked.popleft()
            _count_down(self._with_term, terms)
            _count_down(self._with_memory, outside)

    def _terms_of(self, hit: Hit) -> frozenset[str]:
        """Return the content words of a memory. They are worked out for those that are met again and again alone: it is dear."""
        known = self._terms.get(hit.item.id)
        if known is None:
            known = self._terms[hit.item.id] = frozenset(analyze(hit.item.text[:_SCAN]))
            while len(self._terms) > _MOST_TERMS:
                self._terms.popitem(last=False)
        return known

    def topics(self, hit: Hit | None = None) -> int:
        """Return how many of the questions have nothing in common with one another.

        With a memory, of those that have it among their best: there, what counts as common is what the memory shares with them. Where
        that is nothing (it was found by its meaning), it is the questions' own words, without those that most questions have.
        """
        common = {term for term, n in self._with_term.items() if 2 * n > len(self.asked) > 3}
        own = frozenset() if hit is None else self._terms_of(hit)
        used: set[str] = set()
        count = 0
        for terms, outside in self.asked:
            if hit is None or hit.item.id in outside:
                about = terms & own or terms - common
                if about and used.isdisjoint(about):
                    used |= about
                    count += 1
        return count

    def questions(self, id: str) -> int:
        """Return how many of the window's questions have this memory among their best."""
        return self._with_memory[id]

    def share(self, id: str) -> float:
        """Return the share of the window's questions that have this memory among their best."""
        return self.questions(id) / len(self.asked)


def _count_down(counter: Counter[str], gone: Iterable[str]) -> None:
    for one in gone:
        counter[one] -= 1
        if not counter[one]:
            del counter[one]


class HubnessCheck:
    """Holds back memories from outside that are near everything. In memory only, for each owner; threads may share it.

    Args:
        settings: The share, the window and K.
        flagged: Is told of each memory that is held back, once.
    """

    def __init__(self, settings: GuardSettings, flagged: Flagged | None = None) -> None:
        self._settings = settings
        self._flagged = flagged
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[str, str, str], _Window] = OrderedDict()

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits without those that are held back, in the same order."""
        if not any(hit.item.origin.source in FROM_OUTSIDE for hit in hits):
            return list(hits)
        with self._lock:
            window = self._window(query.scope)
            new = self._learn(window, hits, query)
            held = set(window.held)
        for id in new:
            if self._flagged is not None:
                self._flagged(query.scope, GuardEntry(verb="flag", subject=id, reasons=("hub",), by="hubness"))
        return [hit for hit in hits if hit.item.origin.source not in FROM_OUTSIDE or hit.item.id not in held]

    def held(self, scope: Scope) -> tuple[str, ...]:
        """Return the ids of the owner's memories that are held back, in the order in which they were found."""
        with self._lock:
            return tuple(self._window(scope).held)

    def reviewed(self, scope: Scope, id: str) -> None:
        """Let a memory out again, and do not hold it back any more: somebody has looked at it."""
        with self._lock:
            window = self._window(scope)
            window.held.pop(id, None)
            window.reviewed[id] = None
            while len(window.reviewed) > _MANY:
                window.reviewed.popitem(last=False)

    def _window(self, scope: Scope) -> _Window:
        window = self._windows.setdefault(scope.partition, _Window(self._settings.hub_window))
        self._windows.move_to_end(scope.partition)
        while len(self._windows) > _MOST_SCOPES:
            self._windows.popitem(last=False)
        return window

    def _learn(self, window: _Window, hits: Sequence[Hit], query: Query) -> list[str]:
        """Take down a question with its hits; return the ids that are held back from now on."""
        if len(window.seen) < _MANY:
            window.seen.update(hit.item.id for hit in hits[:_MANY])
        # What is held back leaves its place to the next: a question counts for what would have been shown.
        ranked = [hit for hit in hits if hit.item.id not in window.held][: self._settings.hub_k]
        floor = _OF_THE_BEST * max((hit.score for hit in hits), default=0.0)
        best = [hit for hit in ranked if hit.item.origin.source in FROM_OUTSIDE and hit.score >= floor]
        window.note(frozenset(analyze(query.text)[:_MOST_TERMS]), [hit.item.id for hit in best])
        new = [hit.item.id for hit in best if hit.item.id not in window.reviewed and self._is_hub(window, hit)]
        for id in new:
            window.held[id] = None
        while len(window.held) > _MANY:
            window.held.popitem(last=False)
        return new

    def _is_hub(self, window: _Window, hit: Hit) -> bool:
        own, id = self._settings, hit.item.id
        average = own.hub_k / max(len(window.seen), own.hub_k)
        # What is counted anyway comes first: there are no more topics than questions.
        if window.questions(id) < own.hub_least or window.share(id) <= max(own.hub_share, _ABOVE_AVERAGE * average):
            return False
        topics = window.topics(hit)
        return topics >= own.hub_least and topics > own.hub_share * window.topics()
