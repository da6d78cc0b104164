"""The deterministic divergence score of guard spec 3.9: how far each memory's claims are from those of the others, one vote an origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["divergences", "outlying", "overlap", "vote_weights", "weighted_median"]

#: Turns a median absolute deviation into a standard deviation of a normal distribution.
_MAD = 1.4826


def vote_weights(voices: Sequence[int]) -> NDArray[np.float64]:
    """Return w_j, shape (n,): 1 / the number of memories with j's voice, j included. So one origin has one vote."""
    counts = Counter(voices)
    return np.array([1.0 / counts[voice] for voice in voices], dtype=np.float64)


def divergences(features: Sequence[Mapping[str, float]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return S_div, shape (n,), 0 to 1: 1 minus the weighted mean of the weighted Jaccard similarities to all others.

    Args:
        features: Of each memory, each feature with its weight.
        weights: w_j, shape (n,).
    """
    similar = overlap(features, features)
    np.fill_diagonal(similar, 0.0)
    others = weights.sum() - weights
    agreement = np.divide(similar @ weights, others, out=np.ones_like(others), where=others > 0)
    return np.asarray(1.0 - agreement, dtype=np.float64)


def overlap(features: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the weighted Jaccard similarities of two lists of feature sets, shape (n, m); of two empty sets 1."""
    names = sorted({name for one in (*features, *others) for name in one})
    place = {name: number for number, name in enumerate(names)}
    left, right = _rows(features, place), _rows(others, place)
    # A feature has the same weight wherever it stands, so the overlap is a product.
    shared = left @ (right > 0).T.astype(np.float64)
    joined = left.sum(axis=1)[:, None] + right.sum(axis=1)[None, :] - shared
    return np.asarray(np.divide(shared, joined, out=np.ones_like(shared), where=joined > 0), dtype=np.float64)


def outlying(scores: NDArray[np.float64], weights: NDArray[np.float64], *, spread: float, least: float) -> NDArray[np.bool_]:
    """Return which scores stand out, shape (n,): S_div > median + spread x 1.4826 x MAD and S_div > least.

    Median and deviation count every origin once, like the votes: an origin that is retrieved ten times must not make its own claims the
    middle.
    """
    if not len(scores):
        return np.zeros(0, dtype=np.bool_)
    middle = weighted_median(scores, weights)
    deviation = weighted_median(np.abs(scores - middle), weights)
    return np.asarray((scores > middle + spread * _MAD * deviation) & (scores > least))


def _rows(features: Sequence[Mapping[str, float]], place: Mapping[str, int]) -> NDArray[np.float64]:
    rows = np.zeros((len(features), len(place)))
    for number, one in enumerate(features):
        for name, weight in one.items():
            rows[number, place[name]] = weight
    return rows


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the weighted median: the mean of the two middle values when half of the weight lies exactly between them."""
    order = np.argsort(values, kind="stable")
    ranked, mass = values[order], np.cumsum(weights[order])
    half = mass[-1] / 2
    at = int(np.searchsorted(mass, half - 1e-9))
    if at + 1 < len(ranked) and abs(mass[at] - half) < 1e-9:
        return float((ranked[at] + ranked[at + 1]) / 2)
    return float(ranked[min(at, len(ranked) - 1)])
