"""DBSCAN over path vectors, the clustering of the released code (guard spec 3.3).

Fifty points and one algorithm of twenty lines do not justify scikit-learn, which is a hundred times the size of tierkeep. The labels are
those of `sklearn.cluster.DBSCAN(eps, min_samples, metric="cosine")`: golden files hold them against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOISE", "dbscan", "largest"]

NOISE = -1


def dbscan(vectors: NDArray[np.floating], eps: float, min_samples: int) -> NDArray[np.int64]:
    """Return the cluster of each vector, shape (n,): 0, 1, … in order of their first core, `NOISE` for none.

    Args:
        vectors: Shape (n, dimension); need not be unit vectors. A zero vector is at distance 1 from everything.
        eps: Greatest cosine distance of neighbours, that distance included.
        min_samples: Neighbours that make a core, itself included.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors, dtype=np.float64), where=lengths > 0)
    distances = 1.0 - unit @ unit.T
    np.fill_diagonal(distances, 0.0)
    near = distances <= eps
    core = near.sum(axis=1) >= min_samples
    labels = np.full(len(vectors), NOISE, dtype=np.int64)
    clusters = 0
    for start in range(len(vectors)):
        if labels[start] != NOISE or not core[start]:
            continue
        labels[start], waiting = clusters, [start]
        while waiting:
            point = waiting.pop()
            if core[point]:  # a border point belongs to the first cluster that reaches it, and leads nowhere
                for other in np.flatnonzero(near[point] & (labels == NOISE)):
                    labels[other] = clusters
                    waiting.append(int(other))
        clusters += 1
    return labels


def largest(labels: Sequence[int] | NDArray[np.int64], weights: NDArray[np.float64]) -> int:
    """Return the cluster with the most weight, `NOISE` when there is none; of equals the first."""
    masses: dict[int, float] = {}
    for label, weight in zip(labels, weights, strict=True):
        if label != NOISE:
            masses[int(label)] = masses.get(int(label), 0.0) + float(weight)
    return max(sorted(masses), key=lambda label: round(masses[label], 9), default=NOISE)
