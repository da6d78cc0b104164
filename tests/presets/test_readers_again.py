"""A re-ranker and a sifter through the front door."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tierkeep import Memory
from tierkeep.allowance import Allowance
from tierkeep.errors import ModelError, SettingsError
from tierkeep.models.chat_reranker import ChatReranker
from tierkeep.models.doubles import ScriptedChat
from tierkeep.scoped import ScopedMemory

BOATS = ("The boat is red.", "The boat was built in Bilbao by a man called Ander.", "The boat needs paint.", "It lies in the boat harbour.")


class Prefers:
    """A re-ranker that likes one word."""

    name = "prefers"

    def __init__(self, word: str) -> None:
        self.word = word
        self.seen: list[str] = []

    def rerank(self, question: str, texts: Sequence[str], allowance: Allowance) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        self.seen += texts
        if self.word == "fail":
            raise ModelError("down")
        return np.asarray([self.word in text for text in texts], np.float32)


def boats(memory: Memory) -> ScopedMemory:
    mine = memory.scope(user="ana")
    for number, text in enumerate(BOATS):
        mine.add(text, speaker="Ana", at=f"2026-05-0{number + 1}", session=f"s{number}")
    return mine


def best(mine: ScopedMemory, question: str = "What about the boat?") -> str:
    return max(mine.recall(question, budget=400).items, key=lambda item: item.score).text


@pytest.mark.parametrize("word", ["paint", "harbour"])
def test_a_reranker_has_its_share_of_the_order(word: str) -> None:
    reranker = Prefers(word)
    with Memory.open(":memory:", reranker=reranker) as memory:
        assert memory.describe()["reranker"] == "prefers"
        assert word in best(boats(memory)) and len(reranker.seen) == len(BOATS)


def test_a_reranker_that_fails_leaves_the_searchs_order_and_a_note() -> None:
    with Memory.open(":memory:") as plain, Memory.open(":memory:", reranker=Prefers("fail")) as memory:
        evidence = boats(memory).recall("What about the boat?", budget=400)
        assert "not re-ranked" in evidence.note
        words = boats(plain).recall("What about the boat?", budget=400)
        assert [item.text for item in evidence.items] == [item.text for item in words.items]


def test_a_chat_model_reranks_where_no_other_model_is_asked() -> None:
    chat = ScriptedChat(lambda request: {"ranking": [2]}, name="small")
    with Memory.open(":memory:", reranker=ChatReranker(chat)) as memory:
        mine = boats(memory)
        answer = mine.ask("What about the boat?", budget=400)
        assert answer.usage.calls["rank"] >= 1 and len(chat.requests) == answer.usage.calls["rank"]


def test_a_sifter_chooses_conversations_and_is_paid_for() -> None:
    chat = ScriptedChat(lambda request: {"reasoning": "harbour", "ranking": [0]}, name="small")
    with Memory.open(":memory:", sifter=chat) as memory:
        mine = boats(memory)
        mine.add(["The boat race is on Sunday.", "A boat trip costs ten."], at="2026-05-09", session="s8")
        mine.add("Her boat shoes are wet.", at="2026-05-10", session="s9")
        evidence = mine.recall("What about the boat?", budget=400)
        assert evidence.usage.calls == {"rank": 1}
        assert len({item.session for item in evidence.items}) == 5


@pytest.mark.parametrize("part", ["reranker", "sifter"])
def test_what_cannot_do_the_work_is_refused_at_the_door(part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        Memory.open(":memory:", **{part: object()})  # type: ignore[arg-type]
