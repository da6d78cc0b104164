"""Made-up messages, questions and vectors for measurements of speed: a seeded vocabulary with a natural (Zipf) spread of words.

They say nothing about quality. The same seed gives the same texts.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.scoped import ScopedMemory

__all__ = ["BUDGET", "Maker", "Timed", "Vectors", "import_time", "recall_ms", "timed"]

_WORDS = 20_000
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro sa te vo wa xi yo zu bra cle dri flo gru ple sta tri".split()
BUDGET = 2048  # tokens of a timed recall's evidence


class Maker:
    """Makes messages and questions, the same for the same seed.

    Args:
        seed: Of everything that is made.
        like: A maker whose vocabulary is used, instead of making one.
    """

    def __init__(self, seed: int, like: Maker | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  made-up text, not a secret
        if like is not None:
            self._words: list[str] = like._words
            self._weights: list[float] = like._weights
        else:
            self._words = ["".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4))) for _ in range(_WORDS)]
            self._weights = list(accumulate(1 / (rank + 10) for rank in range(_WORDS)))
        self._at = datetime(2025, 1, 1, 8, tzinfo=UTC)
        self._count = 0

    def text(self) -> str:
        """Return the next message: three words or more, some 19 in the middle."""
        self._count += 1
        length = max(3, int(self._random.lognormvariate(2.9, 0.6)))
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=length)).capitalize() + "."

    def question(self) -> str:
        """Return a question of six words of the vocabulary."""
        return "What about " + " ".join(self._random.choices(self._words, cum_weights=self._weights, k=6)) + "?"

    def moment(self) -> str:
        """Return a moment seven minutes after the last one."""
        self._at += timedelta(minutes=7)
        return self._at.isoformat()

    def session(self) -> str:
        """Return the conversation of the last message: 25 messages each."""
        return f"s{self._count // 25}"


class Vectors:
    """An embedder whose vectors depend on the text and mean nothing.

    Args:
        dimension: Numbers in each vector.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.identity = f"made-up/{dimension}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a unit vector for each text, shape (texts, dimension)."""
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.dimension, np.float32) for text in texts]
        return np.stack(rows) / np.linalg.norm(np.stack(rows), axis=1, keepdims=True) if rows else np.zeros((0, self.dimension), np.float32)


def recall_ms(mine: ScopedMemory, question: str) -> float:
    """Ask for 2,048 tokens of evidence; return the milliseconds it took."""
    return timed(lambda: mine.recall(question, budget=BUDGET)).ms


class Timed(NamedTuple):
    """What something took: milliseconds by the clock, and those that this process had a processor, of all its threads."""

    ms: float
    cpu_ms: float


def timed(action: Callable[[], object]) -> Timed:
    """Do something; return what it took. On a busy machine the processor's time is what can be compared."""
    began, busy = time.perf_counter(), time.process_time()
    action()
    return Timed(1000 * (time.perf_counter() - began), 1000 * (time.process_time() - busy))


def import_time() -> float:
    """Return the median seconds of `import tierkeep` in fresh interpreters, the bare interpreter's start taken off."""
    def spent(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  our own interpreter, constant code
        return time.perf_counter() - began

    return max(0.0, median([spent("import tierkeep") for _ in range(3)]) - median([spent("pass") for _ in range(3)]))
