"""The middleware in real agents: what the model sees, what is kept, whose it is, and that no memory breaks an agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from pydantic import BaseModel
from tests.langchain.conftest import Scripted, calls, shown

from tierkeep import Authority, Memory, Origin
from tierkeep.errors import ScopeError, SettingsError
from tierkeep.turns import GUIDANCE
from tierkeep_langchain import MemoryMiddleware, event_id, from_run

Run = Callable[..., dict[str, Any]]


def by_invoke(agent: Any, text: Any, **how: Any) -> dict[str, Any]:
    return agent.invoke({"messages": [HumanMessage(text)] if isinstance(text, (str, list)) else [text]}, **how)


def by_ainvoke(agent: Any, text: Any, **how: Any) -> dict[str, Any]:
    return asyncio.run(agent.ainvoke({"messages": [HumanMessage(text)] if isinstance(text, (str, list)) else [text]}, **how))


def by_stream(agent: Any, text: Any, **how: Any) -> dict[str, Any]:
    return list(agent.stream({"messages": [HumanMessage(text)]}, stream_mode="values", **how))[-1]


def by_astream(agent: Any, text: Any, **how: Any) -> dict[str, Any]:
    async def all_of_it() -> list[Any]:
        return [part async for part in agent.astream({"messages": [HumanMessage(text)]}, stream_mode="values", **how)]

    return asyncio.run(all_of_it())[-1]


EVERY_WAY = pytest.mark.parametrize("run", [by_invoke, by_ainvoke, by_stream, by_astream], ids=["invoke", "ainvoke", "stream", "astream"])


def thread(name: str, user: str = "ana") -> dict[str, Any]:
    return {"config": {"configurable": {"thread_id": name, "user_id": user}}}


def texts(memory: Memory, user: str = "ana") -> list[tuple[str, str]]:
    return [(event.role, event.text) for event in memory.scope(user=user).events()]


@tool
def weather(city: str) -> str:
    """Look up the weather."""
    return f"It rains in {city}."


# ------------------------------------------------------------------------------------------------- what the model sees


@EVERY_WAY
def test_what_was_said_in_one_thread_is_before_the_question_of_the_next(memory: Memory, run: Run) -> None:
    model = Scripted(steps=["Hello!", "Miso."])
    agent = create_agent(
        model, middleware=[MemoryMiddleware(memory, user=from_run("user_id"))], system_prompt="Be kind.", checkpointer=InMemorySaver()
    )
    run(agent, "My cat is called Miso.", **thread("one"))
    state = run(agent, "What is my cat called?", **thread("two"))
    system, asked = model.prompts[1]
    assert system.text == f"Be kind.\n\n{GUIDANCE}"
    assert "user: My cat is called Miso." in asked.text
    assert asked.text.startswith("<memory-") and asked.text.endswith(">\n\nWhat is my cat called?")
    assert [message.text for message in state["messages"]] == ["What is my cat called?", "Miso."]  # nothing of it stays in the thread
    assert state.get("memory_asked", [state["messages"][0].id]) == [state["messages"][0].id]  # a stream of values shows this: ids only


def test_without_evidence_the_prompt_is_the_users_and_the_system_prompt_the_same(memory: Memory) -> None:
    model = Scripted()
    agent = create_agent(model, middleware=[MemoryMiddleware(memory, user="ana")])
    by_invoke(agent, "Hi")
    assert shown(model.prompts[0]) == f"system: {GUIDANCE}\nhuman: Hi"


def test_no_guidance(memory: Memory) -> None:
    model = Scripted()
    by_invoke(create_agent(model, middleware=[MemoryMiddleware(memory, user="ana", guidance=False)]), "Hi")
    assert shown(model.prompts[0]) == "human: Hi"


@EVERY_WAY
def test_a_loop_of_tools_recalls_once_and_sees_one_text(memory: Memory, run: Run) -> None:
    memory.scope(user="ana").add("Ana lives in Lisbon.")

    def meanwhile(prompt: Any) -> AIMessage:
        memory.scope(user="ana").add("Ana lives in Porto now.")
        return calls(("weather", {"city": "Lisbon"}))

    model = Scripted(steps=[meanwhile, calls(("weather", {"city": "Porto"}), first=2), "Rain."])
    agent = create_agent(model, [weather], middleware=[MemoryMiddleware(memory, user="ana")])
    run(agent, "How is the weather where I live, in Lisbon?")
    fronts = [prompt[1].content for prompt in model.prompts]
    assert len(fronts) == 3 and len(set(fronts)) == 1 and "Ana lives in Lisbon" in fronts[0]
    assert "Porto now" not in fronts[0]
    by_invoke(agent, "How is the weather where I live, in Lisbon?")  # the next run asks anew
    assert "Porto now" in model.prompts[-1][1].text


def test_a_model_that_is_called_again_sees_the_same(memory: Memory) -> None:
    memory.scope(user="ana").add("My cat is called Miso.")

    def fails(prompt: Any) -> AIMessage:
        memory.scope(user="ana").add("My cat is called Mochi.")
        raise ConnectionError("down")

    model = Scripted(steps=[fails, "Miso."])
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    for middleware in ([retry, MemoryMiddleware(memory, user="ana")], [MemoryMiddleware(memory, user="ana"), retry]):
        model.steps, model.prompts = [fails, "Miso."], []
        by_invoke(create_agent(model, middleware=middleware), "What is my cat called?")
        assert len(model.prompts) == 2 and model.prompts[0][1].content == model.prompts[1][1].content


def test_a_regenerated_answer_does_not_show_what_was_forgotten(memory: Memory) -> None:
    ids = memory.scope(user="ana").add("My cat is called Miso.").ids
    model = Scripted()
    agent = create_agent(model, middleware=[MemoryMiddleware(memory, user="ana")])
    question = HumanMessage("What is my cat called?", id="q1")
    by_invoke(agent, question)
    memory.scope(user="ana").forget(ids=ids)
    by_invoke(agent, question)
    assert "Miso" in shown(model.prompts[0]) and "Miso" not in shown(model.prompts[1])


def test_pictures_and_cache_marks_stay(memory: Memory) -> None:
    memory.scope(user="ana").add("My cat is called Miso.")
    picture = {"type": "image", "url": "https://x.example/cat.png"}
    prompt = SystemMessage([{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}])
    model = Scripted()
    agent = create_agent(model, middleware=[MemoryMiddleware(memory, user="ana")], system_prompt=prompt)
    by_invoke(agent, [{"type": "text", "text": "What is my cat called?"}, picture])
    system, asked = model.prompts[0]
    assert system.content == [*prompt.content, {"type": "text", "text": GUIDANCE}]
    assert "Miso" in asked.content[0]["text"] and asked.content[1:] == [{"type": "text", "text": "What is my cat called?"}, picture]
    assert texts(memory)[-2:] == [("user", "What is my cat called?"), ("assistant", "ok")]


def test_what_stands_in_the_thread_is_not_repeated(memory: Memory) -> None:
    memory.scope(user="ana").add("My cat eats fish.")
    model = Scripted()
    agent = create_agent(model, middleware=[MemoryMiddleware(memory, user="ana")], checkpointer=InMemorySaver())
    by_invoke(agent, "My cat is called Miso.", **thread("one"))
    by_invoke(agent, "What is my cat called, and what does my cat eat?", **thread("one"))
    asked = model.prompts[-1][-1].text
    assert "eats fish" in asked and "called Miso" not in asked
    assert shown(model.prompts[-1]).count("called Miso") == 1


# --------------------------------------------------------------------------------------------------------- what is kept


@EVERY_WAY
def test_a_turn_is_kept_with_its_origins(memory: Memory, run: Run) -> None:
    model = Scripted(steps=[calls(("weather", {"city": "Lisbon"}), text="Let me look."), "It rains."])
    agent = create_agent(
        model,
        [weather],
        middleware=[MemoryMiddleware(memory, user="ana", origins={"weather": Origin.web("https://w.example")})],
        checkpointer=InMemorySaver(),
    )
    run(agent, "Weather in Lisbon?", **thread("t"))
    events = list(memory.scope(user="ana").events())
    assert [(event.role, event.text) for event in events] == [
        ("user", "Weather in Lisbon?"), ("assistant", "Let me look."), ("tool", "It rains in Lisbon."), ("assistant", "It rains."),
    ]  # fmt: skip
    assert [event.origin.source.value for event in events] == ["user_direct", "agent_inferred", "web", "agent_inferred"]
    assert [event.authority for event in events] == [Authority.ADVISE, Authority.DATA, Authority.DATA, Authority.DATA]
    assert {event.session for event in events} == {"t"}
    assert events[3].parents == (events[2].id,)


def test_nothing_twice_in_a_long_thread_with_new_objects(memory: Memory) -> None:
    saver = InMemorySaver()
    for turn in range(4):  # as after a restart: a new middleware and a new agent
        agent = create_agent(Scripted(steps=[f"Answer {turn}"]), middleware=[MemoryMiddleware(memory, user="ana")], checkpointer=saver)
        by_invoke(agent, f"Question {turn}?", **thread("t"))
    assert texts(memory) == [pair for turn in range(4) for pair in (("user", f"Question {turn}?"), ("assistant", f"Answer {turn}"))]


def test_only_the_turn_is_kept_when_the_application_hands_the_whole_history_over(memory: Memory) -> None:
    history: list[Any] = []
    for turn in range(3):  # no checkpointer and no ids: each time the framework gives the old messages new ones
        history.append(("user", f"Question {turn}?"))
        agent = create_agent(Scripted(steps=[f"Answer {turn}"]), middleware=[MemoryMiddleware(memory, user="ana")])
        agent.invoke({"messages": list(history)})
        history.append(("assistant", f"Answer {turn}"))
    assert texts(memory) == [pair for turn in range(3) for pair in (("user", f"Question {turn}?"), ("assistant", f"Answer {turn}"))]


def test_two_messages_at_once_are_one_turn(memory: Memory) -> None:
    agent = create_agent(Scripted(), middleware=[MemoryMiddleware(memory, user="ana")])
    agent.invoke({"messages": [("user", "I have a cat."), ("user", "It is called Miso.")]})
    assert texts(memory) == [("user", "I have a cat."), ("user", "It is called Miso."), ("assistant", "ok")]


def test_a_run_that_failed_is_kept_by_the_next(memory: Memory) -> None:
    def fails(prompt: Any) -> AIMessage:
        raise ConnectionError("down")

    agent = create_agent(Scripted(steps=[fails, "Hello."]), middleware=[MemoryMiddleware(memory, user="ana")], checkpointer=InMemorySaver())
    with pytest.raises(ConnectionError):
        by_invoke(agent, "My cat is called Miso.", **thread("t"))
    by_invoke(agent, "Are you there?", **thread("t"))
    assert texts(memory) == [("user", "My cat is called Miso."), ("user", "Are you there?"), ("assistant", "Hello.")]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), GraphInterrupt()], ids=["error", "ctrl-c", "interrupt"])
def test_what_the_user_said_is_kept_when_a_tool_ends_the_run(memory: Memory, error: BaseException) -> None:
    @tool
    def breaks(what: str) -> str:
        """Break."""
        raise error

    agent = create_agent(Scripted(steps=[calls(("breaks", {"what": "x"}))]), [breaks], middleware=[MemoryMiddleware(memory, user="ana")])
    with contextlib.suppress(RuntimeError, KeyboardInterrupt):
        agent.invoke({"messages": [("user", "My cat is called Miso.")]})
    assert [event.text for event in memory.scope(user="ana").events()] == ["My cat is called Miso."]


def test_nor_is_it_lost_when_the_task_is_cancelled(memory: Memory) -> None:
    async def run() -> None:
        begun = asyncio.Event()

        @tool
        async def waits(what: str) -> str:
            """Wait for ever."""
            begun.set()
            await asyncio.Event().wait()
            return ""

        agent = create_agent(Scripted(steps=[calls(("waits", {"what": "x"}))]), [waits], middleware=[MemoryMiddleware(memory, user="ana")])
        task = asyncio.create_task(agent.ainvoke({"messages": [("user", "My cat is called Miso.")]}))
        await begun.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert [event.text for event in memory.scope(user="ana").events()] == ["My cat is called Miso."]


def test_ids_are_those_that_an_application_can_work_out(memory: Memory) -> None:
    agent = create_agent(Scripted(), middleware=[MemoryMiddleware(memory, user="ana")], checkpointer=InMemorySaver())
    by_invoke(agent, HumanMessage("My cat is called Miso.", id="m1"), **thread("t"))
    memory.scope(user="ana").forget(ids=[event_id("t", "m1")])
    assert texts(memory) == [("assistant", "ok")]


def test_roles_that_are_not_wanted(memory: Memory) -> None:
    model = Scripted(steps=[calls(("weather", {"city": "Lisbon"})), "It rains."])
    by_invoke(create_agent(model, [weather], middleware=[MemoryMiddleware(memory, user="ana", keep=("user",))]), "Weather in Lisbon?")
    assert texts(memory) == [("user", "Weather in Lisbon?")]


def test_errors_of_tools_are_not_memories(memory: Memory) -> None:
    model = Scripted(steps=[calls(("weather", {"town": "Lisbon"})), calls(("wether", {}), first=2), "Sorry."])
    by_invoke(create_agent(model, [weather], middleware=[MemoryMiddleware(memory, user="ana")]), "Weather in Lisbon?")
    assert texts(memory) == [("user", "Weather in Lisbon?"), ("assistant", "Sorry.")]


def test_a_summary_is_not_the_users_word(memory: Memory) -> None:
    model = Scripted()
    summing = SummarizationMiddleware(Scripted(steps=["SUMMARY: the user likes rain."] * 9), trigger=("messages", 4), keep=("messages", 2))
    agent = create_agent(model, middleware=[summing, MemoryMiddleware(memory, user="ana")], checkpointer=InMemorySaver())
    for turn in range(4):
        by_invoke(agent, f"Sentence {turn}.", **thread("t"))
    assert any("SUMMARY" in shown(prompt) for prompt in model.prompts)
    assert texts(memory) == [pair for turn in range(4) for pair in (("user", f"Sentence {turn}."), ("assistant", "ok"))]


def test_what_the_application_writes_in_the_agents_name_is_not_kept(memory: Memory) -> None:
    written = AIMessage("So far: rain.", additional_kwargs={"lc_source": "summarization"})
    create_agent(Scripted(), middleware=[MemoryMiddleware(memory, user="ana")]).invoke({"messages": [HumanMessage("Hi."), written]})
    assert texts(memory) == [("user", "Hi."), ("assistant", "ok")]


def test_a_question_that_is_summarised_away_within_its_turn_was_kept(memory: Memory) -> None:
    steps = [calls(("weather", {"city": f"City {number}"}), first=number) for number in range(6)]
    summing = SummarizationMiddleware(Scripted(steps=["SUMMARY"] * 9), trigger=("messages", 5), keep=("messages", 2))
    agent = create_agent(Scripted(steps=[*steps, "Rain."]), [weather], middleware=[summing, MemoryMiddleware(memory, user="ana")])
    by_invoke(agent, "Weather in six cities?")
    rain = [("tool", f"It rains in City {number}.") for number in range(6)]
    assert texts(memory) == [("user", "Weather in six cities?"), *rain, ("assistant", "Rain.")]


def test_messages_can_be_removed_from_the_thread(memory: Memory) -> None:
    agent = create_agent(Scripted(), middleware=[MemoryMiddleware(memory, user="ana")], checkpointer=InMemorySaver())
    state = by_invoke(agent, "One.", **thread("t"))
    agent.update_state(thread("t")["config"], {"messages": [RemoveMessage(id=message.id) for message in state["messages"]]})
    by_invoke(agent, "Two.", **thread("t"))
    assert texts(memory) == [("user", "One."), ("assistant", "ok"), ("user", "Two."), ("assistant", "ok")]


def test_structured_output(memory: Memory) -> None:
    class Cat(BaseModel):
        name: str

    model = Scripted(steps=[calls(("Cat", {"name": "Miso"}))])
    agent = create_agent(model, [weather], middleware=[MemoryMiddleware(memory, user="ana", gate=True)], response_format=Cat)
    state = by_invoke(agent, "My cat is called Miso.")
    assert state["structured_response"] == Cat(name="Miso")
    assert texts(memory)[0] == ("user", "My cat is called Miso.") and "Miso" in texts(memory)[1][1]


# ------------------------------------------------------------------------------------------------------- whose memory


@dataclass
class Context:
    user_id: Any = None


@pytest.mark.parametrize(
    ("context", "config", "owner"),
    [(Context("ana"), {}, "ana"), ({"user_id": "ana"}, {}, "ana"), (None, {"user_id": "ana"}, "ana"),
     (Context("ana"), {"user_id": "bo"}, "ana"), (Context(), {"user_id": 7}, "7"), (Context(UUID(int=7)), {}, str(UUID(int=7)))],
    ids=["object", "mapping", "config", "context first", "number", "uuid"],
)  # fmt: skip
def test_a_run_names_the_user(memory: Memory, context: Any, config: dict[str, Any], owner: str) -> None:
    agent = create_agent(Scripted(), middleware=[MemoryMiddleware(memory, user=from_run("user_id"))])
    by_invoke(agent, "Hi.", context=context, config={"configurable": config})
    assert texts(memory, owner) == [("user", "Hi."), ("assistant", "ok")]


@pytest.mark.parametrize("run", [by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])
@pytest.mark.parametrize(
    "user", [from_run("user_id"), lambda runtime: runtime.context.user_id, lambda runtime: ""], ids=["none", "no context", "blank"]
)
def test_a_run_that_names_nobody_ends_before_any_model_call(memory: Memory, run: Run, user: Any) -> None:
    model = Scripted()
    agent = create_agent(model, middleware=[MemoryMiddleware(memory, user=user)])
    with pytest.raises(ScopeError, match="whose memory"):
        run(agent, "Hi.")
    assert model.prompts == []


def test_a_session_that_the_run_does_not_name_ends_it_too(memory: Memory) -> None:
    agent = create_agent(Scripted(), middleware=[MemoryMiddleware(memory, user="ana", session=lambda runtime: runtime.context["chat"])])
    with pytest.raises(ScopeError, match="session"):
        agent.invoke({"messages": [("user", "Hello.")]})


def test_many_users_at_once_in_threads_and_tasks(memory: Memory) -> None:
    model = Scripted(steps=[])
    agent = create_agent(
        model, [weather], middleware=[MemoryMiddleware(memory, user=from_run("user_id"), tenant="acme")], checkpointer=InMemorySaver()
    )
    users = [f"user{number}" for number in range(8)]

    def told(user: str) -> None:
        by_invoke(agent, f"My secret word is {user}-word.", **thread(f"a-{user}", user))

    async def asked() -> list[dict[str, Any]]:
        return await asyncio.gather(
            *(
                agent.ainvoke({"messages": [("user", f"{user} asks: what is my secret word?")]}, thread(f"b-{user}", user)["config"])
                for user in users
            )
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(told, users))
    asyncio.run(asked())
    for user in users:
        prompts = [prompt[-1].text for prompt in model.prompts if f"{user} asks" in prompt[-1].text]
        assert len(prompts) == 1 and f"{user}-word" in prompts[0]
        assert not any(f"{other}-word" in prompts[0] for other in users if other != user)
        assert len(list(memory.scope(tenant="acme", user=user).events())) == 4


# ------------------------------------------------------------------------------------------------------------- trouble


@EVERY_WAY
def test_a_memory_that_is_closed_breaks_no_agent(memory: Memory, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    model = Scripted(steps=[calls(("weather", {"city": "Lisbon"})), calls(("memory_recall", {"query": "cat"}), first=2), "It rains."])
    agent = create_agent(model, [weather], middleware=[MemoryMiddleware(memory, user="ana", tools=("memory_recall", "memory_store"))])
    memory.close()
    with caplog.at_level(logging.WARNING, "tierkeep.turns"):
        state = run(agent, "Weather in Lisbon?")
    assert state["messages"][-1].text == "It rains."
    assert "cannot be used right now" in state["messages"][-2].text
    levels = [record.levelname for record in caplog.records]
    assert levels.count("WARNING") == 1 and "ERROR" in levels


def test_a_memory_that_is_slow_is_not_waited_for_long(memory: Memory) -> None:
    memory.scope(user="ana").add("My cat is called Miso.")
    model = Scripted()
    by_invoke(create_agent(model, middleware=[MemoryMiddleware(memory, user="ana", deadline_s=1e-9)]), "What is my cat called?")
    assert model.prompts[0][1].text.endswith("What is my cat called?")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"on_deny": "ask"}, "on_deny"), ({"keep": "user"}, "keep"), ({"tools": ("memory_recal",)}, "memory_recall"),
     ({"gate": {"send": False}}, "ToolPolicy"), ({"gate": ["send"]}, "gate must be"), ({"on_deny": "interrupt"}, "gate=True"),
     ({"budget": 0}, "budget"), ({"origins": {"a": "web"}}, "origins")],
    ids=["on_deny", "keep", "tools", "gate", "list", "no gate", "budget", "origins"],
)  # fmt: skip
def test_what_cannot_be_is_said_at_once(memory: Memory, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        MemoryMiddleware(memory, user="ana", **wrong)


def test_a_memory_of_nobody_is_said_at_once(memory: Memory) -> None:
    with pytest.raises(ScopeError, match="from_run"):
        MemoryMiddleware(memory)
