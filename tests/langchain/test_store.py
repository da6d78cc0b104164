"""`TierkeepStore`: LangGraph's contract beside what the differential test covers, owners, threads, processes, the event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp

import tierkeep
import tierkeep_langchain
from tierkeep import Memory
from tierkeep.errors import ScopeError, SettingsError
from tierkeep_langchain.store import TierkeepStore, label

NOTES = ("notes", "ann")
SOURCES = os.pathsep.join(str(Path(module.__file__).parents[1]) for module in (tierkeep, tierkeep_langchain) if module.__file__)


@pytest.fixture
def store() -> Iterator[TierkeepStore]:
    with Memory.open(":memory:") as memory:
        yield TierkeepStore(memory, user="ann")


# ---------------------------------------------------------------------------------------------------------- the contract


def test_a_batch_reads_what_was_before_it_and_the_last_put_holds(store: TierkeepStore) -> None:
    ops = [PutOp(NOTES, "k", {"v": 1}), GetOp(NOTES, "k"), PutOp(NOTES, "k", {"v": 2}), SearchOp(NOTES), ListNamespacesOp()]
    assert store.batch(ops) == [None, None, None, [], []]
    assert store.get(NOTES, "k").value == {"v": 2}  # type: ignore[union-attr]
    assert len(store.items._owner.records("item", status=None)) == 1


@pytest.mark.parametrize(
    "op",
    [
        GetOp(("a.b",), "k"), PutOp(("a", "x.y"), "k", {}), PutOp(("",), "k", {}), PutOp((1,), "k", {}), PutOp(("a\0",), "k", {}),
        PutOp((), "k", {}), GetOp((), "k"), SearchOp(("a.b",)), ListNamespacesOp((MatchCondition("prefix", ("a.b",)),)),
    ],
    ids=["get", "put", "empty", "int", "nul", "no-namespace", "get-none", "search", "list"],
)  # fmt: skip
def test_raw_operations_are_checked_too(store: TierkeepStore, op: Any) -> None:
    with pytest.raises(InvalidNamespaceError):
        store.batch([PutOp(NOTES, "fine", {}), op])
    assert store.search(()) == []


@pytest.mark.parametrize("user", ["ann@x.com", "a.b.c", "100%", "langgraph", "nul\0", "%2E", "plain"])
def test_any_user_id_makes_a_label(store: TierkeepStore, user: str) -> None:
    from urllib.parse import unquote

    store.put((label(user), "memories"), "k", {"of": user})
    assert store.search((label(user),))[0].value["of"] == user.replace("\0", "\0")
    assert unquote(label(user)) == user
    assert label("a.b") != label("a%2Eb")


def test_what_cannot_be_put(store: TierkeepStore) -> None:
    for value in ([1], "text", 1, {1: 2}, {"at": time}):
        with pytest.raises(ValueError, match="value"):
            store.put(NOTES, "k", value)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        store.put(NOTES, "k", {}, ttl=5)
    with pytest.raises(NotImplementedError):
        store.batch([PutOp(NOTES, "k", {}, ttl=5)])
    with pytest.raises(ValueError, match="no operation"):
        store.batch(["put"])  # type: ignore[list-item]
    assert store.search(()) == []


def test_filters(store: TierkeepStore) -> None:
    store.put(NOTES, "one", {"n": 1})
    store.put(NOTES, "none", {"text": "no n"})
    assert [item.key for item in store.search(NOTES, filter={"n": {"$gt": 0}})] == ["one"]
    assert [item.key for item in store.search(NOTES, filter={"n": {"$ne": 1}})] == ["none"]
    with pytest.raises(ValueError, match=r"\$in"):
        store.search(("nothing", "there"), filter={"n": {"$in": [1]}})


def test_a_query_and_index(store: TierkeepStore) -> None:
    store.put(NOTES, "a", {"text": "loves pizza", "inner": [{"t": "opera"}]}, index=["inner[*].t"])
    store.put(NOTES, "b", {"text": "loves pizza"})
    store.put(NOTES, "c", {"text": "pizza"}, index=False)
    assert [(item.key, item.score is None, bool(item.score)) for item in store.search(NOTES, query="pizza")] == [
        ("b", False, True), ("a", False, False), ("c", True, False),
    ]  # fmt: skip
    assert store.search(NOTES, query="opera")[0].key == "a"
    assert all(item.score is None for item in store.search(NOTES))
    by_title = TierkeepStore(store.items._owner, fields=["title"])
    by_title.put(NOTES, "d", {"title": "harbour", "text": "pizza"})
    assert by_title.search(NOTES, query="harbour")[0].key == "d"


def test_deleting_twice_is_silent_and_times_are_kept(store: TierkeepStore) -> None:
    store.put(NOTES, "k", {"v": 1})
    first = store.get(NOTES, "k")
    store.put(NOTES, "k", {"v": 2})
    second = store.get(NOTES, "k")
    assert first is not None and second is not None
    assert second.created_at == first.created_at <= first.updated_at < second.updated_at
    store.delete(NOTES, "k")
    store.delete(NOTES, "k")
    assert store.get(NOTES, "k") is None


def test_what_is_read_is_the_reader_s_own(store: TierkeepStore) -> None:
    store.put(NOTES, "k", {"list": [1]})
    store.search(NOTES)[0].value["list"].append(2)
    store.get(NOTES, "k").value["x"] = 1  # type: ignore[union-attr]
    assert store.search(NOTES)[0].value == {"list": [1]}


# -------------------------------------------------------------------------------------------------------------- owners


def test_owners_are_fixed_and_apart(store: TierkeepStore) -> None:
    memory = store.items._memory
    other = TierkeepStore(memory.scope(tenant="acme", user="ann"))
    store.put(NOTES, "k", {"v": 1})
    assert (other.get(NOTES, "k"), other.search(()), other.list_namespaces()) == (None, [], [])


def test_no_owner_fails_closed(store: TierkeepStore) -> None:
    memory = store.items._memory
    with pytest.raises(ScopeError):
        TierkeepStore(memory)
    with pytest.raises(ScopeError):
        TierkeepStore(memory.scope(user="ann", session="s1"))
    for wrong, owner in ((memory.scope(user="ann"), {"user": "bob"}), ("./memory", {"user": "ann"})):
        with pytest.raises(SettingsError):
            TierkeepStore(wrong, **owner)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ threads, tasks, processes


def test_threads_lose_nothing(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        store = TierkeepStore(memory, user="ann", erase="later")

        def work(number: int) -> None:
            for at in range(10):
                store.put(("t", str(number)), str(at), {"n": at})
                store.put(("shared",), "k", {"by": number, "at": at})
                assert len(store.search(("t", str(number)), limit=100)) == at + 1
                assert store.get(("shared",), "k") is not None
            store.delete(("t", str(number)), "0")

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))
        assert len(store.search(("t",), limit=1000)) == 6 * 9
        assert memory.verify().ok


def test_two_threads_may_delete_the_same(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        store = TierkeepStore(memory, user="ann", erase="at_once")
        store.put(NOTES, "k", {"v": 1})
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.delete(NOTES, "k"), range(4)))
        assert memory.stats()["events"] == 0


_WRITER = """
import sys
from tierkeep import Memory
from tierkeep_langchain.store import TierkeepStore
with Memory.open(sys.argv[1]) as memory:
    store = TierkeepStore(memory, user="ann")
    for number in range(20):
        store.put(("p", sys.argv[2]), str(number), {"n": number})
        store.put(("shared",), "k", {"by": sys.argv[2]})
    assert len(store.search(("p", sys.argv[2]), limit=100)) == 20
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _WRITER, str(tmp_path)]
    with Memory.open(tmp_path) as memory:
        store = TierkeepStore(memory, user="ann")
        assert store.search(()) == []
        running = [subprocess.Popen([*command, name], env={**os.environ, "PYTHONPATH": SOURCES}) for name in ("one", "two")]
        assert [process.wait(60) for process in running] == [0, 0]
        assert len(store.search(("p",), limit=100)) == 40
        assert store.get(("shared",), "k").value["by"] in ("one", "two")  # type: ignore[union-attr]
        assert memory.verify().ok


async def test_the_event_loop_is_never_blocked(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        store = TierkeepStore(memory, user="ann")
        held, free = threading.Event(), threading.Event()

        def hold() -> None:
            with memory._ledger.transaction(memory.scope(user="bob").scope):
                held.set()
                free.wait(30)

        holder = threading.Thread(target=hold)
        holder.start()
        await asyncio.to_thread(held.wait, 30)
        put = asyncio.create_task(store.aput(NOTES, "k", {"v": 1}))
        for _ in range(10):  # the loop runs on while the put waits for the other writer
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert not put.done()
        free.set()
        await put
        await asyncio.to_thread(holder.join)
        await asyncio.gather(*(store.aput(("many",), str(number), {"n": number}) for number in range(20)))
        assert len(await store.asearch(("many",), limit=100)) == 20
        await store.adelete(NOTES, "k")
        assert await store.aget(NOTES, "k") is None
        assert await store.alist_namespaces() == [("many",)]


# ------------------------------------------------------------------------------------------------------------- LangGraph


class State(TypedDict):
    """What the graph passes on."""

    said: str


def test_a_graph_keeps_its_memories_in_it(store: TierkeepStore) -> None:
    def node(state: State, runtime: Runtime[None]) -> State:
        assert runtime.store is not None
        before = runtime.store.search(NOTES)
        runtime.store.put(NOTES, state["said"], {"text": state["said"]})
        return {"said": ",".join(item.key for item in before)}

    graph: Any = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    compiled = graph.compile(store=store)
    assert compiled.invoke({"said": "one"}) == {"said": ""}
    assert compiled.invoke({"said": "two"}) == {"said": "one"}


class Agent(GenericFakeChatModel):
    """Says what it is told to, with tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


async def test_an_agent_s_tools_reach_it(store: TierkeepStore) -> None:
    @tool
    async def note(text: str, runtime: ToolRuntime) -> str:
        """Keep a note."""
        assert runtime.store is not None
        await runtime.store.aput(NOTES, "k", {"text": text})
        return "kept"

    call = AIMessage("", tool_calls=[{"name": "note", "args": {"text": "likes tea"}, "id": "1", "type": "tool_call"}])
    agent = create_agent(Agent(messages=iter([call, AIMessage("done")])), tools=[note], store=store)
    await agent.ainvoke({"messages": [("user", "I like tea")]})
    assert store.get(NOTES, "k").value == {"text": "likes tea"}  # type: ignore[union-attr]
    assert "likes tea" in store.items._owner.recall("tea").text
