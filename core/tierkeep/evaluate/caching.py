"""An embedder that embeds each text once in a measurement, and knows what that took.

The memory and the dense baseline look at the same texts: without a cache a comparison would cost twice what it measures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.models import embedding_cache
from tierkeep.protocols import Embedder, QueryEmbedder

Vectors = NDArray[np.float32]
#: More than any set here needs: nothing is to be embedded twice.
_MOST_BYTES = 4 << 30


class CachedEmbedder:
    """Passes each text on once (`tierkeep.models.embedding_cache`), from any thread, one call at a time, and takes the time.

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
        self._cache = embedding_cache.CachedEmbedder(_Counting(inner, self), max_bytes=_MOST_BYTES)
        self._queries = isinstance(inner, QueryEmbedder)
        self._lock = threading.RLock()
        self._asking = False

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimension)."""
        with self._lock:
            began = time.perf_counter()
            rows = self._cache.embed(texts)
            self.seconds += time.perf_counter() - began
            return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of questions; those of plain texts where the embedder makes no difference."""
        with self._lock:
            began = time.perf_counter()
            self._asking = True
            try:
                return self._cache.embed_queries(texts) if self._queries else self._cache.embed(texts)
            finally:
                self._asking = False
                self.query_seconds += time.perf_counter() - began

    def embedded(self, count: int) -> None:
        """Take note that so many texts reached the embedder."""
        self.texts += 0 if self._asking else count


class _Counting:
    """Tells how many texts reach the embedder."""

    def __init__(self, inner: Embedder, owner: CachedEmbedder) -> None:
        self.identity = inner.identity
        self.dimension = inner.dimension
        self._inner = inner
        self._owner = owner

    def embed(self, texts: Sequence[str]) -> Vectors:
        self._owner.embedded(len(texts))
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._inner.embed_queries(texts) if isinstance(self._inner, QueryEmbedder) else self._inner.embed(texts)
