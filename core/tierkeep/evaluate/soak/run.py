"""Run the day: start the workers, kill one now and then, look at what they hold, and judge at the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tierkeep import Memory
from tierkeep.evaluate.soak import serving
from tierkeep.evaluate.soak.box import open_memory
from tierkeep.evaluate.soak.day import DayClock, Plan
from tierkeep.evaluate.soak.journal import Follower, Told, lines
from tierkeep.evaluate.soak.oracle import differences, strangers, wrong_items
from tierkeep.evaluate.soak.verbs import SHARED, text_by
from tierkeep.evaluate.soak.watch import leaks, process, sizes

__all__ = ["soak"]

Tick = Callable[[float, float], None]
_SAMPLE_S = 0.5
_STARTS_S = 60.0
_ENDS_S = 90.0
_KILLS = 8  # of each worker but the first, in a whole day
_SHOWN = 20


def soak(
    *, store: str | None = None, hours: float = 24.0, minutes: float = 8.0, users: int = 200, processes: int = 3, threads: int = 3,
    seed: int = 1, http: bool = True, leak_bytes: int = 0, leak_files: int = 0, lose: int = 0, progress: Tick = lambda done, total: None,
) -> dict[str, Any]:
    """Live through simulated hours of mixed load, and report what was done, what went wrong and what leaks.

    Args:
        store: Folder, file or address of a store that nobody else uses; a new folder, removed afterwards, otherwise.
        hours: Simulated.
        minutes: Real ones that they may take.
        users: Owners.
        processes: Worker processes; all but the first are killed now and then.
        threads: Lanes in each, at least two: one of them has an event loop.
        seed: Decides what is done, and who is killed when.
        http: Serve one more owner over loopback HTTP, where that is installed.
        leak_bytes: Of a careless caller, to see that the run fails; so are `leak_files` and `lose` (`Plan`).
        leak_files: See there.
        lose: See there.
        progress: Is told (real seconds done, in all).
    """
    with tempfile.TemporaryDirectory(prefix="tierkeep-soak-") as folder:
        plan = Plan(
            store=store or str(Path(folder) / "memory"), folder=folder, hours=hours, seconds=60.0 * minutes, users=users,
            processes=processes, threads=max(2, threads), seed=seed, began=time.time(), leak_bytes=leak_bytes, leak_files=leak_files,
            lose=lose,
        )  # fmt: skip
        open_memory(plan).close()
        served = http and "://" not in plan.store and serving.installed()
        server = serving.Server(plan.store, Path(folder)) if served else None
        run = _Run(plan, server)
        try:
            run.wait_for_all()
            run.live(progress)
        finally:
            run.end()
        return run.report()


class _Run:
    def __init__(self, plan: Plan, server: serving.Server | None) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed)  # noqa: S311 - who is killed when, not secrets
        self._samples: dict[str, list[dict[str, float]]] = defaultdict(list)
        self._wrong: list[str] = []
        self._kills = 0
        self._workers = {number: self._start(number) for number in range(plan.processes)}
        self._server = server

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tierkeep.evaluate.soak.worker", self._plan.json(), str(number)]
        root = str(Path(__file__).resolve().parents[3])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        with (Path(self._plan.folder) / f"worker-{number}.err").open("ab") as said:
            return subprocess.Popen(command, stderr=said, env=environment)  # noqa: S603 - our own module

    # ------------------------------------------------------------------------------------------------------ running

    def wait_for_all(self) -> None:
        """Wait until every worker is there; the day then begins for all of them."""
        last = time.monotonic() + _STARTS_S
        while time.monotonic() < last and not all(self._ready(number).exists() for number in self._workers):
            time.sleep(0.02)
        self._plan = replace(self._plan, began=time.time())
        beside = Path(self._plan.folder) / ".began"
        beside.write_text(str(self._plan.began), encoding="ascii")
        beside.replace(Path(self._plan.folder) / "began")
        if self._server is not None:
            self._server.work(self._plan)

    def _ready(self, number: int) -> Path:
        return Path(self._plan.folder) / f"ready-{number}"

    def live(self, progress: Tick) -> None:
        """Watch until the day is over."""
        plan = self._plan
        chance = _KILLS * _SAMPLE_S / plan.seconds * (plan.hours / 24.0)
        while plan.left() > 0:
            time.sleep(min(_SAMPLE_S, max(0.01, plan.left())))
            progress(min(plan.seconds, plan.seconds - plan.left()), plan.seconds)
            self._sample()
            for number, worker in self._workers.items():
                if worker.poll() is not None and plan.left() > 0:
                    self._wrong.append(f"worker {number} ended by itself with {worker.returncode}: {self._last_words(number)}")
                    self._workers[number] = self._start(number)
                elif number and self._rng.random() < chance and plan.left() > 5:
                    worker.send_signal(signal.SIGKILL)
                    worker.wait()
                    self._kills += 1
                    self._workers[number] = self._start(number)

    def _sample(self) -> None:
        at = self._plan.seconds - self._plan.left()
        watched = {f"worker {number}": worker.pid for number, worker in self._workers.items() if number == 0}
        if self._server is not None:
            watched["server"] = self._server.process.pid
        for name, pid in watched.items():
            if (found := process(pid)) is not None:
                self._samples[name].append({"at": at, **found, **self._held(name)})
        if "://" not in self._plan.store:
            self._samples["store"].append({"at": at, **sizes(Path(self._plan.store))})

    def _held(self, name: str) -> dict[str, float]:
        file = Path(self._plan.folder) / f"held-{name.rpartition(' ')[2]}.json"
        said: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return said

    def _lose(self, count: int) -> None:
        """Remove acknowledged events of one owner behind everybody's back, of those that no lane may remove any more."""
        book, now = Follower(Path(self._plan.folder) / "lane-1.jsonl").look(), DayClock(self._plan).now().timestamp()
        lasting = {user: sorted(told.sure, key=told.sure.__getitem__)[-count:] for user, told in book.told.items() if user not in SHARED}
        user = max(lasting, key=lambda one: sum(book.told[one].sure[id_] > now for id_ in lasting[one]))
        with open_memory(self._plan) as memory:
            memory.scope(user=user).forget(ids=lasting[user])

    def _last_words(self, number: int) -> str:
        return (Path(self._plan.folder) / f"worker-{number}.err").read_text(encoding="utf-8", errors="replace")[-2000:].strip()

    def end(self) -> None:
        """Wait for everybody to end."""
        last = time.monotonic() + _ENDS_S
        for number, worker in self._workers.items():
            try:
                code = worker.wait(max(1.0, last - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
                code = -1
            if code:
                self._wrong.append(f"worker {number} ended with {code}: {self._last_words(number)}")
        if self._server is not None:
            self._wrong += self._server.stop()
        if self._plan.lose:  # once nobody is left who might remove them, too
            self._lose(self._plan.lose)

    # ------------------------------------------------------------------------------------------------------ judging

    def report(self) -> dict[str, Any]:
        """Return what was done, what went wrong, and what leaks."""
        plan, steps = self._plan, _Steps()
        for path in sorted(Path(plan.folder).glob("*.jsonl")):
            steps.read(path)
        grown, leaking = leaks(self._samples, plan.seconds / 2)
        wrong = [*self._wrong, *steps.wrong]
        with open_memory(plan) as memory:
            wrong += self._compare(memory)
            verified = memory.verify()
            stats = memory.stats()
        wrong += [] if verified.ok else [f"the store does not verify: {problem}" for problem in verified.problems]
        left = sorted(path.name for path in Path(plan.folder).glob(".tierkeep-*"))
        return {
            "hours": plan.hours, "minutes": round(plan.seconds / 60, 2), "users": plan.users, "processes": plan.processes,
            "threads": plan.threads, "seed": plan.seed, "http": self._server is not None, "kills": self._kills,
            "operations": steps.table(), "errors": dict(steps.errors), "error_messages": steps.messages[:_SHOWN],
            "refusals": dict(steps.refusals), "wrong": wrong[:_SHOWN], "wrong_in_all": len(wrong), "leaks": leaking, "grown": grown,
            "first": {name: own[0] for name, own in self._samples.items()}, "last": {name: own[-1] for name, own in self._samples.items()},
            "most": {name: {key: max(one.get(key, 0.0) for one in own) for key in own[-1]} for name, own in self._samples.items()},
            "owners": stats.get("scopes"), "events": stats.get("events"), "copies_left_by_kills": len(left),
            "ok": not (steps.errors or wrong or leaking),
        }  # fmt: skip

    def _compare(self, memory: Memory) -> list[str]:
        now, wrong, users = DayClock(self._plan).now().timestamp(), list[str](), set(SHARED)
        for path in sorted(Path(self._plan.folder).glob("lane-*.jsonl")):
            book = Follower(path).look()
            for user, told in book.told.items():
                users.add(user)
                me = memory.scope(user=user)
                wrong += differences(user, told, me.events(), now, _text(told), shared=user in SHARED)
                wrong += wrong_items(memory, me, book.items.get(user, {}), now)
        if self._server is not None:
            kept = [event.text for event in memory.scope(user=serving.USER).events()]
            users.add(serving.USER)
            lost = [text for text in self._server.texts if text not in kept]
            wrong += [f"{len(lost)} texts that were stored over HTTP are lost"] if lost else []
            wrong += strangers(serving.USER, kept)
        known = {*users, *(f"{user}-copy" for user in users), *(f"u{user}" for user in range(2 * self._plan.users + 64))}
        unknown = sorted(one.scope.user for one in memory.owners() if one.scope.user not in known)
        return wrong + ([f"the store has owners that nobody is, such as {unknown[:3]}"] if unknown else [])


def _text(told: Told) -> Callable[[str], str]:
    return lambda id_: text_by(id_, id_ in told.outside)


class _Steps:
    """What the journals say of steps: how often, how long, how they ended."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.messages: list[str] = []
        self.wrong: list[str] = []
        self._ms: dict[str, list[float]] = defaultdict(list)

    def read(self, path: Path) -> None:
        """Read one journal."""
        for line in lines(path):
            if "step" in line:
                self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        self._ms[line["step"]].append(line["ms"])
        self.wrong += line.get("wrong", [])
        if "refused" in line:
            self.refusals[line["refused"]] += 1
        if "error" in line:
            self.errors[f"{line['step']}: {line['error']}"] += 1
            self.messages.append(f"{line['step']}: {line['message']}")

    def table(self) -> dict[str, dict[str, float]]:
        """Return of each kind of step its number and its 50th, 95th and 99th percentile and maximum in milliseconds."""
        made = {}
        for name, ms in sorted(self._ms.items(), key=lambda one: -len(one[1])):
            p50, p95, p99 = (round(float(value), 2) for value in np.percentile(ms, [50, 95, 99]))
            made[name] = {"n": len(ms), "p50": p50, "p95": p95, "p99": p99, "max": round(max(ms), 2)}
        return made
