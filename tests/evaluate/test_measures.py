from __future__ import annotations

import pytest

from tierkeep import rendering
from tierkeep.evaluate.measures import KS, Found, Pack, measured, reciprocal_rank, share, short_answer, words_of_block
from tierkeep.evaluate.sets.model import BenchQuestion


def _pack(*whole: str, ranked: tuple[str, ...] = (), text: str = "", tokens: int = 7) -> Pack:
    return Pack(frozenset(whole), ranked or whole, text, tokens)


SESSIONS = {"1": "a", "2": "a", "3": "b", "4": "c"}


def test_the_share_of_the_gold_that_was_found() -> None:
    assert share(["1", "3"], {"3", "4"}) == 0.5
    assert share([], {"3"}) is None


def test_the_rank_of_the_first_gold() -> None:
    assert reciprocal_rank({"3", "4"}, ["1", "4", "3"]) == 0.5
    assert reciprocal_rank({"3"}, ["1"]) == 0.0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A green kayak", {"green", "kayak"}),
        ("the 3.5 m boat, of an uncle", {"3.5", "m", "boat", "of", "uncle"}),
        ("一条船", {"一", "条", "船"}),
        ("one two three four five six", {"one", "two", "three", "four", "five", "six"}),
        ("one two three four five six seven", None),
        ("the a", None),
        ("", None),
    ],
)
def test_answers_of_six_words_are_short(answer: str, expected: set[str] | None) -> None:
    assert short_answer(answer) == (None if expected is None else frozenset(expected))


def test_the_frame_of_a_block_holds_no_answer() -> None:
    block = rendering.fence(["[2026-05-02]", "Ana: Green."])
    assert words_of_block(block) == {"2026", "05", "02", "ana", "green"}
    assert words_of_block("") == frozenset()


def test_one_question() -> None:
    question = BenchQuestion(id="q", question="?", answer="green", category="single", evidence=("1", "3"))
    text = rendering.fence(["Ana: It is green."])
    found = Found((_pack("1", "4", ranked=("4", "1"), text=text), _pack("1", "3", tokens=9)), ("4", "2", "9", "8", "7", "1", "3"), 3.0, 1.0)
    row = measured("c", question, found, SESSIONS)
    assert (row.recall, row.session_recall, row.contained, row.tokens) == ((0.5, 1.0), (0.5, 1.0), (1.0, 0.0), (7, 9))
    assert (row.reciprocal_rank, row.recall_at, row.ranked) == (0.5, (0.0, 1.0, 1.0, 1.0), 7)
    assert row.scored and len(row.recall_at) == len(KS)


def test_a_question_without_evidence_measures_its_sessions_only() -> None:
    question = BenchQuestion(id="q", question="?", category="x", sessions=("a", "b"))
    row = measured("c", question, Found((_pack("2"),), ("2",)), SESSIONS)
    assert (row.recall, row.session_recall, row.recall_at[0], row.scored) == ((None,), (0.5,), None, False)


def test_adversarial_questions_are_not_scored() -> None:
    question = BenchQuestion(id="q", question="?", category="5 Adversarial", evidence=("1",))
    assert not measured("c", question, Found((_pack("1"),), ("1",)), SESSIONS).scored
