"""Any smolagents model is a `ChatModel`, held to the contract of all."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from smolagents import ChatMessage, MessageRole, OpenAIModel

from tierkeep import Memory
from tierkeep.errors import InputError, ModelError, ModelReplyError, SettingsError
from tierkeep.protocols import ChatModel, ChatRequest
from tierkeep.testing.chat import SCHEMA, ChatModelContract
from tierkeep.testing.openai_server import OpenAIServer
from tierkeep_smolagents import SmolagentsChat

from .conftest import Scripted

ASKED = ChatRequest("answer", "Answer briefly.", "What is the capital of France?")
FITS = '{"answer": "Paris", "needs_more": false}'


class TestContract(ChatModelContract):
    def make_chat(self) -> ChatModel:
        def reply(prompt: str) -> str:
            return FITS if "JSON schema" in prompt else "Paris"

        return SmolagentsChat(Scripted([reply]))

    def make_broken_chat(self) -> ChatModel:
        return SmolagentsChat(Scripted([ConnectionError("refused")]))


class TestContractOfOneThatTalksNonsense(TestContract):
    def make_broken_chat(self) -> ChatModel:
        return SmolagentsChat(Scripted(["Paris, I would say."]))


def test_an_object_is_asked_for_in_both_ways() -> None:
    model = Scripted([FITS])
    reply = SmolagentsChat(model).complete(ASKED._replace(schema=SCHEMA))
    assert reply.data == {"answer": "Paris", "needs_more": False}
    assert model.sent[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert '"needs_more"' in model.prompts[0]
    assert (model.sent[0]["temperature"], model.sent[0]["max_tokens"]) == (0.0, 512)
    assert (reply.tokens_in, reply.tokens_out) == (len(model.prompts[0]), 5)


@pytest.mark.parametrize(
    ("refusal", "option"),
    [
        ("Transformers does not support structured outputs", "response_format"),
        ("`temperature` has to be strictly positive", "temperature"),
        ("use max_completion_tokens instead of max_tokens", "max_tokens"),
    ],
)
def test_what_a_model_refuses_is_not_sent_again(refusal: str, option: str) -> None:
    model = Scripted([ValueError(refusal), FITS, FITS])
    chat = SmolagentsChat(model)
    for _ in range(2):
        assert chat.complete(ASKED._replace(schema=SCHEMA)).data is not None
    assert [bool(option in sent and sent[option] is not None) for sent in model.sent] == [True, False, False]


def test_a_reply_that_was_cut_off_is_an_error() -> None:
    class Cut(Scripted):
        def generate(self, *args: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(MessageRole.ASSISTANT, "Par", raw=SimpleNamespace(choices=[SimpleNamespace(finish_reason="length")]))

    with pytest.raises(ModelReplyError, match="max_tokens=512"):
        SmolagentsChat(Cut()).complete(ASKED)


def test_a_slow_model_is_not_waited_for() -> None:
    done = threading.Event()
    chat = SmolagentsChat(Scripted([lambda _: done.wait(20) and "late"]))
    with pytest.raises(ModelError, match=r"more than 0\.05 seconds"):
        chat.complete(ASKED._replace(timeout_s=0.05))
    done.set()


@pytest.mark.parametrize("line", [lambda _: None, lambda _: [{"type": "text", "text": "Paris"}]], ids=["nothing", "parts"])
def test_whatever_the_content_is_the_reply_has_a_text(line: Any) -> None:
    assert SmolagentsChat(Scripted([line])).complete(ASKED).text in ("", "Paris")


def test_what_is_no_model_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="smolagents Model"):
        SmolagentsChat("gpt")  # type: ignore[arg-type]


def test_a_schema_that_is_none_is_the_callers_mistake() -> None:
    with pytest.raises(InputError):
        SmolagentsChat(Scripted([])).complete(ASKED._replace(schema={"type": "nonsense"}))


def test_a_client_of_the_library_against_a_server() -> None:
    with OpenAIServer(["Paris", FITS]) as server:
        chat = SmolagentsChat(OpenAIModel("some", api_base=server.base_url, api_key="none"))
        assert chat.complete(ASKED).text == "Paris"
        reply = chat.complete(ASKED._replace(schema=SCHEMA))
        assert reply.data == {"answer": "Paris", "needs_more": False}
        assert reply.tokens_in > 0
        assert chat.name == "smolagents/some"


def test_a_memory_works_with_it() -> None:
    chat = SmolagentsChat(Scripted([lambda _: "no object"] * 9))
    with Memory.open(":memory:", chat=chat, derive="on_request") as memory:
        owner = memory.scope(user="ana")
        owner.add("I moved to Lisbon in May.", at="2026-05-02")
        assert "Lisbon" in owner.ask("Where do I live?").text  # the rules answer for a model that keeps no form
