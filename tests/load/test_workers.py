"""How servers make workers: forks of a process that has the memory open, and processes that start anew and open it themselves."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep.models.doubles import HashEmbedder

_memory: Memory | None = None


def opened(where: str) -> None:
    """Open the memory in a worker that started anew."""
    global _memory
    _memory = Memory.open(where)


def serve(number: int) -> tuple[str, bool]:
    """Serve a request: store something and find it."""
    if _memory is None:
        raise RuntimeError("this worker has no memory")
    ana = _memory.scope(user="ana")
    ana.add(f"Request {number} came from worker land.", id=f"r{number}")
    found = any(f"r{number}" in item.sources for item in ana.recall(f"Which request {number}?").items)
    return f"r{number}", found and ana.events() is not None


def there(memory: Memory) -> list[str]:
    return sorted(event.id for event in memory.scope(user="ana").events())


@pytest.mark.skipif(sys.platform == "win32", reason="a pool of spawned interpreters is slow to start there")
def test_a_pool_of_processes_that_open_it_themselves(tmp_path: Path) -> None:
    where = str(tmp_path / "m")
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(2, mp_context=context, initializer=opened, initargs=(where,)) as pool:
        assert list(pool.map(serve, range(12))) == [(f"r{number}", True) for number in range(12)]
    with Memory.open(where) as memory:
        assert there(memory) == sorted(f"r{number}" for number in range(12))
        assert memory.verify().ok


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_workers_forked_from_a_process_that_is_at_work(tmp_path: Path) -> None:
    """A server loads its application, memory and all, and then forks; each worker goes on with connections and threads of its own."""
    global _memory
    with Memory.open(tmp_path / "m", embedder=HashEmbedder()) as memory:
        ana = memory.scope(user="ana")
        ana.add("Said before the fork.", id="before")
        assert memory.settle(30) and ana.recall("What was said?").items
        _memory = memory
        workers = []
        for worker in range(4):
            child = os.fork()
            if child == 0:
                try:
                    good = all(found for _, found in map(serve, range(worker * 5, worker * 5 + 5)))
                    good = good and memory.settle(30)
                    memory.close()
                except BaseException:  # noqa: BLE001 - a child must not run the rest of the tests
                    os._exit(1)
                os._exit(0 if good else 2)
            workers.append(child)
            ana.add(f"The parent goes on {worker}.", id=f"p{worker}")
        _memory = None
        assert [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers] == [0] * 4
        expected = sorted(["before", *(f"p{worker}" for worker in range(4)), *(f"r{number}" for number in range(20))])
        assert there(memory) == expected
        assert memory.settle(30) and memory.verify().ok
        assert len(memory.scope(user="ana").recall("Which request came from worker land?").items) >= 10
