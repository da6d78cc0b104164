"""What `tierkeep bench growth` measures in a process of its own, so that nothing is warm and the memory that is held is the reader's.

`python -m tierkeep.evaluate.growth_probe '{"what": "opening", …}'` prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierkeep import Memory
from tierkeep.evaluate.made_up import BUDGET, Maker, Timed, Vectors, timed
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import EmbeddingSettings, Settings

__all__ = ["opening", "reading", "shares"]

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
    memory: list[Memory] = []
    opened = timed(lambda: memory.append(_opened(folder, dimension)))
    question = Maker(seed).question()
    answered = timed(lambda: memory[0].scope(user=user).recall(question, budget=BUDGET))
    memory[0].close()
    return {
        "open_ms": opened.ms, "open_to_answer_ms": opened.ms + answered.ms, "open_to_answer_cpu_ms": opened.cpu_ms + answered.cpu_ms,
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
        first = [_asked(scope, maker) for scope in scopes]
        for number in range(max(_SORTING, len(scopes))):
            _asked(scopes[number % len(scopes)], maker)
        times = [_asked(scopes[number % len(scopes)], maker) for number in range(recalls)]
        held = _resident_mb()
    return {
        **shares("recall", times, 0.5, 0.95, 0.99), **shares("first_touch", first, 0.5, 0.95),
        "touched": float(len(users)), "rss_opened_mb": before, "rss_touched_mb": held,
    }  # fmt: skip


def shares(name: str, times: Sequence[Timed], *parts: float) -> dict[str, float]:
    """Return the times that these parts of all do not exceed, by the clock, and the processor's time that half of them do not."""
    by_clock = {f"{name}_p{100 * part:.0f}_ms": _share([one.ms for one in times], part) for part in parts}
    return {**by_clock, f"{name}_cpu_p50_ms": _share([one.cpu_ms for one in times], 0.5)}


def _share(times: list[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def _asked(mine: ScopedMemory, maker: Maker) -> Timed:
    question = maker.question()
    return timed(lambda: mine.recall(question, budget=BUDGET))


def _opened(folder: str, dimension: int, index_bytes: int | None = None) -> Memory:
    bound = {} if index_bytes is None else {"index_bytes": index_bytes, "embedding": EmbeddingSettings(index_bytes=index_bytes)}
    return Memory.open(folder, settings=Settings.model_validate(bound), embedder=Vectors(dimension) if dimension else None)


def _warm_up(dimension: int) -> None:
    with _opened(":memory:", dimension) as memory:
        mine = memory.scope(user="warm")
        mine.add("The boat lies in the old harbour.")
        mine.recall("What about the boat?", budget=BUDGET)


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
