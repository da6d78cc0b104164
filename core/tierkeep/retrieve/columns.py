"""Arrays that grow: the columns of the in-memory indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Rows"]


class Column:
    """A one-dimensional array that grows by doubling."""

    __slots__ = ("_data", "_used")

    def __init__(self, dtype: type[np.generic]) -> None:
        """Starts empty."""
        self._data: NDArray[Any] = np.zeros(16, dtype=dtype)
        self._used = 0

    def extend(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Appends the values."""
        end = self._used + len(values)
        if end > len(self._data):
            grown = np.zeros(max(end, 2 * len(self._data)), dtype=self._data.dtype)
            grown[: self._used] = self.values
            self._data = grown
        self._data[self._used : end] = values
        self._used = end

    def __len__(self) -> int:
        """The number of values."""
        return self._used

    @property
    def values(self) -> NDArray[Any]:
        """The values so far: a view, replaced when the column grows."""
        return self._data[: self._used]

    @property
    def nbytes(self) -> int:
        """Bytes held, room for growth included."""
        return self._data.nbytes


class Rows:
    """A matrix of float32 that grows row by row, by a half each time: doubling would leave up to half of the memory unused."""

    __slots__ = ("_data", "_used")

    def __init__(self, width: int, room: int = 0) -> None:
        """Starts empty, with rows of `width` numbers and room for so many rows: growing copies them all."""
        self._data: NDArray[np.float32] = np.zeros((room, width), np.float32)
        self._used = 0

    def extend(self, rows: NDArray[np.float32]) -> None:
        """Appends rows, shape (rows, width)."""
        end = self._used + len(rows)
        if end > len(self._data):
            grown = np.zeros((max(end, len(self._data) + len(self._data) // 2), self._data.shape[1]), np.float32)
            grown[: self._used] = self.values
            self._data = grown
        self._data[self._used : end] = rows
        self._used = end

    def __len__(self) -> int:
        """The number of rows."""
        return self._used

    @property
    def room(self) -> int:
        """How many more rows fit before it grows."""
        return len(self._data) - self._used

    @property
    def values(self) -> NDArray[np.float32]:
        """The rows so far, shape (rows, width): a view, replaced when the matrix grows."""
        return self._data[: self._used]

    @property
    def nbytes(self) -> int:
        """Bytes held, room for growth included."""
        return self._data.nbytes
