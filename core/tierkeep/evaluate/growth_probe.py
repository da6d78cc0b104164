"""What `tierkeep bench growth` measures in a process of its own, so that nothing is warm and the memory that is held is the reader's.

`python -m tierkeep.evaluate.growth_probe '{"what": "opening", …}'` prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from tierkeep import Memory
from tierkeep.evaluate.made_up import Maker, Vectors, recall_ms
from tierkeep.settings import EmbeddingSettings, Settings

__all__ = ["opening", "reading", "share"]

_SORTING = 24  # questions that sort a large scope after it was loaded; they are not the ordinary case


def opening(folder: str, user: str, *, seed: int, dimension: int = 0) -> dict[str, float]:
    """Measure an opening and the first answer after it; modules, tokenizer and word tables are loaded before, by another memory.

    Args:
        folder: The store.
        user: Who is asked about; nothing of them is in memory.
        seed: Of the question.
        dimension: Of the made-up vectors; 0 for none.
    """
    _warm_up(dimension)
    began, busy = time.perf_counter(), time.process_time()
    with _opened(folder, dimension) as memory:
        opened = time.perf_counter()
        recall_ms(memory.scope(user=user), Maker(seed).question())
        answered, done = time.perf_counter(), time.process_time()
    return {
        "open_ms": 1000 * (opened - began), "open_to_answer_ms": 1000 * (answered - began), "open_to_answer_cpu_ms": 1000 * (done - busy),
    }  # fmt: skip


def reading(
    folder: str, users: list[str], *, seed: int, recalls: int = 200, dimension: int = 0, index_bytes: int | None = None
) -> dict[str, float]:
    """Measure a first question to each of several scopes, then questions to them in turn, and the memory held after it.

    Args:
        folder: The store.
        users: The scopes.
        seed: Of the questions.
        recalls: Questions after the first ones.
        dimension: Of the made-up vectors; 0 for none.
        index_bytes: What the lexical indexes, and the vectors, may hold; the default when None.
    """
    _warm_up(dimension)
    maker = Maker(seed)
    with _opened(folder, dimension, index_bytes) as memory:
        before = _resident_mb()
        scopes = [memory.scope(user=user) for user in users]
        first = [recall_ms(scope, maker.question()) for scope in scopes]
        for number in range(max(_SORTING, len(scopes))):
            recall_ms(scopes[number % len(scopes)], maker.question())
        times, busy = [], []
        for number in range(recalls):
            began = time.process_time()
            times.append(recall_ms(scopes[number % len(scopes)], maker.question()))
            busy.append(1000 * (time.process_time() - began))
        held = _resident_mb()
    return {
        "recall_p50_ms": share(times, 0.5), "recall_p95_ms": share(times, 0.95), "recall_p99_ms": share(times, 0.99),
        "recall_cpu_p50_ms": median(busy), "first_touch_p50_ms": share(first, 0.5), "first_touch_p95_ms": share(first, 0.95),
        "touched": float(len(users)), "rss_opened_mb": before, "rss_touched_mb": held,
    }  # fmt: skip


def share(times: list[float], part: float) -> float:
    """Return the time that this part of the times does not exceed."""
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def _opened(folder: str, dimension: int, index_bytes: int | None = None) -> Memory:
    bound = {} if index_bytes is None else {"index_bytes": index_bytes, "embedding": EmbeddingSettings(index_bytes=index_bytes)}
    return Memory.open(folder, settings=Settings.model_validate(bound), embedder=Vectors(dimension) if dimension else None)


def _warm_up(dimension: int) -> None:
    with _opened(":memory:", dimension) as memory:
        mine = memory.scope(user="warm")
        mine.add("The boat lies in the old harbour.")
        recall_ms(mine, "What about the boat?")


def _resident_mb() -> float:
    """Return the memory that this process holds, in MB; the most it ever held where the system does not say."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _main() -> None:
    asked = json.loads(sys.argv[1])
    probes: Mapping[str, Callable[..., dict[str, Any]]] = {"opening": opening, "reading": reading}
    sys.stdout.write(json.dumps(probes[asked.pop("what")](**asked)))


if __name__ == "__main__":
    _main()
