"""One phase of one system in its own environment: `python -m peers.worker PHASE JOB`, with tests/benchmarks on PYTHONPATH.

JOB is a JSON object: `adapter` ("module:Class" below `peers.adapters`), `options`, `data` and `store` (folders), `out` (file for the
result), and the numbers of the phase. Nothing of tierkeep is imported unless it is the system itself.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from peers.adapters.base import Adapter, Known
from peers.data import Data, Item, Question, load

Job = dict[str, Any]


def fill(job: Job) -> Job:
    """Store the data: most of it in batches until the time is up, the last ones one by one."""
    data = load(Path(job["data"]))
    known = Known([item.text for item in data.items], data.vectors)
    system = _opened(job, known)
    batched = len(data.items) - job["singles"]
    began = time.perf_counter()
    done, step = 0, system.batch
    while done < batched and time.perf_counter() - began < job["limit"]:
        system.add_many(data.items[done : min(done + step, batched)])
        done = min(done + step, batched)
    added = time.perf_counter() - began
    system.settle()
    filled = time.perf_counter() - began
    busy = time.process_time()
    times, single_s = _singles(system, data.items[batched:][: job.get("most")], job["limit"])
    result = {
        "size": len(data.items),
        "batched": done,
        "of": batched,
        "batch_s": filled,
        "batch_call_s": added,
        "single_s": single_s,
        "singles": len(times),
        "single_ms": times,
        "single_cpu_ms": (time.process_time() - busy) * 1000 / max(1, len(times)),
        "count": system.count(),
        "unknown": len(known.unknown),
        "rss_mb": _rss(),
    }
    system.close()
    return result | {"disk_mb": _disk(Path(job["store"]))}


def _singles(system: Adapter, items: list[Item], limit: float) -> tuple[list[float], float]:
    """Add one by one; return the milliseconds of each and the seconds until all can be found."""
    times: list[float] = []
    began = time.perf_counter()
    for item in items:
        if time.perf_counter() - began > limit / 2:
            break
        start = time.perf_counter()
        system.add(item)
        times.append((time.perf_counter() - start) * 1000)
    system.settle()
    return times, time.perf_counter() - began


def ask(job: Job) -> Job:
    """Open what was stored, in this fresh process, and ask it."""
    data = load(Path(job["data"]), items=False)
    asked = [*data.first, *data.questions]
    known = Known([one.text for one in asked], np.concatenate([data.first_vectors, data.question_vectors]))
    began = time.perf_counter()
    system = _opened(job, known)
    opened = time.perf_counter()
    system.search(data.first[0], job["k"], system.modes[0])
    answered = time.perf_counter()
    result: Job = {
        "open_ms": (opened - began) * 1000,
        "first_ms": (answered - opened) * 1000,
        "started_ms": (answered - job["started"]) * 1000,
    }
    for mode in system.modes:
        result[mode] = _asked(system, data, mode, job)
        result[mode]["rss_mb"] = _rss()
    result["unknown"] = len(known.unknown)
    system.close()
    return result


def _asked(system: Adapter, data: Data, mode: str, job: Job) -> Job:
    """Ask one question of each owner, so that each was touched before, then those that are measured, until the time is up."""
    first, _ = _timed(system, data.first, mode, job, job["limit"] / 4)
    busy = time.process_time()
    times, found = _timed(system, data.questions, mode, job, job["limit"] / 2)
    return {"touch_ms": first, "ms": times, "cpu_ms": (time.process_time() - busy) * 1000 / len(times), "found": found}


def _timed(system: Adapter, questions: list[Question], mode: str, job: Job, limit: float) -> tuple[list[float], list[list[str]]]:
    times, found = list[float](), list[list[str]]()
    end = time.perf_counter() + limit
    for question in questions:
        if time.perf_counter() > end and len(times) >= 20:
            break
        began = time.perf_counter()
        ids = system.search(question, job["k"], mode)
        times.append((time.perf_counter() - began) * 1000)
        found.append(list(ids))
    return times, found


def evidence(job: Job) -> Job:
    """Store conversations, one owner each, and rank their messages for each question."""
    folder = Path(job["data"])
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    items, questions = [Item(*row) for row in told["items"]], [Question(*row) for row in told["questions"]]
    known = Known([one.text for one in (*items, *questions)], np.load(folder / "vectors.npy"))
    system = _opened(job, known)
    for place in range(0, len(items), 250):
        system.add_many(items[place : place + 250])
    system.settle()
    ranked = [system.search(question, job["k"], system.modes[0]) for question in questions]
    result = {"ranked": ranked, "unknown": len(known.unknown), "count": system.count()}
    system.close()
    return result


def _opened(job: Job, known: Known) -> Adapter:
    module, _, name = job["adapter"].partition(":")
    made: Adapter = getattr(importlib.import_module(f"peers.adapters.{module}"), name)(Path(job["store"]), known, **job["options"])
    return made


def _rss() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there begins with the most that the parent held
        return float(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _disk(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main(phase: str, job: Job) -> None:
    """Run a phase and write its result where the job says."""
    phases: dict[str, Callable[[Job], Job]] = {"fill": fill, "ask": ask, "evidence": evidence}
    result = phases[phase](job)
    out = Path(job["out"])
    out.with_suffix(".part").write_text(json.dumps(result), encoding="utf-8")
    os.replace(out.with_suffix(".part"), out)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
