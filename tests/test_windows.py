"""What a model has seen in a run, and what becomes of a tool's result."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from tierkeep import Authority, Memory, Message, Origin
from tierkeep.turns import UNKNOWN, Turns
from tierkeep.windows import Window, plain_arguments, text_of


@pytest.fixture
def turns(memory: Memory) -> Turns:
    return Turns(memory)


def window(turns: Turns, memory: Memory, request: str = "", user: str = "ana", **how: Any) -> Window:
    return Window(turns, memory.scope(user=user), request, **how)


def test_the_request_counts_as_seen_in_the_next_run_only(turns: Turns, memory: Memory) -> None:
    held: list[str] = []
    one = window(turns, memory, "Hello.", held=held)
    (asked,) = one.keep(Message(text="Hello."))
    (brought,) = one.keep(Message(text="Ten to six.", role="tool", speaker="visit"))
    assert one.ids == [brought]
    assert held == [asked, brought]
    assert window(turns, memory, held=held).ids == held


def test_evidence_is_seen_and_the_answer_rests_on_it(turns: Turns, memory: Memory) -> None:
    (id_,) = memory.scope(user="ana").add("A cat called Miso won.", role="tool", origin=Origin.web()).ids
    one = window(turns, memory)
    one.recall("What is my cat called?")
    one.bring("visit", {"hours": "ten to six"})
    one.keep(Message(text="Miso.", role="assistant"))
    *_, page, answer = memory.scope(user="ana").events()
    assert one.ids == [id_, page.id, answer.id]
    assert set(answer.parents) == {id_, page.id}
    assert (page.text, page.speaker, page.authority) == ('{"hours": "ten to six"}', "visit", Authority.DATA)


@pytest.mark.parametrize(("result", "seen"), [(None, []), ("", []), (memoryview(b"picture"), [UNKNOWN]),
                                              (np.arange(3), [UNKNOWN])], ids=["none", "blank", "picture", "array"])  # fmt: skip
def test_what_nobody_can_keep_as_a_text_is_unknown(turns: Turns, memory: Memory, result: Any, seen: list[str]) -> None:
    one = window(turns, memory)
    one.bring("visit", result)
    assert one.ids == seen


def test_what_could_not_be_kept_is_unknown(memory: Memory) -> None:
    one = window(Turns(memory, keep=("user",)), memory)
    one.bring("visit", "Ten to six.")
    assert one.ids == [UNKNOWN]


def test_what_the_recall_tool_found_is_known_and_not_kept(turns: Turns, memory: Memory) -> None:
    one = window(turns, memory)
    one.bring("memory_recall", {"memories": [{"id": "1", "text": "user: My cat is called Miso."}], "note": ""})
    assert one.ids == [UNKNOWN]
    assert one.news("Found user: My cat is called Miso.\nand more") == "and more"
    assert list(memory.scope(user="ana").events()) == []


def test_who_called_an_agent_has_seen_what_it_saw(turns: Turns, memory: Memory) -> None:
    above = window(turns, memory, "Look it up.")
    above.bring("visit", "Ten to six.")
    below = window(turns, memory, above.request, caller=above)
    assert below.ids == above.ids
    below.bring("visit", "Closed on Mondays.")
    assert above.ids == below.ids
    other = window(turns, memory, user="bo", caller=above)
    assert other.ids == [UNKNOWN]
    assert above.ids[-1] == UNKNOWN


def test_check_asks_about_all_that_was_seen(turns: Turns, memory: Memory) -> None:
    one = window(turns, memory, "Mail bo@example.org")
    assert one.check("send", {"to": "bo@example.org"})
    assert one.check("send", {"to": "cy@example.org"}).reasons == ("context_trusted",)
    one.bring("visit", "Ten to six.")
    assert one.check("send", {"to": "bo@example.org"})
    assert one.check("send", {"to": "cy@example.org"}).reasons == ("context_untrusted",)


def test_only_plain_values_reach_the_gate(turns: Turns, memory: Memory) -> None:
    class Two(str):
        def __str__(self) -> str:
            return "bo@example.org"

    assert plain_arguments({"to": ("a", {"b"}), "n": 1.5, "d": {"k": None}}) == {"to": ["a", ["b"]], "n": 1.5, "d": {"k": None}}
    one = window(turns, memory, "Mail bo@example.org")
    for value in (Two("thief@evil.example"), [Two("x")], {Two("x"): 1}, OrderedDict(to="x"), object(), float("nan")):
        assert one.check("send", {"to": value}).reasons == ("unusable",)


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (12, "12"), (None, ""), ({"a": ["ä"]}, '{"a": ["ä"]}'), ([Origin], f'["{Origin}"]'),
                     ({(1, 2): 3}, "{(1, 2): 3}")],
    ids=["text", "number", "none", "object", "anything", "pairs"],
)
def test_results_as_texts(value: Any, text: str) -> None:
    assert text_of(value) == text
