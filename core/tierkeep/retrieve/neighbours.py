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
    rows: NDArray[np.intp] = np.flatnonzero(scores)  # most events match nothing, and what gives nothing is not visited
    for link in (index.following, index.previous):
        at, given = rows, scores[rows] * np.float32(share)
        for _ in range(settings.neighbour_reach):
            at = link[at].astype(np.intp)
            if (at < 0).any():
                at, given = at[at >= 0], given[at >= 0]
            received[at] += given  # no row follows two others, so none is meant twice
            given = given * np.float32(settings.neighbour_decay)
    return received
