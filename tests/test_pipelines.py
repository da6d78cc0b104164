"""The order of the stages: what a deadline leaves, and when the escalation ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tierkeep import Memory, Settings
from tierkeep.answer.extractive import NOT_IN_MEMORY
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import Ceilings
from tierkeep.testing.clock import FixedClock


@pytest.fixture
def ana(memory: Memory) -> ScopedMemory:
    """Somebody whose employer is in the events, not in the profile."""
    mine = memory.scope(user="ana")
    mine.add("You wrote that your employer is Ondaclara, and the work is fun.", role="assistant", at="2026-01-01")
    return mine


@pytest.mark.parametrize("question", ["Where do I work?", "What is fun?", "When did I write of my employer?"])
def test_out_of_time_is_not_reported_as_nothing_there(ana: ScopedMemory, question: str) -> None:
    evidence = ana.recall(question, deadline_s=0)
    assert evidence.partial and not evidence and "deadline" in evidence.note
    answer = ana.ask(question, deadline_s=0)
    assert answer.partial and answer.abstained and answer.evidence.partial
    assert answer.text != NOT_IN_MEMORY and answer.text == "No answer: the deadline passed before anything was found."


def test_with_time_the_same_question_is_answered(ana: ScopedMemory) -> None:
    assert "Ondaclara" in ana.recall("Where do I work?", deadline_s=60).text
    answer = ana.ask("Where do I work?", deadline_s=60)
    assert "Ondaclara" in answer.text and not answer.partial


def test_a_profile_item_is_an_answer_even_when_it_comes_late(memory: Memory) -> None:
    mine = memory.scope(user="ana")
    mine.add("I work at Ondaclara.", at="2026-01-01")
    evidence = mine.recall("Where do I work?", deadline_s=0)
    assert "Ondaclara" in evidence.text and not evidence.partial and evidence.note == ""


def test_nothing_there_is_said_of_an_empty_memory_when_all_of_it_was_looked_at(memory: Memory) -> None:
    answer = memory.scope(user="ana").ask("Where do I work?", deadline_s=60)
    assert answer.text == NOT_IN_MEMORY and not answer.partial and answer.evidence.note == "nothing in this memory matches the question"


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[ScopedMemory]:
    """A memory in which each look at the clock takes a second and one attempt is all there is."""
    one = Settings(ceilings=Ceilings(attempts=1))
    with Memory.open(tmp_path / "memory", clock=FixedClock(step=1.0), settings=one) as memory:
        yield memory.scope(user="ana")


def test_time_that_runs_out_after_the_last_attempt_cuts_nothing_short(hurried: ScopedMemory) -> None:
    evidence = hurried.recall("Where do I work?", deadline_s=0)
    assert not evidence.partial and "nothing in this memory" in evidence.note


def test_an_answer_that_a_heavier_tier_might_have_bettered_is_partial(tmp_path: Path) -> None:
    # Everything matches and most of it does not fit, so the evidence looks thin and the deep tier is asked.
    with Memory.open(tmp_path / "memory", clock=FixedClock(step=1.0)) as memory:
        mine = memory.scope(user="ana")
        mine.add([f"The parcel {number} came by boat." for number in range(300)], at="2026-01-01")
        full = mine.ask("What came by boat?", budget=150, deadline_s=1_000)
        assert (full.tiers, full.partial, full.abstained) == (("targeted", "deep"), False, False)
        cut = [mine.ask("What came by boat?", budget=150, deadline_s=seconds) for seconds in range(12)]
    assert cut[0].abstained and cut[-1].text == full.text and not cut[-1].partial
    early = [answer for answer in cut if answer.tiers == ("targeted",) and not answer.abstained]
    assert early and all(answer.partial and "deadline" in answer.evidence.note and answer.evidence for answer in early)
    assert all(answer.partial for answer in cut if answer.tiers != full.tiers)


def test_a_budget_that_is_too_small_is_still_said_when_time_runs_out_later(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "memory", clock=FixedClock(step=1.0)) as memory:
        mine = memory.scope(user="ana")
        mine.add("The parcel came by boat.", at="2026-01-01")
        answers = [mine.ask("What came by boat?", budget=1, deadline_s=seconds) for seconds in range(1, 12)]
    assert any(answer.partial and answer.evidence.dropped for answer in answers)
    assert all("budget is too small" in answer.text for answer in answers if answer.evidence.dropped)
    assert all("budget is too small" in answer.evidence.note for answer in answers if answer.evidence.dropped)


@pytest.mark.parametrize("seconds", [0, 0.5, 3, 7])
def test_the_same_deadline_gives_the_same_evidence(tmp_path: Path, seconds: float) -> None:
    found = []
    for run in range(2):
        with Memory.open(tmp_path / str(run), clock=FixedClock(step=1.0)) as memory:
            mine = memory.scope(user="ana")
            mine.add([f"The parcel {number} came by boat." for number in range(30)], at="2026-01-01")
            found.append(mine.recall("What came by boat?", deadline_s=seconds))
    assert found[0] == found[1]


@pytest.mark.parametrize("question", ["What came by boat?", "What came by boat most recently?"])  # targeted and deep
def test_a_scope_that_is_indexed_in_part_gives_partial_evidence_and_then_all_of_it(tmp_path: Path, question: str) -> None:
    with Memory.open(tmp_path / "memory", clock=FixedClock(step=1.0)) as memory:
        mine = memory.scope(user="ana")
        mine.add([f"The parcel {number} came by boat." for number in range(5_000)], at="2026-01-01")
        early = [mine.recall(question, deadline_s=seconds) for seconds in range(4, 8)]
        late = mine.recall(question, deadline_s=1_000)
    assert any(evidence.partial and evidence for evidence in early)
    assert late and not late.partial
