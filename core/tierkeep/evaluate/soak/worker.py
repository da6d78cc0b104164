"""A worker of the soak: a process with one memory and several lanes, threads and async tasks, that live until the day is over.

`python -m tierkeep.evaluate.soak.worker PLAN NUMBER`. Exit code 0; anything else is a defect.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tierkeep import Memory
from tierkeep.errors import TierkeepError
from tierkeep.evaluate.soak.box import Box
from tierkeep.evaluate.soak.day import DayClock, Plan, busy
from tierkeep.evaluate.soak.journal import Journal
from tierkeep.evaluate.soak.oracle import strangers
from tierkeep.evaluate.soak.verbs import REFUSALS, Verbs
from tierkeep.evaluate.soak.watch import allocated
from tierkeep.scoped import ScopedMemory

__all__ = ["main"]

Verb = Callable[[Memory, ScopedMemory], list[str]]
#: How often each is done, of the verbs of `Verbs`; "reopen" is the box's.
_OFTEN = {
    "turn": 300, "tool": 70, "recall": 200, "ask": 40, "stream": 25, "items": 60, "shared": 40, "look": 25, "across": 25, "gate": 25,
    "confirm": 25, "review": 15, "forget": 8, "maintain": 12, "flood": 5, "copy": 2, "erase": 2, "operate": 4, "backup": 2, "reopen": 3,
}  # fmt: skip
_LONGEST_PAUSE_S = 0.25
_MAINTAINED = 0.02  # of the rounds of a task
_TASKS = 8  # owners of the lane for async tasks that are at work at once


class Lane:
    """What one thread does, one step after the other.

    Args:
        plan: Of the run.
        number: Among all lanes of the run.
        box: The worker's memory.
    """

    def __init__(self, plan: Plan, number: int, box: Box) -> None:
        self.plan = plan
        self.box = box
        self.clock = DayClock(plan)
        self.rng = random.Random(f"{plan.seed}/{number}/{os.getpid()}")  # noqa: S311 - what is done, not secrets
        self.journal = Journal(Path(plan.folder) / f"lane-{number}.jsonl")
        self.verbs = Verbs(plan, str(number), self.journal, self.rng)
        lanes = plan.processes * plan.threads
        self.users = [f"u{user}" for user in range(plan.users) if user % lanes == number] or [f"u{plan.users + number}"]
        self._careless: list[object] = []

    def pause(self) -> float:
        """Return the seconds until the next step: few in the afternoon, many at night."""
        share = busy(self.clock.monotonic())
        return min(_LONGEST_PAUSE_S, self.rng.expovariate(1.0) * 0.004 / share)

    def begin(self) -> None:
        """Do again what a kill has interrupted."""
        with self.box.lend() as memory:
            self.verbs.again(memory)

    def run(self) -> None:
        """Work until the day is over."""
        self.begin()
        names, often = list(_OFTEN), list(_OFTEN.values())
        while self.plan.left() > 0:
            (name,) = self.rng.choices(names, often)
            if name == "reopen":
                self.timed(name, self.box.reopen)
            else:
                self.step(name, getattr(self.verbs, name))
            time.sleep(self.pause())
        self.journal.close()

    def step(self, name: str, verb: Verb) -> None:
        """Do one verb as one owner."""
        user = self.rng.choice(self.users)
        with self.box.lend() as memory:
            self.timed(name, lambda: verb(memory, memory.scope(user=user)))
        if self.plan.leak_bytes:
            self._careless.append(bytearray(os.urandom(64) * (self.plan.leak_bytes // 64)))
        for _ in range(self.plan.leak_files):
            self._careless.append(open(os.devnull, "rb"))  # noqa: SIM115 - that is what a careless caller does

    def timed(self, name: str, work: Callable[[], list[str] | None]) -> None:
        """Do something, and write down how long it took and how it ended."""
        began = time.perf_counter()
        try:
            wrong = work() or []
        except REFUSALS as error:
            self.ended(name, began, refused=type(error).__name__)
        except TierkeepError as error:
            self.ended(name, began, error=type(error).__name__, message=str(error)[:300])
        else:
            self.ended(name, began, **({"wrong": wrong} if wrong else {}))

    def ended(self, name: str, began: float, **more: Any) -> None:
        """Write down that a step is over."""
        self.journal.write({"step": name, "ms": round(1000 * (time.perf_counter() - began), 3), **more})


class TaskLane(Lane):
    """What one thread with an event loop does: several owners at once, each in a task of its own, cancelled now and then."""

    def run(self) -> None:
        """Work until the day is over."""
        self.begin()
        asyncio.run(self._all())
        self.journal.close()

    async def _all(self) -> None:
        await asyncio.gather(*(self._owner(user) for user in self.users[:_TASKS]))

    async def _owner(self, user: str) -> None:
        while self.plan.left() > 0:
            if (memory := self.box.borrow()) is not None:
                try:
                    await self._told(memory.scope(user=user))
                finally:
                    self.box.give_back()
            await asyncio.sleep(_TASKS * self.pause())

    async def _told(self, me: ScopedMemory) -> None:
        began = time.perf_counter()
        try:
            wrong = await self._round(me)
        except REFUSALS as error:
            self.ended("round of tasks", began, refused=type(error).__name__)
        except TierkeepError as error:
            self.ended("round of tasks", began, error=type(error).__name__, message=str(error)[:300])
        else:
            self.ended("round of tasks", began, **({"wrong": wrong} if wrong else {}))

    async def _round(self, me: ScopedMemory) -> list[str]:
        before, user = self.verbs.now(), me.scope.user
        line, messages, session = self.verbs.begin_add(user, 2)
        task = asyncio.ensure_future(me.aadd(messages, session=session))
        if self.rng.random() < 0.2:
            await asyncio.sleep(self.rng.random() * 0.003)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await me.aadd(messages, session=session)  # whether it was stored is not known: with its ids it may be added again
        else:
            await task
        self.verbs.end_add(line, before)
        evidence = await me.arecall("Where is the boat?")
        answer = await me.aask("Where is the kettle?")
        asked = me.astream("Where is the letter?")
        async for _ in asked:
            if self.rng.random() < 0.3:
                break
        await asked.aclose()
        if self.rng.random() < _MAINTAINED:
            at = self.verbs.now()
            await me.amaintain()
            self.verbs.maintained(me, at)
        return strangers(user, [evidence.text, answer.text, answer.evidence.text])


def _begun(plan: Plan, number: int) -> Plan:
    """Say that this worker is there, and wait until the day has begun; return the plan with the moment at which it did."""
    began = Path(plan.folder) / "began"
    (Path(plan.folder) / f"ready-{number}").touch()
    while not began.exists():
        if not began.parent.exists():
            raise SystemExit(2)  # whoever started it has gone
        time.sleep(0.01)
    return replace(plan, began=float(began.read_text(encoding="ascii")))


def main(arguments: list[str]) -> int:
    """Run a worker; return its exit code."""
    plan, number = Plan.read(arguments[0]), int(arguments[1])
    plan = _begun(plan, number)
    box = Box(plan, random.Random(f"{plan.seed}/box/{number}/{os.getpid()}"))  # noqa: S311
    first = number * plan.threads
    lanes: list[Lane] = [TaskLane(plan, first, box), *(Lane(plan, first + n, box) for n in range(1, plan.threads))]
    failed: list[str] = []

    def note(what: threading.ExceptHookArgs) -> None:
        failed.append(what.exc_type.__name__)
        threading.__excepthook__(what)

    threading.excepthook = note
    threads = [threading.Thread(target=lane.run, name=f"lane-{first + n}", daemon=True) for n, lane in enumerate(lanes)]
    for thread in threads:
        thread.start()
    held, beside = Path(plan.folder) / f"held-{number}.json", Path(plan.folder) / f".held-{number}.json"
    while any(thread.is_alive() for thread in threads) and plan.left() > -60:
        beside.write_text(json.dumps({"held_mib": box.held_mib(), **allocated()}), encoding="utf-8")
        beside.replace(held)
        time.sleep(0.2)
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck or failed:
        sys.stderr.write(f"stuck: {', '.join(stuck)}; failed: {', '.join(failed)}\n")
        return 3
    box.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
