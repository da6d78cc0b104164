"""How well a number predicts a yes or no: the area under the ROC curve, and what a threshold on it catches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def auc(signal: Numbers, good: Flags) -> float | None:
    """Return the chance that a good case has a higher signal than a bad one, ties counting half (Mann-Whitney).

    Args:
        signal: Shape (N,).
        good: Shape (N,).

    Returns:
        0 to 1, or None when all cases are of one kind.
    """
    goods = int(good.sum())
    bads = len(good) - goods
    if not goods or not bads:
        return None
    _, place, counts = np.unique(signal, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_rank[place][good].sum() - goods * (goods + 1) / 2) / (goods * bads))


def auc_interval(signal: Numbers, good: Flags, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of `auc` over cases, or None when all cases are of one kind."""
    if auc(signal, good) is None:
        return None
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(good), len(good)) for _ in range(resamples))
    areas = [area for rows in drawn if (area := auc(signal[rows], good[rows])) is not None]
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def threshold_for(signal: Numbers, share: float) -> float:
    """Return the threshold below which `share` of the cases lie: as near as ties allow, never more.

    Args:
        signal: Shape (N,), N at least 1.
        share: 0 to 1, exclusive.
    """
    return float(np.sort(signal)[int(share * len(signal))])


class Escalation(NamedTuple):
    """What a threshold does: cases, cases below it, bad cases, and bad cases below it."""

    n: int
    escalated: int
    misses: int
    caught: int

    def figures(self) -> dict[str, float | int | None]:
        """Return counts and ratios; a ratio over nothing is None. `recall` is of the misses, `precision` of the escalations."""
        return {
            **self._asdict(),
            "share": _ratio(self.escalated, self.n),
            "recall": _ratio(self.caught, self.misses),
            "precision": _ratio(self.caught, self.escalated),
        }


def escalation(signal: Numbers, good: Flags, threshold: float) -> Escalation:
    """Return what escalating every case below a threshold does."""
    below = signal < threshold
    return Escalation(len(signal), int(below.sum()), int((~good).sum()), int((below & ~good).sum()))


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
