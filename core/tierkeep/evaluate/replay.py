"""Replaying a conversation: each question is asked when exactly the events that it may see are stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tierkeep.evaluate.datasets import BenchQuestion, Conversation, ingest
from tierkeep.scoped import ScopedMemory


class Stored(NamedTuple):
    """One portion of a conversation: events stored, seconds that `add` took, seconds until they were indexed after that."""

    events: int
    add_s: float
    settle_s: float


def replay(
    conversation: Conversation, memory: ScopedMemory, questions: Iterable[BenchQuestion],
    stored: Callable[[Stored], object] = lambda portion: None, settle: Callable[[], object] = lambda: None,
) -> Iterator[BenchQuestion]:
    """Yield each question once the events before its place are stored, those that may see least first.

    Args:
        conversation: What is replayed.
        memory: Where it is stored.
        questions: Some of its questions.
        stored: Called after each portion.
        settle: Waits until what was stored is indexed; called after each portion, before `stored`.
    """
    everything = len(conversation.events)
    seen = [(question, everything if question.before is None else min(question.before, everything)) for question in questions]
    done = 0
    for question, upto in sorted(seen, key=lambda entry: entry[1]):
        if upto > done:
            began = time.perf_counter()
            events = ingest(memory, conversation.events[done:upto])
            added = time.perf_counter()
            settle()
            stored(Stored(events, added - began, time.perf_counter() - added))
            done = upto
        yield question
