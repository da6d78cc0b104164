"""Replaying a conversation: each question is asked when exactly the events that it may see are stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from tierkeep.evaluate.datasets import BenchQuestion, Conversation, ingest
from tierkeep.scoped import ScopedMemory


def replay(
    conversation: Conversation, memory: ScopedMemory, questions: Iterable[BenchQuestion],
    stored: Callable[[int, float], object] = lambda events, seconds: None,
) -> Iterator[BenchQuestion]:
    """Yield each question once the events before its place are stored, those that may see least first.

    Args:
        conversation: What is replayed.
        memory: Where it is stored.
        questions: Some of its questions.
        stored: Called after each portion with the number of its events and the seconds that it took.
    """
    everything = len(conversation.events)
    seen = [(question, everything if question.before is None else min(question.before, everything)) for question in questions]
    done = 0
    for question, upto in sorted(seen, key=lambda entry: entry[1]):
        if upto > done:
            began = time.perf_counter()
            events = ingest(memory, conversation.events[done:upto])
            stored(events, time.perf_counter() - began)
            done = upto
        yield question
