"""An embedder that knows a few concepts and nothing else: what it finds, no word search would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.terms import analyze

_CONCEPTS = (
    "dog spaniel puppy pet leash", "car garage engine tyre vehicle", "soup bread dinner cook meal", "rain storm umbrella weather wet",
)  # fmt: skip
_OF = {term: place for place, words in enumerate(_CONCEPTS) for term in analyze(words)}


class ConceptEmbedder:
    """Unit vectors over four concepts and a rest.

    Attributes:
        texts: Everything that it was asked to embed.
        threads: Names of the threads that asked.
        before: Called before each batch; a test may wait or raise there.
    """

    def __init__(self, identity: str = "concepts/1", before: Callable[[Sequence[str]], object] = lambda texts: None) -> None:
        self.identity = identity
        self.dimension = len(_CONCEPTS) + 1
        self.texts: list[str] = []
        self.threads: set[str] = set()
        self.before = before

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.before(texts)
        self.texts += texts
        self.threads.add(threading.current_thread().name)
        rows = np.full((len(texts), self.dimension), 0.05, np.float32)
        for row, text in enumerate(texts):
            for term in analyze(text):
                rows[row, _OF.get(term, self.dimension - 1)] += 1.0 if term in _OF else 0.1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
