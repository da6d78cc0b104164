"""What every embedder has to see to: texts that can be encoded, and rows that are finite unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError, ModelError

BLANK = "(no text)"


def texts_of(texts: Sequence[str]) -> list[str]:
    """Return the texts as valid Unicode: half of a surrogate pair becomes a question mark.

    Raises:
        InputError: One text instead of a sequence of texts, or something that is not text.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InputError("embed() takes a sequence of texts", field="texts")
    return [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]


def unit_rows(rows: Any, count: int, label: str, dimension: int | None = None) -> NDArray[np.float32]:
    """Return rows as float32 unit vectors, shape (count, dimension).

    Args:
        rows: What a model replied: an array, or a sequence of sequences of numbers.
        count: How many texts it was given.
        label: What the model is called in an error.
        dimension: Length of a vector, when it is known.

    Raises:
        ModelError: These are not that many vectors of one length, finite and above 0.
    """
    try:
        made = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        made = np.empty(())
    if made.ndim != 2 or len(made) != count or dimension not in (None, made.shape[1]):
        wanted = f"vectors of length {dimension}" if dimension else "vectors of one length"
        raise ModelError(f"{label} did not return {wanted}, one for each of {count} texts")
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ModelError(f"{label} returned a vector that has no finite length above 0")
    return np.asarray(made / lengths, dtype=np.float32)
