"""The answer without a model: quotes, dates and profile items, each with what it rests on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.allowance import Allowance
from tierkeep.answer.extractive import NOT_IN_MEMORY, ExtractiveAnswerer
from tierkeep.records import Authority, Draft, Evidence, EvidenceItem, Intent, Plan, Query, Scope, Source
from tierkeep.testing.clock import FixedClock


def item(text: str, *, id: str = "e1", score: float = 1.0, **more: Any) -> EvidenceItem:
    given = {"speaker": "Ana", "at": "2026-05-20", "session": id, "origin": Source.USER_DIRECT, "authority": Authority.ADVISE, **more}
    return EvidenceItem(id=id, sources=(id,), text=text, score=score, **given)


def answer(question: str, *items: EvidenceItem, intent: Intent = "targeted") -> Draft:
    query = Query(text=question, scope=Scope(user="ana"), now="2026-06-01")
    plan = Plan(tier="targeted", intent=intent, search_text=question, k=10, budget=1000)
    evidence = Evidence(question=question, items=items, text="x")
    return ExtractiveAnswerer().answer(query, plan, evidence, Allowance(FixedClock(), calls=0))


def test_no_evidence_is_said_and_marked() -> None:
    draft = answer("Where is the key?")
    assert (draft.text, draft.abstained, draft.used) == (NOT_IN_MEMORY, True, ())


def test_the_sentence_that_covers_the_question_is_quoted_with_speaker_and_day() -> None:
    draft = answer("Where is the spare key?", item("It rained all day long. The spare key hangs behind the blue door. We had soup."))
    assert draft.text == "\u201cThe spare key hangs behind the blue door.\u201d — Ana, 20 May 2026"
    assert draft.used == ("e1",)


def test_two_sentences_are_quoted_when_each_has_a_part() -> None:
    told = item("We saw the new vet on Friday near the harbour. Diagnosis: a sprained left paw. It rained.")
    draft = answer("What was the vet's diagnosis?", told)
    assert "sprained left paw" in draft.text and "It rained" not in draft.text


def test_a_quote_that_says_nothing_new_takes_its_neighbours() -> None:
    text = "Pay to the one that ends in 88. The rent goes to that account. Fine."
    assert "ends in 88" in answer("Which account does the rent go to?", item(text)).text


@pytest.mark.parametrize(
    "sentence",
    [
        "The dentist is Dr. Ko from Faro.",
        "The dentist moved to example.org in 2019.",
        "The dentist took 1.5 hours over it.",
        "Mrs. Ko is the dentist here.",
    ],
)
def test_a_stop_inside_a_name_or_number_does_not_cut_the_quote(sentence: str) -> None:
    assert sentence in answer("What about the dentist?", item(f"Nothing new otherwise. {sentence} It was cold.")).text


def test_the_users_words_come_before_what_anybody_could_have_written() -> None:
    page = item("The spare key of the house is under the mat by the door.", id="w", score=9.0, origin=Source.WEB, authority=Authority.DATA)
    own = item("The key is with Berta.", id="u", score=0.1)
    assert answer("Where is the spare key of the house?", page, own).used == ("u",)


def test_a_page_is_quoted_as_unverified_when_there_is_nothing_else() -> None:
    page = item("The spare key is under the mat.", origin=Source.WEB, authority=Authority.DATA, speaker="")
    assert "unverified source" in answer("Where is the spare key?", page).text


def test_a_date_is_worked_out_from_the_day_it_was_said() -> None:
    draft = answer("When did I paint the shed?", item("I painted the shed last Tuesday."), intent="temporal")
    assert (draft.short, draft.used) == ("19 May 2026 (last Tuesday)", ("e1",))


def test_a_length_of_time_is_quoted_as_said() -> None:
    draft = answer("How long did the painting take?", item("The painting took three days."), intent="temporal")
    assert draft.short == "three days"


def test_a_profile_item_is_the_answer() -> None:
    home = item("Ana lives in Faro (since 2026-01-01)", id="p", flag="PROFILE", speaker="")
    assert answer("Where do I live?", home, item("I walked."), intent="profile").text == "Ana lives in Faro (since 2026-01-01)."


def test_the_present_value_comes_first_and_the_former_one_is_named_as_such() -> None:
    now = item("Ana lives in Faro", id="n", flag="CURRENT", speaker="")
    was = item("Ana lives in Porto (until 2026-01-01)", id="b", flag="EARLIER", speaker="", score=9.0)
    draft = answer("Where do I live now?", was, now, intent="state")
    assert draft.text == "Ana lives in Faro. Before: Ana lives in Porto (until 2026-01-01)."


def test_what_held_once_does_not_answer_what_is_asked_of_today() -> None:
    was = item("Ana works at Oldcorp (until 2026-01-01)", id="b", flag="EARLIER", speaker="", score=9.0)
    told = item("The new company is called Bluefin.", id="e")
    draft = answer("Which company do I work for now?", was, told, intent="state")
    assert draft.used == ("e",) and "Bluefin" in draft.text


def test_a_profile_item_does_not_answer_a_look_up() -> None:
    likes = item("Ana likes rowing", id="p", flag="CURRENT", speaker="", score=0.1)
    assert answer("Who lent me the boat?", likes, item("Berta lent me the boat.", id="e"), intent="targeted").used == ("e",)


def test_what_is_to_be_counted_is_quoted_oldest_first_once_a_conversation() -> None:
    visits = [
        item("The plumber was here to fix the tap.", id="b", at="2026-03-02", score=2.0),
        item("The plumber laid the drains at last.", id="a", at="2026-02-01", score=3.0),
        item("The plumber, by the way, sang.", id="c", session="b", at="2026-03-02", score=1.0),
        item("I bought bread.", id="d", at="2026-01-01", score=0.5),
    ]
    draft = answer("How many times was the plumber here?", *visits, intent="state")
    assert draft.used == ("a", "b")
    assert draft.text.index("drains") < draft.text.index("tap")


def test_a_single_find_is_no_list() -> None:
    draft = answer("How many boats do I have?", item("My boat is red.", id="a"), item("It rained.", id="b"), intent="state")
    assert draft.used == ("a",) and "Told of" not in draft.text


def test_a_long_sentence_is_cut_between_words() -> None:
    text = answer("Where is the key?", item("The key is " + "very " * 200 + "far.")).text
    assert len(text) < 400 and "very …" in text


PARTS = st.lists(st.tuples(st.text(max_size=80), st.floats(0, 10), st.sampled_from(["", "CURRENT", "EARLIER", "PROFILE"])), max_size=6)


@given(PARTS, st.text(max_size=60))
def test_it_never_fails_cites_what_it_uses_and_repeats_itself_exactly(parts: list[tuple[str, float, str]], question: str) -> None:
    items = [item(text, id=f"e{n}", score=score, flag=flag) for n, (text, score, flag) in enumerate(parts)]
    for intent in ("targeted", "profile", "temporal", "state", "constraint"):
        draft = answer(question, *items, intent=intent)  # type: ignore[arg-type]
        assert set(draft.used) <= {i.id for i in items}
        assert bool(draft.used) == bool(items)
        assert draft == answer(question, *items, intent=intent)  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", ["Dr. ", "a.b", "!?", "key. ", "\n", '"'])
def test_a_huge_message_costs_no_more_than_its_length(piece: str) -> None:
    answer("Where is the key?", item(piece * 30_000))
