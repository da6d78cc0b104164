"""`tierkeep bench speed`: adds, recalls, opening, memory and disk, on messages made here.

The texts are made up from a seeded vocabulary with a natural (Zipf) spread of words: they measure speed and say nothing about quality.
"""

from __future__ import annotations

import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import tierkeep
from tierkeep import Memory
from tierkeep.scoped import ScopedMemory

_WORDS = 20_000
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro sa te vo wa xi yo zu bra cle dri flo gru ple sta tri".split()


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
    embedder = _MadeUp(dimension) if dimension else None
    maker = _Maker(seed)
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
            first = _time_recall(mine, maker.question())
            times = sorted(_time_recall(mine, maker.question()) for _ in range(recalls))
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
        "import_s": round(_import_time(), 3),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "disk_mb": round(disk / 1e6, 2),
        "tokenizer": tokenizer,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "version": tierkeep.__version__,
    }


def _add_singles(mine: ScopedMemory, maker: _Maker, count: int) -> tuple[float, list[float]]:
    mine.add(maker.text(), at=maker.moment(), session=maker.session())  # the first write prepares statements; it is not timed
    times = []
    for _ in range(count):
        text, at, session = maker.text(), maker.moment(), maker.session()
        began = time.perf_counter()
        mine.add(text, at=at, session=session)
        times.append((time.perf_counter() - began) * 1000)
    return sum(times) / 1000, times


def _add_batches(mine: ScopedMemory, maker: _Maker, count: int, size: int = 500) -> float:
    spent = 0.0
    for start in range(0, count, size):
        texts = [maker.text() for _ in range(min(size, count - start))]
        at, session = maker.moment(), maker.session()
        began = time.perf_counter()
        mine.add(texts, at=at, session=session)
        spent += time.perf_counter() - began
    return spent


def _time_recall(mine: ScopedMemory, question: str) -> float:
    began = time.perf_counter()
    mine.recall(question, budget=2048)
    return (time.perf_counter() - began) * 1000


def _import_time() -> float:
    """Return the median seconds of `import tierkeep` in fresh interpreters, the bare interpreter's start taken off."""
    def spent(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  our own interpreter, constant code
        return time.perf_counter() - began

    return max(0.0, median([spent("import tierkeep") for _ in range(3)]) - median([spent("pass") for _ in range(3)]))


class _MadeUp:
    """Vectors that depend on the text and mean nothing."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.identity = f"made-up/{dimension}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.dimension, np.float32) for text in texts]
        return np.stack(rows) / np.linalg.norm(np.stack(rows), axis=1, keepdims=True) if rows else np.zeros((0, self.dimension), np.float32)


class _Maker:
    """Makes messages and questions, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  made-up text, not a secret
        self._words = ["".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4))) for _ in range(_WORDS)]
        self._weights = [1 / (rank + 10) for rank in range(_WORDS)]
        self._at = datetime(2025, 1, 1, 8, tzinfo=UTC)
        self._count = 0

    def text(self) -> str:
        self._count += 1
        length = max(3, int(self._random.lognormvariate(2.9, 0.6)))
        return " ".join(self._random.choices(self._words, self._weights, k=length)).capitalize() + "."

    def question(self) -> str:
        return "What about " + " ".join(self._random.choices(self._words, self._weights, k=6)) + "?"

    def moment(self) -> str:
        self._at += timedelta(minutes=7)
        return self._at.isoformat()

    def session(self) -> str:
        return f"s{self._count // 25}"
