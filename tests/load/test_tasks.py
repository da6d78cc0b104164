"""Many async tasks on one memory: owners never mix, and a task that is cancelled leaves nothing half done and nobody stuck."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep.items import Items
from tierkeep.models.doubles import HashEmbedder
from tierkeep.records import Answer
from tierkeep.scoped import ScopedMemory


async def a_task(memory: Memory, number: int) -> None:
    """Say things as one owner, and see these and no others after every step."""
    me, mark = memory.scope(user=f"user-{number}"), f"mark{number}x"
    items = Items(me)
    for step in range(3):
        receipt = await me.aadd(f"{mark} The boat lies in harbour {step}.", session="talk")
        assert receipt.ids
        found = await me.arecall("Where does the boat lie?")
        assert len(found.items) == step + 1 and all(mark in item.text for item in found.items)
        await items.aput(("boat",), "place", {"harbour": step, "of": mark})
    answer = await me.aask("Which harbour?")
    assert all(mark in item.text for item in answer.evidence.items)
    told = [one async for one in me.astream("Which harbour?")]
    assert isinstance(told[-1], Answer) and mark in told[-1].evidence.text
    there = await items.aget(("boat",), "place")
    assert there is not None and there.value == {"harbour": 2, "of": mark}
    kept = 3
    if number % 8 == 0:  # each looks through the whole store afterwards
        assert (await me.aforget(ids=receipt.ids)).events == 1
        kept = 2
    assert [event.text for event in me.events("talk")] == [f"{mark} The boat lies in harbour {step}." for step in range(kept)]


async def test_sixty_four_tasks_of_sixty_four_owners(tmp_path: Path) -> None:
    async with Memory.open(tmp_path, embedder=HashEmbedder()) as memory:
        await asyncio.gather(*(a_task(memory, number) for number in range(64)))
        assert await memory.asettle(60)
        assert len(await memory.aowners()) == 64
        assert (await memory.averify()).ok


@pytest.fixture
async def all_free() -> Callable[[], Awaitable[object]]:
    """Give the loop eight threads; return what waits until all eight have nothing to do, which they have not when one is stuck."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(8))

    async def wait() -> object:
        meeting = threading.Barrier(8)
        return await asyncio.wait_for(asyncio.gather(*(asyncio.to_thread(meeting.wait, 30) for _ in range(8))), 60)

    return wait


async def test_a_cancelled_write_is_whole_or_not_there(tmp_path: Path, all_free: Callable[[], Awaitable[object]]) -> None:
    """Cancelling stops the waiting and not the work: each batch is there as a whole or not at all, and the next one is not held up."""
    async with Memory.open(tmp_path) as memory:
        ana = memory.scope(user="ana")
        tasks = []
        for number in range(20):
            tasks.append(asyncio.create_task(ana.aadd([f"batch {number} text {step}" for step in range(5)], session=f"s{number}")))
            await asyncio.sleep(0.001 * (number % 4))
            tasks[-1].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(one, asyncio.CancelledError) for one in ended)
        receipt = await asyncio.wait_for(ana.aadd("after all of that", session="end"), 30)
        await all_free()
        for number, one in enumerate(ended):
            there = [event.text for event in ana.events(f"s{number}")]
            assert there in ([], [f"batch {number} text {step}" for step in range(5)])
            assert isinstance(one, BaseException) or len(there) == 5
        assert [event.id for event in ana.events("end")] == list(receipt.ids)
        assert memory.verify().ok


async def stream(ana: ScopedMemory) -> None:
    async for _ in ana.astream("Where does the boat lie?"):
        pass


VERBS: list[Callable[[ScopedMemory], Awaitable[object]]] = [
    lambda ana: ana.arecall("Where does the boat lie?"), lambda ana: ana.aask("Where does the boat lie?"), stream,
    lambda ana: ana.amaintain(), lambda ana: ana.aindex(), lambda ana: Items(ana).aput(("a",), "b", {"c": 1}),
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=["recall", "ask", "stream", "maintain", "index", "put"])
async def test_a_cancelled_verb_leaves_nobody_stuck(
    tmp_path: Path, verb: Callable[[ScopedMemory], Awaitable[object]], all_free: Callable[[], Awaitable[object]]
) -> None:  # fmt: skip
    before = {thread for thread in threading.enumerate() if "tierkeep" in thread.name}
    async with Memory.open(tmp_path, embedder=HashEmbedder()) as memory:
        ana = memory.scope(user="ana")
        ana.add([f"The boat lies in harbour {step}." for step in range(40)])
        for number in range(8):
            task = asyncio.ensure_future(verb(ana))
            await asyncio.sleep(0.0005 * number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await asyncio.wait_for(ana.arecall("Where does the boat lie?"), 30)).items
        assert (await asyncio.wait_for(ana.aadd("And now it sails."), 30)).ids
        await all_free()
        for thread in set(threading.enumerate()) - before:
            if thread.name == "tierkeep-stream":
                thread.join(30)
                assert not thread.is_alive()
    assert not {thread for thread in threading.enumerate() if "tierkeep" in thread.name} - before
