"""langmem's two tools, unchanged, on our store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep_langchain.store import TierkeepStore, label

pytestmark = [
    # In langmem's and trustcall's own modules, at their import.
    pytest.mark.filterwarnings("ignore:Importing Send from langgraph.constants:DeprecationWarning"),
]
_READER = """
import sys
from tierkeep import Memory
from tierkeep_langchain.store import TierkeepStore
with Memory.open(sys.argv[1]) as memory:
    print([item.value["content"] for item in TierkeepStore(memory, agent="helper").search(("memories", sys.argv[2]))])
"""


def test_what_the_tools_keep_is_there_in_another_process(tmp_path: Path) -> None:
    from langmem import create_manage_memory_tool, create_search_memory_tool

    user = label("ann@x.com")
    config = {"configurable": {"user_id": user}}
    with Memory.open(tmp_path) as memory:
        store = TierkeepStore(memory, agent="helper")
        manage = create_manage_memory_tool(namespace=("memories", "{user_id}"), store=store)
        search = create_search_memory_tool(namespace=("memories", "{user_id}"), store=store)
        said = manage.invoke({"content": "Ann's cat is called Tom"}, config=config)
        manage.invoke({"content": "Ann lives in Lisbon"}, config=config)
        assert "created" in said
        found = search.invoke({"query": "What is the cat called?", "limit": 1}, config=config)
        assert "Tom" in found and "Lisbon" not in found
        assert "Tom" not in search.invoke({"query": "cat"}, config={"configurable": {"user_id": "bob"}})
        [cat, _] = store.search(("memories", user))
        manage.invoke({"action": "update", "id": cat.key, "content": "Ann's cat is called Tim"}, config=config)
        assert store.get(("memories", user), cat.key).value["content"] == "Ann's cat is called Tim"  # type: ignore[union-attr]
        assert "Tom" not in memory.scope(agent="helper").recall("What is Ann's cat called?").text
        import tierkeep_langchain

        sources = os.pathsep.join(str(Path(str(module.__file__)).parents[1]) for module in (sys.modules["tierkeep"], tierkeep_langchain))
        command = [sys.executable, "-W", "ignore", "-c", _READER, str(tmp_path), user]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": sources}, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.strip() == '["Ann\'s cat is called Tim", \'Ann lives in Lisbon\']'
        manage.invoke({"action": "delete", "id": cat.key}, config=config)
        assert store.items.purge().complete
        assert memory._ledger.sweep(["Tim"]) == []


async def test_the_async_halves(tmp_path: Path) -> None:
    from langmem import create_manage_memory_tool, create_search_memory_tool

    config = {"configurable": {"user_id": "ann"}}
    with Memory.open(tmp_path) as memory:
        store = TierkeepStore(memory, agent="helper")
        manage = create_manage_memory_tool(namespace=("memories", "{user_id}"), store=store)
        await manage.ainvoke({"content": "likes tea"}, config=config)
        search = create_search_memory_tool(namespace=("memories", "{user_id}"), store=store)
        assert "likes tea" in await search.ainvoke({"query": "tea"}, config=config)
