"""What is known of a scope's vectors without keeping them: how many, a digest, moments, and a few samples.

Read off the ledger in one pass, and then only what is new. The digest proves that a copy of the vectors elsewhere is theirs; the moments
give the mean and the deviation of any similarity without a scan; the samples show whether a copy still finds what it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.protocols import VectorPage

__all__ = ["Mark", "Prefix", "cut", "pieces"]

_SAMPLES = 16


class Mark(NamedTuple):
    """The vectors of a scope up to an event, in short. Equal marks are equal vectors.

    Attributes:
        seq: Place of the last event that has any, 0 when none has.
        vectors: How many there are.
        digest: Of the places, the numbers of parts, and the vectors; "" of none.
    """

    seq: int = 0
    vectors: int = 0
    digest: str = ""


class Prefix:
    """The vectors of one scope by one embedder up to some event, P of them with D numbers each, without the vectors.

    Attributes:
        last_seq: Place of the last event, 0 when there is none.
        vectors: P.
        dimension: D, 0 when there are none.
        samples: Some of the vectors, evenly spread, shape (16 at most, D).
    """

    def __init__(self) -> None:
        self.last_seq = 0
        self.vectors = 0
        self.samples: list[NDArray[np.float32]] = []
        self._stride = 1
        self._pages = 0
        self._places = hashlib.blake2b(digest_size=16)
        self._numbers = hashlib.blake2b(digest_size=16)
        self._mean = np.zeros(0, np.float32)
        self._second = np.zeros((0, 0), np.float32)  # mean of v v'

    @property
    def dimension(self) -> int:
        """Length of a vector, 0 when there are none."""
        return len(self._mean)

    @property
    def nbytes(self) -> int:
        """Bytes held: D x D numbers, however many vectors there are."""
        return self._mean.nbytes + self._second.nbytes + sum(sample.nbytes for sample in self.samples)

    def extend(self, page: VectorPage) -> None:
        """Take in a page whose events follow those that were taken in before."""
        new = len(page.matrix)
        if not new:
            return
        matrix = np.ascontiguousarray(page.matrix, np.float32)
        # Two streams, so that it does not matter how the ledger cuts its pages.
        self._places.update(np.column_stack([page.seqs, page.parts]).astype("<i8").tobytes())
        self._numbers.update(matrix.astype("<f4", copy=False).tobytes())
        if not self.vectors:
            self._mean = np.zeros(matrix.shape[1], np.float32)
            self._second = np.zeros((matrix.shape[1], matrix.shape[1]), np.float32)
        share = np.float32(new / (self.vectors + new))
        self._mean += (matrix.mean(axis=0) - self._mean) * share
        self._second += (matrix.T @ matrix / np.float32(new) - self._second) * share
        self.last_seq = int(page.seqs[-1])
        self.vectors += new
        self._sample(matrix[0])

    def _sample(self, vector: NDArray[np.float32]) -> None:
        if self._pages % self._stride == 0:
            self.samples.append(vector.copy())
            if len(self.samples) > _SAMPLES:
                del self.samples[1::2]
                self._stride *= 2
        self._pages += 1

    def mark(self) -> Mark:
        """Return the mark of what was taken in."""
        digest = f"{self._places.hexdigest()}{self._numbers.hexdigest()}" if self.vectors else ""
        return Mark(self.last_seq, self.vectors, digest)

    def spread(self, vector: NDArray[np.float32]) -> tuple[float, float]:
        """Return mean and standard deviation of the similarity of a unit vector, shape (D,), to all P vectors.

        The mean of q.v is q.(mean of v), and that of (q.v)^2 is q'(mean of v v')q.
        """
        mean = float(vector @ self._mean)
        return mean, max(0.0, float(vector @ self._second @ vector) - mean * mean) ** 0.5


def pieces(pages: Iterator[VectorPage], most: int) -> Iterator[VectorPage]:
    """Yield the same vectors in smaller pages, of `most` vectors unless one event alone has more."""
    for page in pages:
        ends = np.cumsum(page.parts)
        first = 0
        while first < len(page.seqs):
            before = int(ends[first] - page.parts[first])
            after = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
            yield VectorPage(page.seqs[first:after], page.parts[first:after], page.matrix[before : int(ends[after - 1])])
            first = after


def cut(page: VectorPage, seq: int) -> tuple[VectorPage, VectorPage]:
    """Return the part of a page up to an event, and the part after it; either may be empty."""
    events = int(np.searchsorted(page.seqs, seq, side="right"))
    rows = int(page.parts[:events].sum())
    return (
        VectorPage(page.seqs[:events], page.parts[:events], page.matrix[:rows]),
        VectorPage(page.seqs[events:], page.parts[events:], page.matrix[rows:]),
    )
