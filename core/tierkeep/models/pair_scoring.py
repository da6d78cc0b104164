"""What models that score (question, text) pairs share: batches, a deadline between them, and scores that can be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import ModelError

__all__ = ["score_in_batches"]

#: Share of the time that is left which re-ranking may take: who answers from the evidence wants the rest.
_SHARE = 0.5


def score_in_batches(
    texts: Sequence[str], score: Callable[[list[str]], NDArray[Any]], allowance: Allowance, *, batch_size: int, name: str
) -> NDArray[np.float32]:
    """Return one score a text, shape (len(texts),), finite, in input order.

    The longest texts go first: padding is least in batches of like length, and what is still to come then takes no longer than what went
    before, so that work which cannot be finished in time is given up early instead of late.

    Args:
        texts: To be scored.
        score: Scores some of them, shape (n,).
        allowance: For its deadline, looked at before each batch. A batch that has begun is finished.
        batch_size: Texts scored together.
        name: Who scores, for errors.

    Raises:
        ModelError: It cannot be finished in half of the time that is left, or a score is missing or not a number.
    """
    order = sorted(range(len(texts)), key=lambda place: (-len(texts[place]), place))
    scores = np.zeros(len(texts), dtype=np.float32)
    left = allowance.seconds_left()
    most, began = None if left is None else left * _SHARE * 1_000, allowance.ms()
    for start in range(0, len(order), batch_size):
        spent = allowance.ms() - began
        needed = spent * len(order) / start if start else spent
        if most is not None and (allowance.expired() or needed > most):
            raise ModelError(f"{name} cannot score {len(texts)} texts in the time that is left: {start} were done")
        places = order[start : start + batch_size]
        found = np.asarray(score([texts[place] for place in places]), dtype=np.float32)
        if found.shape != (len(places),):
            raise ModelError(f"{name} gave scores of shape {found.shape} for {len(places)} texts: a re-ranker gives one score a text")
        if not np.isfinite(found).all():
            raise ModelError(f"{name} gave a score that is not a finite number: try it in full precision")
        scores[places] = found
    return scores
