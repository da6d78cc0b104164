"""Events near a match in its session share its score: an answer often repeats no word of what was asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tierkeep.retrieve.index import ScopeIndex
from tierkeep.settings import RetrievalSettings

__all__ = ["neighbour_scores"]


def neighbour_scores(
    index: ScopeIndex, scores: NDArray[np.float32], settings: RetrievalSettings, share: float
) -> NDArray[np.float32]:
    """What each event receives from its session neighbours, shape (N,).

    The score `d` steps away arrives times `share * neighbour_decay**(d - 1)`. Contextual retrieval as linear smoothing of the finished
    scores: measured as good as indexing each event together with its neighbours, and it needs no second index.
    """
    received = np.zeros_like(scores)
    if not scores.any():
        return received
    weight = np.float32(share)
    before, after = scores, scores
    for _ in range(settings.neighbour_reach):
        before, after = _step(before, index.previous), _step(after, index.following)
        received += weight * (before + after)
        weight *= np.float32(settings.neighbour_decay)
    return received


def _step(scores: NDArray[np.float32], link: NDArray[np.int32]) -> NDArray[np.float32]:
    """The score of the linked row; a link of -1 reads the zero put behind the last row."""
    return np.append(scores, np.float32(0))[link]
