"""LangGraph's long-term memory on disk: a store that stays, and that the memory's own recall can quote.

Run it: python examples/10_langgraph_store.py
"""

import tempfile
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from tierkeep import Memory
from tierkeep_langchain.store import TierkeepStore, label


class Turn(TypedDict):
    """What goes through the graph."""

    user: str
    said: str


def remember(turn: Turn, runtime: Runtime[None]) -> Turn:
    """Keep what was said, and answer with what is known."""
    namespace = ("memories", label(turn["user"]))  # an address has dots, which a label must not have
    assert runtime.store is not None
    known = runtime.store.search(namespace, query=turn["said"], limit=1)
    runtime.store.put(namespace, turn["said"], {"text": turn["said"]})
    return {"user": turn["user"], "said": known[0].value["text"] if known else "nothing yet"}


def graph(store: TierkeepStore) -> Any:
    """Build the graph, as every process would."""
    building: Any = StateGraph(Turn)
    building.add_node("remember", remember)
    building.add_edge(START, "remember")
    building.add_edge("remember", END)
    return building.compile(store=store)


with tempfile.TemporaryDirectory() as folder:
    with Memory.open(folder) as memory:
        app = graph(TierkeepStore(memory, agent="helper"))
        print(app.invoke({"user": "ann@x.com", "said": "My cat is called Tom."})["said"])

    with Memory.open(folder) as memory:  # another process, another day
        store = TierkeepStore(memory, agent="helper")
        print(graph(store).invoke({"user": "ann@x.com", "said": "What is my cat called?"})["said"])
        print(memory.scope(agent="helper").recall("What is the cat called?").text)

        store.delete(("memories", label("ann@x.com")), "My cat is called Tom.")  # the value is gone from the files too
        print([item.value["text"] for item in store.search(("memories",))], memory.verify().ok)
