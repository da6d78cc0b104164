"""The block in LlamaIndex's own `Memory`, the retriever, the tools for a model, and LlamaIndex's models as ours."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import ChatMessage, ChatResponse, MockFunctionCallingLLM, MockLLM
from llama_index.core.memory import InsertMethod
from llama_index.core.memory import Memory as LlamaMemory
from llama_index.core.schema import MetadataMode

from tierkeep import ChatModel, Embedder, Memory, Origin
from tierkeep.errors import ModelError, ModelReplyError, ScopeError
from tierkeep.protocols import ChatRequest
from tierkeep.testing.chat import SCHEMA, ChatModelContract
from tierkeep.testing.embedder import EmbedderContract
from tierkeep_llamaindex import LlamaIndexChat, LlamaIndexEmbedder, TierkeepMemory, TierkeepMemoryBlock, TierkeepRetriever

from .support import agent_of, texts

# ------------------------------------------------------------------------------------------------------------- the block


@asynccontextmanager
async def composed(memory: Memory, **more: Any) -> AsyncIterator[tuple[LlamaMemory, TierkeepMemoryBlock]]:
    """Give LlamaIndex's memory with our block, and close its store, which has no verb for that."""
    block = TierkeepMemoryBlock(memory=memory, user_id="ana", priority=1)
    theirs = LlamaMemory.from_defaults(session_id="s", memory_blocks=[block], insert_method=InsertMethod.USER, **more)
    yield theirs, block
    engine = theirs.sql_store._async_engine  # type: ignore[attr-defined]
    if engine is not None:
        await engine.dispose()


async def test_a_block_recalls_and_keeps_what_is_flushed_once(memory: Memory, kind: str) -> None:
    memory.scope(user="ana").add("My cat is called Miso.", session="earlier")
    async with composed(memory) as (theirs, block):
        agent, script = agent_of(kind, "Miso.")
        await agent.run("What is my cat called?", memory=theirs)
        assert "My cat is called Miso." in script.sent and len(texts(memory)) == 1
        for _ in range(2):
            await block.aflush(theirs)
            block.flush(theirs)
        assert texts(memory, session="s") == [("user", "What is my cat called?"), ("assistant", "Miso.")]
        theirs.put(ChatMessage(role="user", content="What is my cat called, again?"))
        assert "cat called?" not in str((await theirs.aget())[-1].blocks[0])


async def test_what_falls_out_of_the_queue_is_kept_too(memory: Memory) -> None:
    async with composed(memory, token_limit=60, token_flush_size=20) as (theirs, _):
        for number in range(10):
            await theirs.aput(ChatMessage(role="user", content=f"Shelf {number} holds {number} jars of plum jam."))
            await theirs.aput(ChatMessage(role="assistant", content=f"Noted {number}."))
        assert texts(memory, session="s")[:2] == [("user", "Shelf 0 holds 0 jars of plum jam."), ("assistant", "Noted 0.")]


async def test_a_block_is_shortened_and_not_dropped(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    for number in range(6):
        ana.add(f"Shelf {number} of the cellar holds {number} jars of plum jam.", session="earlier")
    async with composed(memory) as (_, block):
        whole = await block.aget([ChatMessage(role="user", content="How many jars of jam are on the shelf?")], session_id="s")
        shorter = await block.atruncate(whole, 40)
        assert shorter is not None and 0 < len(shorter) < len(whole) and shorter.startswith("<memory-") and shorter.count("<memory-") == 1
        assert await block.atruncate(whole, 10_000) is None and await block.atruncate("something else", 1) is None


async def test_a_block_needs_an_owner_and_survives_a_closed_memory(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "store")
    with pytest.raises(ScopeError):
        await TierkeepMemoryBlock(memory=memory).aget([ChatMessage(role="user", content="Whose?")])
    async with composed(memory) as (theirs, block):
        memory.close()
        theirs.put(ChatMessage(role="user", content="Hello."))
        await block.aflush(theirs)
        assert [message.content for message in theirs.get()] == ["Hello."]


# ------------------------------------------------------------------------------------------------------------- retriever


async def test_a_retriever_gives_the_best_first_in_both_ways(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("My cat is called Miso.", id="cat")
    for number in range(5):
        ana.add(f"Shelf {number} holds a cat basket.", role="tool", origin=Origin.web())
    memory.scope(user="bo").add("My cat is called Tiger.")
    retriever = TierkeepRetriever(ana, similarity_top_k=2)
    found = retriever.retrieve("What is my cat called?")
    assert found == await retriever.aretrieve("What is my cat called?") and len(found) == 2
    best = found[0]
    assert "Miso" in best.text and best.node.metadata["sources"] == ["cat"] and best.score and best.score >= (found[1].score or 0)
    assert best.node.get_content(MetadataMode.LLM) == best.text == "user: My cat is called Miso."
    shelf = TierkeepRetriever(ana, similarity_top_k=9).retrieve("Which shelf holds a basket?")[0]
    assert "(web, unverified)" in shelf.text and shelf.node.metadata["authority"] == "DATA"


def test_a_retriever_over_a_closed_memory_finds_nothing(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "store")
    retriever = TierkeepRetriever(memory.scope(user="ana"))
    memory.close()
    assert retriever.retrieve("Anything?") == [] == retriever.retrieve(" ")


# ---------------------------------------------------------------------------------------------------- tools for a model


async def test_a_model_recalls_stores_and_forgets_its_own_users_memory(memory: Memory, mine: TierkeepMemory) -> None:
    memory.scope(user="bo").add("My cat is called Tiger.", id="bos")
    tools = {tool.metadata.name: tool for tool in mine.as_tool_spec().to_tool_list()}
    assert list(tools) == ["memory_recall", "memory_store", "memory_forget"]
    assert list(tools["memory_recall"].metadata.get_parameters_dict()["properties"]) == ["query"]
    stored = json.loads((await tools["memory_store"].acall(text="Ana's cat is called Miso.")).content)
    assert len(stored["ids"]) == 1
    found = json.loads(tools["memory_recall"].call(query="What is the cat called?").content)
    assert found == json.loads((await tools["memory_recall"].acall(query="What is the cat called?")).content)
    assert [one["id"] for one in found["memories"]] == stored["ids"] and "Tiger" not in str(found)
    assert json.loads((await tools["memory_forget"].acall(ids=["bos"])).content)["forgotten"] == 0
    assert json.loads(tools["memory_forget"].call(ids=stored["ids"]).content)["forgotten"] == 1
    assert json.loads(tools["memory_recall"].call(query=" ").content)["memories"] == []
    assert texts(memory) == [] and len(texts(memory, "bo")) == 1


async def test_the_tools_do_not_block_the_loop(mine: TierkeepMemory) -> None:
    tools = mine.as_tool_spec().to_tool_list()
    assert all(asyncio.iscoroutinefunction(tool.async_fn) for tool in tools)
    assert [tool.real_fn.__name__ for tool in tools] == ["memory_recall", "memory_store", "memory_forget"]


# ----------------------------------------------------------------------------------------------------------------- models


def llm_that(says: Any, **usage: int) -> MockFunctionCallingLLM:
    class Talking(MockFunctionCallingLLM):
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            said = says(messages, **kwargs)
            return ChatResponse(message=ChatMessage(role="assistant", content=said), additional_kwargs=usage)

    return Talking(is_chat_model=True)


class TestChatContract(ChatModelContract):
    def make_chat(self) -> ChatModel:
        return LlamaIndexChat(llm_that(lambda messages: 'Here: {"answer": "Paris", "needs_more": false}'))

    def make_broken_chat(self) -> ChatModel:
        def fail(messages: Any) -> str:
            raise ConnectionError("nobody there")

        return LlamaIndexChat(llm_that(fail))


def test_a_chat_model_counts_asks_and_waits_no_longer_than_it_may() -> None:
    asked: list[tuple[str, str]] = []

    def say(messages: list[ChatMessage], **kwargs: Any) -> str:
        asked.extend((message.role.value, message.content or "") for message in messages)
        assert kwargs == {"temperature": 0.0}
        return "no object"

    chat = LlamaIndexChat(llm_that(say, prompt_tokens=7, completion_tokens=2), extra={"temperature": 0.0})
    reply = chat.complete(ChatRequest("answer", "Be brief.", "Hello?"))
    assert reply[2:4] == (7, 2) and asked == [("system", "Be brief."), ("user", "Hello?")]
    with pytest.raises(ModelReplyError, match="holds no JSON object"):
        chat.complete(ChatRequest("answer", "Be brief.", "Hello?", schema=SCHEMA))
    assert json.dumps(SCHEMA) in asked[2][1]
    with pytest.raises(ModelError, match=r"more than 0\.05 seconds"):
        LlamaIndexChat(llm_that(lambda messages: time.sleep(0.3) or "late")).complete(ChatRequest("answer", "", "Hello?", timeout_s=0.05))


def test_an_llm_without_chat_works_too() -> None:
    assert "Hello?" in LlamaIndexChat(MockLLM()).complete(ChatRequest("answer", "Be brief.", "Hello?")).text


class Hashing(BaseEmbedding):
    """Words fall into buckets; questions have a mark of their own."""

    def _vector(self, text: str) -> list[float]:
        row = [0.01] * 64
        for word in text.lower().split()[:500]:
            row[hashlib.sha256(word.encode()).digest()[0] % 64] += 1.0
        return row

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._vector(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._vector(f"question {query}")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class TestEmbedderContract(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return LlamaIndexEmbedder(Hashing(model_name="hashing"))


def test_an_embedder_knows_its_model_and_its_errors() -> None:
    class Broken(Hashing):
        def _get_text_embedding(self, text: str) -> list[float]:
            raise RuntimeError("out of memory")

    assert LlamaIndexEmbedder(Hashing(), name="mine").identity == "llama-index/base_component/mine/64/unit"
    with pytest.raises(ModelError, match="out of memory"):
        LlamaIndexEmbedder(Broken())


def test_their_models_serve_a_memory(tmp_path: Path) -> None:
    chat = LlamaIndexChat(llm_that(lambda messages: "no idea"))
    with Memory.open(tmp_path, embedder=LlamaIndexEmbedder(Hashing()), chat=chat) as memory:
        ana = memory.scope(user="ana")
        ana.add("My cat is called Miso.")
        assert memory.settle(10) and "Miso" in ana.recall("What is my cat called?").text
