"""An embedder that embeds each text once in a measurement, and knows what that took.

The memory and the dense baseline look at the same texts: without a cache a comparison would cost twice what it measures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.protocols import Embedder, QueryEmbedder

Vectors = NDArray[np.float32]


class CachedEmbedder:
    """Passes each text on once, from any thread.

    Args:
        inner: What embeds.

    Attributes:
        identity: That of `inner`: vectors are its own.
        dimension: Length of a vector.
        texts: Texts that `inner` embedded, questions left out.
        seconds: What that took.
        query_seconds: What questions took, those that were known included.
    """

    def __init__(self, inner: Embedder) -> None:
        """Begin with nothing embedded."""
        self.identity = inner.identity
        self.dimension = inner.dimension
        self.texts = 0
        self.seconds = 0.0
        self.query_seconds = 0.0
        self._inner = inner
        self._queries = inner.embed_queries if isinstance(inner, QueryEmbedder) else None
        self._known: dict[str, Vectors] = {}
        self._known_queries: dict[str, Vectors] = {}
        self._lock = threading.RLock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimension)."""
        with self._lock:
            began = time.perf_counter()
            self.texts += self._learn(texts, self._known, self._inner.embed)
            self.seconds += time.perf_counter() - began
            return self._rows(texts, self._known)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of questions; those of plain texts where the embedder makes no difference."""
        with self._lock:
            began = time.perf_counter()
            try:
                if self._queries is None:
                    self._learn(texts, self._known, self._inner.embed)
                    return self._rows(texts, self._known)
                self._learn(texts, self._known_queries, self._queries)
                return self._rows(texts, self._known_queries)
            finally:
                self.query_seconds += time.perf_counter() - began

    def _learn(self, texts: Sequence[str], known: dict[str, Vectors], embed: Callable[[Sequence[str]], Vectors]) -> int:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return len(new)

    def _rows(self, texts: Sequence[str], known: dict[str, Vectors]) -> Vectors:
        return np.array([known[text] for text in texts], np.float32).reshape(len(texts), self.dimension)
