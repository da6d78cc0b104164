"""LangChain's models as ours: the shipped contracts on LangChain's own fakes, structured output, errors and time limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from tierkeep import Memory
from tierkeep.errors import ModelError, ModelReplyError, SettingsError
from tierkeep.protocols import ChatModel, ChatRequest, Embedder
from tierkeep.testing.chat import SCHEMA, ChatModelContract
from tierkeep.testing.embedder import EmbedderContract
from tierkeep_langchain.models import LangChainChat, LangChainEmbedder

FITS = '{"answer": "Paris", "needs_more": false}'
ASKED = ChatRequest("answer", "Be brief.", "Capital of France?")


class Fake(BaseChatModel):
    """Replies with what a function makes of the prompt; with tools when it `calls`."""

    say: Callable[[list[BaseMessage]], AIMessage]
    calls: bool = False
    model_name: str = "fake-1"
    tool: str = ""

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        if not self.calls:
            raise NotImplementedError
        return self.model_copy(update={"tool": tools[0]["title"]})

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = self.say(messages)
        if self.tool:
            import json

            message = AIMessage("", tool_calls=[{"name": self.tool, "args": json.loads(str(message.text)), "id": "1", "type": "tool_call"}])
        return ChatResult(generations=[ChatGeneration(message=message)])


def saying(text: str, **how: Any) -> Callable[[list[BaseMessage]], AIMessage]:
    return lambda messages: AIMessage(text, **how)


def failing(messages: list[BaseMessage]) -> AIMessage:
    raise ConnectionError("no route")


class TestByPrompt(ChatModelContract):
    def make_chat(self) -> ChatModel:
        return LangChainChat(Fake(say=saying(FITS)))

    def make_broken_chat(self) -> ChatModel:
        return LangChainChat(Fake(say=failing))


class TestWithTools(ChatModelContract):
    def make_chat(self) -> ChatModel:
        return LangChainChat(Fake(say=saying(FITS), calls=True))

    def make_broken_chat(self) -> ChatModel:
        return LangChainChat(Fake(say=failing, calls=True))


@pytest.mark.parametrize("calls", [True, False], ids=["tools", "prompt"])
def test_an_object_is_parsed_and_checked(calls: bool) -> None:
    reply = LangChainChat(Fake(say=saying(FITS), calls=calls)).complete(ASKED._replace(schema=SCHEMA))
    assert reply.data == {"answer": "Paris", "needs_more": False}
    with pytest.raises(ModelReplyError):
        LangChainChat(Fake(say=saying('{"answer": 1}'), calls=calls)).complete(ASKED._replace(schema=SCHEMA))


def test_the_prompt_is_system_and_user_and_usage_is_the_model_s() -> None:
    seen: list[list[BaseMessage]] = []

    def say(messages: list[BaseMessage]) -> AIMessage:
        seen.append(messages)
        return AIMessage("Paris", usage_metadata={"input_tokens": 31, "output_tokens": 7, "total_tokens": 38})

    chat = LangChainChat(Fake(say=say))
    reply = chat.complete(ASKED)
    assert (reply.text, reply.tokens_in, reply.tokens_out, chat.name) == ("Paris", 31, 7, "langchain/fake-1")
    assert [(message.type, message.text) for message in seen[0]] == [("system", "Be brief."), ("human", "Capital of France?")]


def test_time_limit_failure_and_cut() -> None:
    def slow(messages: list[BaseMessage]) -> AIMessage:
        time.sleep(0.5)
        return AIMessage("late")

    with pytest.raises(ModelError, match="took more than"):
        LangChainChat(Fake(say=slow)).complete(ASKED._replace(timeout_s=0.05))
    with pytest.raises(ModelError, match="ConnectionError"):
        LangChainChat(Fake(say=failing)).complete(ASKED)
    for end in ({"finish_reason": "length"}, {"stop_reason": "max_tokens"}):
        with pytest.raises(ModelReplyError, match="cut off"):
            LangChainChat(Fake(say=saying("half a", response_metadata=end))).complete(ASKED)


def test_what_is_no_chat_model_is_said() -> None:
    with pytest.raises(SettingsError, match="str"):
        LangChainChat("openai:gpt")  # type: ignore[arg-type]


class TestFakeEmbeddings(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return LangChainEmbedder(DeterministicFakeEmbedding(size=32))


class Two(Embeddings):
    """Embeds questions apart."""

    def __init__(self, rows: Callable[[list[str]], Any]) -> None:
        self.rows = rows
        self.model = "two-1"

    def embed_documents(self, texts: list[str]) -> Any:
        return self.rows(texts)

    def embed_query(self, text: str) -> Any:
        return [0.0, 2.0]


def test_rows_are_normalised_and_questions_are_asked_as_such() -> None:
    embedder = LangChainEmbedder(Two(lambda texts: [[3.0, 4.0]] * len(texts)))
    assert embedder.identity == "langchain/Two/two-1/2/unit"
    assert LangChainEmbedder(Two(lambda texts: [[3.0, 4.0]] * len(texts)), "mine").identity == "langchain/Two/mine/2/unit"
    assert np.allclose(embedder.embed(["a"]), [[0.6, 0.8]])
    assert np.allclose(embedder.embed_queries(["a"]), [[0.0, 1.0]])


@pytest.mark.parametrize("bad", [[[1.0]], [[float("nan"), 1.0]], [[0.0, 0.0]], [], "text"], ids=["short", "nan", "zero", "none", "text"])
def test_rows_that_are_no_vectors_are_a_model_error(bad: Any) -> None:
    replies: Iterator[Any] = iter([[[1.0, 1.0]], bad])
    embedder = LangChainEmbedder(Two(lambda texts: next(replies)))
    with pytest.raises(ModelError):
        embedder.embed(["a"])


def test_a_memory_works_with_both() -> None:
    def judge(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage("Ann lives in Lisbon.")

    embedder, chat = LangChainEmbedder(DeterministicFakeEmbedding(size=32)), LangChainChat(Fake(say=judge))
    with Memory.open(":memory:", chat=chat, embedder=embedder, derive="with_write") as memory:
        owner = memory.scope(user="ann")
        owner.add("I live in Lisbon.")
        described: Mapping[str, str] = memory.describe()
        assert (described["chat"], described["embedder"]) == ("langchain/fake-1", f"{embedder.identity}+redacted")
        assert "Lisbon" in owner.ask("Where do I live?").text
