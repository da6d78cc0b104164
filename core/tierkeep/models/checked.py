"""An embedder whose rows can be relied on: what it raises and whatever nonsense it returns is a `ModelError`, and is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError, TierkeepError
from tierkeep.protocols import Embedder, QueryEmbedder
from tierkeep.sentences import PLAIN

__all__ = ["CheckedEmbedder", "CheckedQueryEmbedder", "checked"]

_T = TypeVar("_T")


class CheckedEmbedder:
    """An embedder of anybody's. Threads may share it.

    Args:
        embedder: Makes the vectors. Its server may be down now: nothing is asked of it before the first use.

    Attributes:
        failed: How often it failed.
        last_failure: The name of the last error's type; "" when there was none.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._counting = threading.Lock()
        self.failed = 0
        self.last_failure = ""

    @property
    def identity(self) -> str:
        """The embedder's own.

        Raises:
            ModelError: A server has to be asked for it, and failed; or it is no text.
        """
        return self._watched(self._named)

    @property
    def dimension(self) -> int:
        """The embedder's own.

        Raises:
            ModelError: A server has to be asked for it, and failed.
        """
        return self._watched(lambda: self._embedder.dimension)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts, shape (len(texts), dimension).

        Raises:
            ModelError: It failed, or these are no vectors: another number of them, another length, not finite, or nothing but zeros. A row
                of zeros is passed on when a plain sentence gets a vector: then the text says nothing to this embedder, such as digits to
                one that knows words only. Whoever stores rows leaves it out.
        """
        return self._rows(self._embedder.embed, texts)

    def _rows(self, embed: Callable[[Sequence[str]], NDArray[np.float32]], texts: Sequence[str]) -> NDArray[np.float32]:
        return self._watched(lambda: self._checked(embed(texts), len(texts)))

    def _checked(self, rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        made = np.asarray(rows, np.float32)
        name, shape = self._named(), (count, self._embedder.dimension)
        if made.shape != shape:
            raise ModelError(f"the embedder {name!r} returned an array of shape {made.shape} for {count} texts, and not of {shape}")
        if not np.isfinite(made).all():
            raise ModelError(f"the embedder {name!r} returned numbers that are not finite")
        if not made.any(axis=1).all() and not np.any(self._embedder.embed([PLAIN])):
            raise ModelError(f"the embedder {name!r} returned nothing but zeros, also for a plain sentence")
        return made

    def _named(self) -> str:
        name = self._embedder.identity
        if not isinstance(name, str):
            raise ModelError(f"the identity of the embedder is {type(name).__name__} and no text")
        return name

    def _watched(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except TierkeepError as error:
            self._count(error)
            raise
        except Exception as error:  # an embedder of the caller's own may raise anything, and words are still there
            self._count(error)
            raise ModelError(f"the embedder raised {type(error).__name__}") from error

    def _count(self, error: Exception) -> None:
        with self._counting:
            self.failed += 1
            self.last_failure = type(error).__name__


class CheckedQueryEmbedder(CheckedEmbedder):
    """The same for an embedder that treats questions apart."""

    def __init__(self, embedder: QueryEmbedder) -> None:
        super().__init__(embedder)
        self._questions = embedder

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of questions; shape and errors are those of `embed`."""
        return self._rows(self._questions.embed_queries, texts)


def checked(embedder: Embedder) -> CheckedEmbedder:
    """Return the embedder behind its checks."""
    # `isinstance` would ask for the identity, and with it perhaps a server.
    if callable(getattr(embedder, "embed_queries", None)):
        return CheckedQueryEmbedder(embedder)  # type: ignore[arg-type]
    return CheckedEmbedder(embedder)
