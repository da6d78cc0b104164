"""`tierkeep bench speed`: adds, recalls, opening, memory and disk, on messages made here.

The texts are made up from a seeded vocabulary with a natural (Zipf) spread of words: they measure speed and say nothing about quality.
"""

from __future__ import annotations

import platform
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

import tierkeep
from tierkeep import Memory
from tierkeep.evaluate.made_up import Maker, Vectors, import_time, recall_ms
from tierkeep.scoped import ScopedMemory


def run(
    n: int = 10_000, *, recalls: int = 200, durability: Literal["normal", "full"] = "normal", dimension: int = 0, seed: int = 1
) -> dict[str, Any]:
    """Return the figures for a scope of `n` events, ready for JSON.

    Args:
        n: Events in the scope when recall is measured.
        recalls: Questions asked.
        durability: "normal" (survives the death of the process) or "full" (an fsync for each write).
        dimension: Numbers in the made-up vector of each text; 0 for a memory without vectors. What a real embedder takes is not in the
            figures: `tierkeep bench embed` measures that.
        seed: Of the made-up texts.
    """
    embedder = Vectors(dimension) if dimension else None
    maker = Maker(seed)
    singles = min(n // 2, 2_000 if durability == "normal" else 500)
    with tempfile.TemporaryDirectory() as folder:
        with Memory.open(folder, durability=durability, embedder=embedder) as memory:
            mine = memory.scope(user="bench")
            one_s, one_times = _add_singles(mine, maker, singles)
            batch_s = _add_batches(mine, maker, n - singles)
            memory.settle()
        began = time.perf_counter()
        with Memory.open(folder, durability=durability, embedder=embedder) as memory:
            open_ms = (time.perf_counter() - began) * 1000
            mine = memory.scope(user="bench")
            first = recall_ms(mine, maker.question())
            times = sorted(recall_ms(mine, maker.question()) for _ in range(recalls))
            tokenizer = memory.describe()["tokenizer"]
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "n": n,
        "durability": durability,
        "dimension": dimension,
        "add_one_per_s": round(singles / one_s, 1) if one_s else 0.0,
        "add_one_p50_ms": round(median(one_times), 3) if one_times else 0.0,
        "add_batch_per_s": round((n - singles) / batch_s, 1) if batch_s else 0.0,
        "recall_p50_ms": round(median(times), 3),
        "recall_p95_ms": round(times[int(len(times) * 0.95)], 3),
        "first_recall_ms": round(first, 3),
        "open_ms": round(open_ms, 3),
        "import_s": round(import_time(), 3),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "disk_mb": round(disk / 1e6, 2),
        "tokenizer": tokenizer,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "version": tierkeep.__version__,
    }


def _add_singles(mine: ScopedMemory, maker: Maker, count: int) -> tuple[float, list[float]]:
    mine.add(maker.text(), at=maker.moment(), session=maker.session())  # the first write prepares statements; it is not timed
    times = []
    for _ in range(count):
        text, at, session = maker.text(), maker.moment(), maker.session()
        began = time.perf_counter()
        mine.add(text, at=at, session=session)
        times.append((time.perf_counter() - began) * 1000)
    return sum(times) / 1000, times


def _add_batches(mine: ScopedMemory, maker: Maker, count: int, size: int = 500) -> float:
    spent = 0.0
    for start in range(0, count, size):
        texts = [maker.text() for _ in range(min(size, count - start))]
        at, session = maker.moment(), maker.session()
        began = time.perf_counter()
        mine.add(texts, at=at, session=session)
        spent += time.perf_counter() - began
    return spent
