from __future__ import annotations

import pytest

from tierkeep.errors import ModelError, ModelReplyError
from tierkeep.models.doubles import HashEmbedder, ScriptedChat
from tierkeep.protocols import ChatModel, ChatRequest, Embedder
from tierkeep.testing.chat import SCHEMA, ChatModelContract
from tierkeep.testing.embedder import EmbedderContract


class TestHashEmbedder(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return HashEmbedder(64)

    def test_shared_words_are_nearer(self) -> None:
        kettle, also, tractor = HashEmbedder().embed(["the kettle boils", "a kettle that boils over", "yellow tractors"])
        assert kettle @ also > kettle @ tractor


class TestScriptedChat(ChatModelContract):
    def make_chat(self) -> ChatModel:
        return ScriptedChat(lambda request: {"answer": "Paris", "needs_more": False} if request.schema else "Paris")

    def make_broken_chat(self) -> ChatModel:
        return ScriptedChat([ModelError("the server is down")])


def request(skill: str = "answer", **more: object) -> ChatRequest:
    return ChatRequest(skill, "system", "user", **more)  # type: ignore[arg-type]


def test_replies_in_order_then_fails_loudly() -> None:
    chat = ScriptedChat(["one", "two"])
    assert [chat.complete(request()).text, chat.complete(request("judge")).text] == ["one", "two"]
    with pytest.raises(ModelError, match=r"number 3 .skill 'scan'"):
        chat.complete(request("scan"))
    assert [made.skill for made in chat.requests] == ["answer", "judge", "scan"]


@pytest.mark.parametrize("reply", ["no json", "[1, 2]", {"answer": "x"}])
def test_a_reply_that_does_not_fit_is_an_error(reply: object) -> None:
    with pytest.raises(ModelReplyError) as caught:
        ScriptedChat([reply]).complete(request(schema=SCHEMA))  # type: ignore[list-item]
    assert caught.value.reply


def test_the_contracts_can_fail() -> None:
    class Broken(HashEmbedder):
        def embed(self, texts):  # type: ignore[no-untyped-def]
            return super().embed(texts) * 2

    class Contract(EmbedderContract):
        def make_embedder(self) -> Embedder:
            return Broken()

    with pytest.raises(AssertionError):
        Contract().test_rows_are_finite_unit_vectors()
