"""A running conversation: ids that are the same in every process, one recall a turn, results kept at once, a gate that knows them."""

from __future__ import annotations

from collections import Counter

import pytest

from tierkeep import Memory, Message, Origin
from tierkeep.conversation import Conversation, fitting, with_ids
from tierkeep.turns import UNKNOWN, Turns


def reaching(memory: Memory, session: str = "s") -> Conversation:
    turns = Turns(memory)
    return Conversation(session, lambda name: (turns, turns.owner(None, session=name, user="ana")))


def stored(memory: Memory) -> list[str]:
    return [event.text for event in memory.scope(user="ana").events()]


def test_the_nth_saying_of_a_text_has_one_id(memory: Memory) -> None:
    said = [Message(text="Yes."), Message(text="No."), Message(text="Yes.")]
    first = [one.id for one in with_ids(said, "s", Counter())]
    assert first == [one.id for one in with_ids(said, "s", Counter())] and len(set(first)) == 3
    assert not set(first) & {one.id for one in with_ids(said, "other", Counter())}
    talk = reaching(memory)
    talk.load()
    assert list(talk.keep(said)) == first
    again = reaching(memory)
    assert [event.text for event in again.load()] == stored(memory) == ["Yes.", "No.", "Yes."] and again.load() == []
    assert list(again.keep(said, Counter())) == first and again.keep(said[:1])[0] not in first
    assert stored(memory) == ["Yes.", "No.", "Yes.", "Yes."]


def test_a_conversation_begun_anew_stays_new(memory: Memory) -> None:
    talk = reaching(memory)
    talk.load()
    talk.keep([Message(text="Old.")])
    assert (talk.restart(), talk.restart()) == ("s#2", "s#2")
    talk.keep([Message(text="New.")])
    assert [event.text for event in reaching(memory).load()] == ["New."]


def test_a_result_is_kept_once_and_the_answer_rests_on_it(memory: Memory) -> None:
    talk = reaching(memory)
    talk.begin("Find a plumber.")
    talk.returned("search", "Bo, ACCT-6660")
    (result,) = talk.keep([Message(text="Bo, ACCT-6660", role="tool", speaker="search")])
    (answer,) = talk.keep([Message(text="It is Bo.", role="assistant")])
    assert stored(memory) == ["Bo, ACCT-6660", "It is Bo."]
    assert list(memory.scope(user="ana").events())[1].parents == (result,) and answer != result
    decision = talk.gate([answer])("pay", {"account": "ACCT-6660"})
    assert not decision and decision.findings[0].reason == "untrusted_support"
    talk.begin("Pay ACCT-6660.")
    assert talk.gate([answer])("pay", {"account": "ACCT-6660"})


@pytest.mark.parametrize("text", [None, "refused"], ids=["failed", "refusal"])
def test_what_is_nobodys_memory_is_not_kept(memory: Memory, text: str | None) -> None:
    talk = reaching(memory)
    talk.begin("Set the usual.")
    talk.returned("tool", text, keep=False)
    assert stored(memory) == [] and bool(talk.gate([])("set", {"to": "warm"})) is (text is not None)


def test_a_question_may_be_expected(memory: Memory) -> None:
    memory.scope(user="ana").add("My cat is called Miso.", session="earlier")
    talk = reaching(memory)
    talk.begin("Hello.")
    ahead = talk.expect("What is my cat called?")
    evidence = talk.recall(ahead, [])
    assert evidence and talk.expect("Hello.") is talk.turn is talk.expect(" ") and talk.turn is not ahead
    talk.begin("What is my cat called?")
    assert talk.turn is ahead and talk.recall(talk.turn, []) is evidence
    talk.begin("Hello again.")
    assert talk.turn.evidence is None


def test_without_its_memory_it_works_on_and_refuses() -> None:
    talk = Conversation("s", lambda name: None)
    assert talk.load() == []
    talk.begin("Pay ACCT-1.")
    assert talk.keep([Message(text="Pay ACCT-1.")]) == (UNKNOWN,)
    assert not talk.recall(talk.turn, []) and not talk.gate([])("pay", {"account": "ACCT-1"})


def test_what_a_tool_has_shown_stands_behind_what_follows(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    page = ana.add("Bo's account is ACCT-6660.", role="tool", origin=Origin.web(), session="earlier").ids[0]
    talk = reaching(memory)
    talk.show(ana.recall("What is Bo's account?"))
    talk.keep([Message(text="He has one.", role="assistant")])
    assert page in list(ana.events())[-1].parents
    assert not talk.gate([])("set", {"to": "warm"})


@pytest.mark.parametrize(
    ("sizes", "users", "limit", "first"),
    [
        ([1, 1, 1, 1], "u.u.", 4, 0),
        ([1, 1, 1, 1], "u.u.", 3, 2),
        ([1, 1, 9, 9], "u.u.", 3, 2),
        ([], "", 3, 0),
        ([9, 9], "..", 3, 0),
        ([1, 1, 1, 1, 1, 1], "u.u.u.", 4, 2),
    ],
)  # fmt: skip
def test_the_newest_that_fits_begins_with_the_user(sizes: list[int], users: str, limit: int, first: int) -> None:
    assert fitting([lambda size=size: size for size in sizes], [one == "u" for one in users], limit) == first  # type: ignore[misc]
