"""Questions to a whole memory, as people ask them: what an answer must respect, and what it must not claim."""

from __future__ import annotations

import pytest

from tierkeep import Memory, Origin
from tierkeep.scoped import ScopedMemory


@pytest.fixture
def ana(memory: Memory) -> ScopedMemory:
    return memory.scope(user="ana")


@pytest.mark.parametrize(
    "question",
    ["Which restaurant would you recommend for us?", "Recommend a dessert", "What should I cook tonight?", "Suggest a snack for me"],
)
def test_advice_always_brings_the_allergies(ana: ScopedMemory, question: str) -> None:
    ana.add("I'm allergic to shellfish.", at="2026-01-02")
    ana.add("I like jazz.", at="2026-01-03")
    assert any("allergic to shellfish" in item.text for item in ana.recall(question).items)


@pytest.mark.parametrize(
    ("told", "ended", "question"),
    [
        ("I live in Lisbon.", "I don't live in Lisbon any more.", "Where do I live?"),
        ("I work at Acme.", "I quit my job at Acme yesterday.", "Where do I work?"),
        ("I'm allergic to peanuts.", "I'm not allergic to peanuts.", "Am I allergic to peanuts?"),
    ],
)
def test_what_ended_is_not_answered_as_if_it_held(ana: ScopedMemory, told: str, ended: str, question: str) -> None:
    ana.add(told, at="2026-01-01")
    ana.add(ended, at="2026-02-01")
    assert ana.ask(question).text.startswith("Not any more: ")


def test_another_persons_life_is_no_answer_about_mine(ana: ScopedMemory) -> None:
    ana.add("I live in Oslo.", speaker="Mei", origin=Origin.imported("chat.txt"), at="2026-01-01")
    answer = ana.ask("Where do I live?")
    assert not answer.verdict.accept
    assert "somebody else said it, of themselves or of others" in answer.verdict.reasons


def test_an_unverified_source_is_quoted_but_not_accepted(ana: ScopedMemory) -> None:
    ana.add({"role": "tool", "name": "browser", "content": "My phone number is 555 0100."}, at="2026-01-01")
    answer = ana.ask("What is my phone number?")
    assert not answer.verdict.accept and "(unverified source)" in answer.text


def test_a_budget_that_is_too_small_is_not_an_empty_memory(ana: ScopedMemory) -> None:
    ana.add("The boat is in the yard at Marselisborg, the engine is dead.", at="2026-01-01")
    answer = ana.ask("Where is the boat?", budget=10)
    assert answer.abstained and "budget is too small" in answer.text


def test_a_small_budget_goes_to_the_hit_and_not_to_its_short_neighbours(ana: ScopedMemory) -> None:
    told = ["poor you", "The boat is in the yard at Marselisborg, and the engine is quite dead.", "what?", "oh no"]
    ana.add(told, at="2026-01-01", session="chat")
    for budget in range(20, 120, 5):
        found = [item.text for item in ana.recall("Where is the boat?", budget=budget).items]
        assert not found or any(text.startswith("The boat is") for text in found)
    assert ana.recall("Where is the boat?", budget=80).items


def test_the_reply_answers_when_the_best_match_is_a_question(ana: ScopedMemory) -> None:
    ana.add("So you quit Farfetch?", speaker="Jon", at="2026-03-13", session="chat", origin=Origin.imported("chat.txt"))
    ana.add("Yes, two months ago.", speaker="Ana", at="2026-03-13", session="chat")
    assert ana.ask("When did I quit Farfetch?").short.startswith("around January 2026")


def test_a_web_page_that_speaks_of_the_question_is_quoted_before_a_message_that_does_not(ana: ScopedMemory) -> None:
    ana.add({"role": "tool", "name": "browser", "content": "The ferry costs 3 euros."}, at="2026-05-05", session="s")
    ana.add("My bike is a Tribecca.", at="2026-05-05", session="s")
    assert "3 euros" in ana.ask("What does the ferry cost?").text


@pytest.mark.parametrize(
    ("told", "home"),
    [
        ("I don't live in Ghent any more, I live in Oslo now.", "Oslo"),
        ("I no longer live in Ghent because I moved to Oslo.", "Oslo"),
        ("We moved from Ghent to Oslo last week.", "Oslo"),
        ("I moved out of Ghent.", None),
        ("I'm not living in Ghent any longer.", None),
    ],
)
def test_what_came_after_an_end_is_heard(ana: ScopedMemory, told: str, home: str | None) -> None:
    ana.add("I live in Ghent.", at="2026-01-05")
    ana.add(told, at="2026-02-05")
    assert [r.attrs["value"] for r in ana.records(kind="profile") if r.attrs["slot"] == "home"] == ([home] if home else [])


def test_each_allergy_of_a_list_can_be_taken_back_alone(ana: ScopedMemory) -> None:
    ana.add("I'm allergic to walnuts, kiwi and wasps.", at="2026-01-05")
    ana.add("I'm not allergic to walnuts.", at="2026-02-05")
    assert [r.attrs["value"] for r in ana.records(kind="profile")] == ["kiwi", "wasps"]
    assert "kiwi" in ana.ask("Any ideas for dinner?").text


@pytest.mark.parametrize("told", ["I'm lactose intolerant.", "I have celiac disease.", "I eat halal.", "I'm deathly allergic to shrimp."])
def test_conditions_bind_advice(ana: ScopedMemory, told: str) -> None:
    ana.add(told, at="2026-01-05")
    assert any(item.flag for item in ana.recall("What's a good place for brunch? Find me a restaurant").items)


def test_a_question_about_somebody_who_never_came_up_is_not_answered_with_somebody_else(ana: ScopedMemory) -> None:
    ana.add("I live in Ghent.", speaker="Ana", at="2026-01-05")
    assert not ana.ask("Where does Bo live?").verdict.accept


def test_an_untrusted_file_does_not_take_over_the_users_own_slots(memory: Memory, ana: ScopedMemory) -> None:
    other = memory.scope(user="x")
    other.add("I'm allergic to peanuts.", speaker="X", at="2020-01-01")
    ana.restore(list(other.export()), trusted=False)
    ana.add("I'm allergic to peanuts.", speaker="Ana", at="2026-01-01")
    assert "Ana is allergic to peanuts" in ana.recall("Recommend a restaurant.").text


def test_a_question_is_not_answered_with_itself(ana: ScopedMemory) -> None:
    ana.add("What is my cat called?", at="2026-05-02")
    answer = ana.ask("What is my cat called?")
    assert answer.abstained and not answer.verdict.accept
    ana.add("When does the shop open?", at="2026-05-03")
    assert "3 May 2026" not in ana.ask("When does the shop open?").text
    ana.add("My cat is called Miso.")
    assert "Miso" in ana.ask("What is my cat called?").text
