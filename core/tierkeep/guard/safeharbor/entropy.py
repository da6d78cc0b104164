"""When a new attack becomes a leaf or a cluster of its own: the paper's information gain, and the score of the released code.

Guard spec 2.3. The two are different algorithms. The gain is bounded by about log2((n + 1) / n), n being the leaves that are there,
however new the attack is: in effect a cap on leaves (four at 0.3), which prefers typical attacks. It is the default because it is what was
published; `novelty="residual"` asks how far the attack is from every leaf instead, which is what one would expect of a novelty test.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierkeep.guard.safeharbor.tree import Matrix, Vector, mean

_Floats: TypeAlias = NDArray[np.floating]

#: Code mode (released code, guard spec 2.3): what stands in for an entropy where there is none.
DEFENCE_FAILED, OUT_OF_DISTRIBUTION, NO_CLUSTER = 10.0, 5.0, 1.0
_LEAST_COSINE = 0.001  # code: a cosine below counts as this


def leaf_entropy(leaves: Matrix, gamma: float, centroid: Vector | None = None) -> float:
    """Return H(C) in bits: of the softmax of the leaves' cosines to their centroid, at temperature gamma (paper mode).

    Args:
        leaves: Shape (leaves, dimension).
        gamma: Temperature, above 0.
        centroid: The leaves' own otherwise.
    """
    cosines = (leaves @ (mean(leaves) if centroid is None else centroid)).astype(np.float64)
    return _entropy(_softmax(cosines / gamma))


def information_gain(leaves: Matrix, z: Vector, gamma: float) -> float:
    """Return dI = H(C + z) - H(C), the centroid fitted anew to the leaves with z (paper mode)."""
    return leaf_entropy(np.vstack([leaves, z]), gamma) - leaf_entropy(leaves, gamma)


def gain_bound(n: int) -> float:
    """Return log2((n + 1) / n): the most that a leaf can add, in bits, to n leaves that are equally typical."""
    return float(np.log2((n + 1) / n))


def residual(leaves: Matrix, z: Vector) -> float:
    """Return 1 - the cosine to the most similar leaf: 0 for a leaf that is there already (ours; guard spec 2.3)."""
    return float(1.0 - (leaves @ z).max())


def ambiguity(cosines: _Floats, *, sharpening: float = 0.1, ood: float = 0.5, defended: bool | None = None) -> float:
    """Return the score of code mode: above a threshold the attack gets a cluster of its own.

    Args:
        cosines: To the centroids of the category's clusters.
        sharpening: Exponent is one over this.
        ood: Below this cosine to all of them the attack is out of distribution.
        defended: False when the present defence failed on the attack.
    """
    if defended is False:
        return DEFENCE_FAILED
    if len(cosines) == 0:
        return NO_CLUSTER
    kept = np.maximum(np.asarray(cosines, dtype=np.float64), _LEAST_COSINE)
    if kept.max() < ood:
        return OUT_OF_DISTRIBUTION
    sharp = (kept / kept.max()) ** (1.0 / sharpening)  # divided by the largest first, so that nothing underflows
    bits = _entropy(sharp / sharp.sum())
    return bits / float(np.log2(len(kept))) if len(kept) > 1 else bits


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return max(0.0, float(-(some * np.log2(some)).sum()))
