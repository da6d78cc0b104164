"""A scope that is bound to a session answers from that session only, whatever the tier."""

from __future__ import annotations

import pytest

from tierkeep import Memory
from tierkeep.scoped import ScopedMemory

QUESTIONS = [
    "Where do I live?",  # profile
    "Do I still live in Rome?",  # deep: conflict
    "Where do I live now?",  # deep: state
    "Can you recommend a restaurant in Rome?",  # deep: constraint
    "What did I say about Rome?",  # targeted
    "When did I move to Rome?",  # deep: temporal
]


@pytest.fixture
def whole(memory: Memory) -> ScopedMemory:
    mine = memory.scope(user="ana")
    mine.add("I live in Rome.", session="s1", at="2026-01-01")
    mine.add("I am allergic to peanuts, wherever in Rome I eat.", session="s1", at="2026-01-01")
    mine.add("The bus was late.", session="s2", at="2026-01-02")
    return mine


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_session_is_neither_recalled_nor_answered_from(memory: Memory, whole: ScopedMemory, question: str) -> None:
    bound = memory.scope(user="ana", session="s2")
    evidence = bound.recall(question)
    assert "Rome" not in evidence.text and "peanuts" not in evidence.text
    assert {item.session for item in evidence.items} <= {"s2"}
    assert "peanuts" not in bound.ask(question).text and "Rome." not in bound.ask(question).text


@pytest.mark.parametrize("question", QUESTIONS)
def test_its_own_session_is(memory: Memory, whole: ScopedMemory, question: str) -> None:
    assert "Rome" in memory.scope(user="ana", session="s1").recall(question).text
    assert "Rome" in whole.recall(question).text


def test_a_fact_said_in_two_sessions_is_known_in_both(memory: Memory, whole: ScopedMemory) -> None:
    whole.add("I live in Rome.", session="s2", at="2026-01-03")
    for session in ("s1", "s2"):
        assert "Rome" in memory.scope(user="ana", session=session).recall("Do I still live in Rome?").text


def test_former_values_of_the_profile_are_flagged_as_such(memory: Memory, whole: ScopedMemory) -> None:
    whole.add("I live in Oslo now.", session="s3", at="2026-02-01")
    flags = {item.text.split(" (")[0]: item.flag for item in whole.recall("Do I still live in Rome?").items if item.flag}
    assert set(flags.values()) == {"CURRENT", "EARLIER"}
    assert [text for text, flag in flags.items() if flag == "CURRENT" and "Oslo" in text]
    assert [text for text, flag in flags.items() if flag == "EARLIER" and "Rome" in text]
