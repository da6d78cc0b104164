"""The compatibility half: old chains and message histories run unchanged, and their warnings are theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

import tierkeep
import tierkeep_langchain
from tierkeep import Memory
from tierkeep.errors import InputError, ScopeError

# What is deprecated is LangChain's own and is what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory.open(":memory:") as memory:
        yield memory


def classic(memory: Memory, **how: Any) -> Any:
    from tierkeep_langchain.classic import TierkeepMemory

    return TierkeepMemory(memory, **{"user": "ann", "session": "s1", **how})


# ------------------------------------------------------------------------------------------------------------- the memory


def test_a_conversation_chain_remembers_across_sessions(memory: Memory) -> None:
    from langchain_classic.chains import ConversationChain

    prompts: list[str] = []

    class Model(FakeListChatModel):
        """Keeps its prompts."""

        def _call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
            prompts.append(messages[-1].text)
            return super()._call(messages, *args, **kwargs)

    model = Model(responses=["Nice.", "A cat.", "Tom."])
    with pytest.warns(DeprecationWarning, match="ConversationChain"):  # LangChain shows it whatever the filters say
        first = ConversationChain(llm=model, memory=classic(memory))
    first.invoke({"input": "I have a cat called Tom."})
    first.invoke({"input": "What have I?"})
    assert "Human: I have a cat called Tom.\nAI: Nice." in prompts[1]
    assert "<memory" not in prompts[1]  # what the prompt shows already is not recalled once more
    second = ConversationChain(llm=model, memory=classic(memory, session="s2"))
    assert second.invoke({"input": "What is my cat called?"})["response"] == "Tom."
    assert "<memory" in prompts[2] and "cat called Tom" in prompts[2]
    assert [event.text for event in memory.scope(user="ann").events("s2")] == ["What is my cat called?", "Tom."]


def test_messages_keys_and_the_newest(memory: Memory) -> None:
    one = classic(memory, memory_key="past", input_key="q", output_key="a", return_messages=True, newest=2)
    assert one.memory_variables == ["past"]
    for number in range(3):
        one.save_context({"q": f"question {number}", "k": 1}, {"a": f"answer {number}", "source": 2})
    shown = one.load_memory_variables({"q": "what was answer 0?", "k": 1})["past"]
    assert [type(message) for message in shown[-2:]] == [HumanMessage, AIMessage]
    assert [message.text for message in shown[-2:]] == ["question 2", "answer 2"]
    assert "answer 0" in shown[0].text
    assert classic(memory, newest=0).load_memory_variables({"input": "zzz"}) == {"history": ""}
    one.clear()
    assert one.load_memory_variables({"q": "what was answer 0?"}) == {"past": []}


def test_what_is_not_clear_is_said(memory: Memory) -> None:
    with pytest.raises(InputError, match="input_key"):
        classic(memory).save_context({"a": "x", "b": "y"}, {"c": "z"})
    with pytest.raises(ScopeError):
        classic(memory, user="")


async def test_async_halves_of_the_memory(memory: Memory) -> None:
    one = classic(memory)
    await one.asave_context({"input": "I like tea."}, {"response": "Good."})
    assert "I like tea." in (await one.aload_memory_variables({"input": "what?"}))["history"]
    await one.aclear()
    assert await one.aload_memory_variables({}) == {"history": ""}


def test_a_memory_that_is_closed_does_not_keep_and_says_so(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    one = classic(memory)
    memory.close()
    one.save_context({"input": "hello"}, {"response": "hi"})
    assert "was not kept" in caplog.text


# ------------------------------------------------------------------------------------------------------------ the history


def test_runnable_with_message_history(memory: Memory) -> None:
    from langchain_core.runnables.history import RunnableWithMessageHistory

    from tierkeep_langchain.history import TierkeepChatHistory

    prompts: list[list[str]] = []

    class Model(GenericFakeChatModel):
        """Keeps its prompts."""

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            prompts.append([message.text for message in messages])
            return super()._generate(messages, *args, **kwargs)

    chain = RunnableWithMessageHistory(
        Model(messages=iter([AIMessage("Nice."), AIMessage("Tom.")])),
        lambda session_id: TierkeepChatHistory(memory.scope(user="ann", session=session_id)),
    )
    config: Any = {"configurable": {"session_id": "s1"}}
    chain.invoke([HumanMessage("My cat is Tom.")], config)
    chain.invoke([HumanMessage("What is my cat called?")], config)
    assert prompts[1] == ["My cat is Tom.", "Nice.", "What is my cat called?"]
    assert [message.text for message in TierkeepChatHistory(memory.scope(user="ann", session="s1")).messages] == [*prompts[1], "Tom."]
    assert "Tom" in memory.scope(user="ann").recall("What is the cat called?").text


async def test_a_history_keeps_texts_once(memory: Memory) -> None:
    from tierkeep_langchain.history import TierkeepChatHistory

    history = TierkeepChatHistory(memory.scope(user="ann", session="s1"))
    call = AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "1", "type": "tool_call"}])
    said = [HumanMessage("one", id="h1", name="Ann"), call, ToolMessage("result", tool_call_id="1"), AIMessage("two", id="a1")]
    await history.aadd_messages(said)
    history.add_messages([said[0]])
    history.add_messages([call])
    assert await history.aget_messages() == [said[0], said[3]]
    await history.aclear()
    assert history.messages == []
    with pytest.raises(ScopeError, match="one conversation"):
        TierkeepChatHistory(memory.scope(user="ann"))


def test_nothing_old_is_imported_unless_it_is_used() -> None:
    code = "import sys, tierkeep_langchain, tierkeep_langchain.store, tierkeep_langchain.models, tierkeep_langchain.history\n" \
           "assert not any(name.startswith('langchain_classic') for name in sys.modules)"
    sources = os.pathsep.join(str(Path(str(module.__file__)).parents[1]) for module in (tierkeep, tierkeep_langchain))
    subprocess.run([sys.executable, "-W", "error", "-c", code], env={**os.environ, "PYTHONPATH": sources}, check=True, timeout=120)
