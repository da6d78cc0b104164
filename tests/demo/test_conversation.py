"""The shipped demo conversation is well formed, and every claim its script makes is really in it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

import pytest

from tierkeep.demo import load_conversation, load_script

Turn = dict[str, str]

TURNS: list[Turn] = load_conversation()
SCRIPT: dict[str, Any] = load_script()
SPEAKERS = {"user": "Ines", "assistant": "Assistant", "tool": "web_search"}
PROBES: list[dict[str, Any]] = [SCRIPT["poison"], *SCRIPT["poison_also"]]


def said(*sessions: str) -> str:
    """Everything said in these sessions, case folded."""
    return "\n".join(turn["text"] for turn in TURNS if turn["session"] in sessions).casefold()


def sessions_with(term: str) -> set[str]:
    """The sessions in which a term occurs, whatever its case."""
    return {turn["session"] for turn in TURNS if term.casefold() in turn["text"].casefold()}


def test_it_is_long_enough_to_be_a_real_history() -> None:
    days = {datetime.fromisoformat(turn["at"]).date() for turn in TURNS}
    assert len(TURNS) >= 300
    assert len({turn["session"] for turn in TURNS}) >= 25
    assert len({(day.year, day.month) for day in days}) >= 8


def test_sessions_are_contiguous_and_of_plausible_length() -> None:
    runs = [(session, len(list(turns))) for session, turns in groupby(TURNS, key=lambda turn: turn["session"])]
    assert len(runs) == len({session for session, _ in runs})
    assert all(6 <= length <= 24 for _, length in runs)


def test_times_increase_and_carry_the_offset_of_utc() -> None:
    times = [datetime.fromisoformat(turn["at"]) for turn in TURNS]
    assert all(at.utcoffset() == timedelta(0) for at in times)
    assert all(earlier < later for earlier, later in pairwise(times))


def test_a_session_is_named_by_its_day() -> None:
    assert all(turn["session"][:10] == turn["at"][:10] for turn in TURNS)


def test_roles_speakers_and_keys_agree() -> None:
    for turn in TURNS:
        keys = {"session", "role", "speaker", "at", "text"} | ({"name"} if turn["role"] == "tool" else set())
        assert set(turn) == keys
        assert turn["speaker"] == SPEAKERS[turn["role"]]
        assert turn.get("name", "web_search") == "web_search"
        assert turn["text"] == turn["text"].strip() != ""


def test_every_session_is_opened_by_the_user_and_roles_alternate() -> None:
    after = {"user": {"assistant", "tool"}, "tool": {"assistant"}, "assistant": {"user", "tool"}}
    for _, group in groupby(TURNS, key=lambda turn: turn["session"]):
        roles = [turn["role"] for turn in group]
        assert roles[0] == "user"
        assert all(later in after[earlier] for earlier, later in pairwise(roles))


def test_no_text_is_said_twice() -> None:
    counts = Counter(turn["text"].casefold() for turn in TURNS)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_long_sentence_is_repeated() -> None:
    sentences = Counter(
        sentence
        for turn in TURNS
        for sentence in re.split(r"(?<=[.!?]) ", turn["text"].casefold())
        if len(sentence.split()) >= 4
    )
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


def test_only_reserved_domains_are_named() -> None:
    for turn in TURNS:
        for host in re.findall(r"https?://([^/\s]+)", turn["text"]):
            assert re.fullmatch(r"(?:[a-z]+\.)?example\.(?:com|org|net)", host)
        bare = re.findall(r"[\w.-]+\.(?:com|net|org|io|pt|ai|dev|eu|co|info|app)\b", turn["text"])
        assert all(re.fullmatch(r"(?:[a-z]+\.)?example\.(?:com|org|net)", name) for name in bare)
        assert "@" not in turn["text"]


def test_script_has_questions_for_each_tier() -> None:
    questions = SCRIPT["questions"]
    assert SCRIPT["user"] == "ines"
    assert 8 <= len(questions) <= 10
    assert len({question["id"] for question in questions}) == len(questions)
    assert {question["tier"] for question in questions} == {"profile", "targeted", "deep"}


@pytest.mark.parametrize("question", SCRIPT["questions"], ids=lambda question: question["id"])
def test_a_question_is_answered_by_the_sessions_it_names(question: dict[str, Any]) -> None:
    assert question["must_contain"]
    assert question["shows"].endswith(".")
    known = {turn["session"] for turn in TURNS}
    assert set(question["evidence_sessions"]) <= known
    evidence = said(*question["evidence_sessions"])
    assert all(needed.casefold() in evidence for needed in question["must_contain"])


@pytest.mark.parametrize("identity", ["plumber-visits", "half-marathons"])
def test_a_count_is_the_number_of_sessions_that_prove_it(identity: str) -> None:
    question = next(question for question in SCRIPT["questions"] if question["id"] == identity)
    assert int(question["answer"]) == len(question["evidence_sessions"]) == len(question["must_contain"])
    for session, needed in zip(question["evidence_sessions"], question["must_contain"], strict=True):
        assert sessions_with(needed) == {session}


def test_the_contract_day_is_the_tuesday_before_the_turn() -> None:
    question = next(question for question in SCRIPT["questions"] if question["id"] == "contract-date")
    turn = next(turn for turn in TURNS if question["must_contain"][0] in turn["text"])
    signed, told = date.fromisoformat(question["answer"]), datetime.fromisoformat(turn["at"]).date()
    assert "last Tuesday" in turn["text"]
    assert signed.weekday() == 1
    assert 0 < (told - signed).days <= 7
    assert question["answer"] not in said(turn["session"])


def test_the_changed_fact_was_one_thing_before_and_is_another_now() -> None:
    fact = SCRIPT["changed_fact"]
    for session in fact["before_sessions"]:
        assert session[:10] < fact["changed_on"]
        assert f"live in {fact['before']}".casefold() in said(session)
    for session in fact["now_sessions"]:
        assert session[:10] >= fact["changed_on"]
        assert f"moved to {fact['now']}".casefold() in said(session)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe["session"])
def test_poison_stands_only_in_a_tool_result_and_the_truth_outside_it(probe: dict[str, Any]) -> None:
    for term in probe["forbidden"]:
        holders = [turn for turn in TURNS if term.casefold() in turn["text"].casefold()]
        assert [(turn["session"], turn["role"]) for turn in holders] == [(probe["session"], "tool")]
    own = [turn for turn in TURNS if turn["session"] == probe["expected_session"] and turn["role"] == "user"]
    assert any(probe["expected"] in turn["text"] for turn in own)


def test_no_tool_result_is_the_source_of_what_the_demo_forgets() -> None:
    forget = SCRIPT["forget"]
    held = [turn for turn in TURNS if turn["session"] == forget["session"]]
    assert 6 <= len(held) <= 10
    assert {turn["role"] for turn in held} == {"user", "assistant"}


@pytest.mark.parametrize("term", SCRIPT["forget"]["rare_terms"])
def test_rare_terms_occur_only_in_the_session_to_forget(term: str) -> None:
    assert sessions_with(term) == {SCRIPT["forget"]["session"]}
    assert term.casefold() not in SCRIPT["forget"]["question"].casefold()
