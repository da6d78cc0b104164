"""Intervals: of shares, and by the bootstrap over questions, and over conversations, whose questions are not independent of one another.

Percentile intervals of 95 % (Efron and Tibshirani, 1993), with SciPy. A difference of two methods is resampled by pairs: the same questions
for both.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from tierkeep.errors import MissingExtraError

RESAMPLES = 2_000
_SEED = 20_240_229
#: Resamples that are held in memory at once.
_BATCH = 250


class Interval(NamedTuple):
    """A mean with its intervals; None where there are fewer than two of what is resampled, or SciPy is not installed."""

    value: float
    by_question: tuple[float, float] | None = None
    by_conversation: tuple[float, float] | None = None

    def as_json(self) -> dict[str, float | list[float] | None]:
        """Return the figures rounded for a report."""
        return {
            "value": round(self.value, 4),
            **{name: None if ends is None else [round(end, 4) for end in ends]
               for name, ends in (("by_question", self.by_question), ("by_conversation", self.by_conversation))},
        }  # fmt: skip


def available() -> bool:
    """Return whether SciPy is installed."""
    return importlib.util.find_spec("scipy") is not None


def need(what: str) -> None:
    """Refuse work that needs SciPy where it is not installed.

    Raises:
        MissingExtraError: It is not.
    """
    if not available():
        raise MissingExtraError(what, extra="bench")


def interval(values: Sequence[float], clusters: Sequence[str]) -> Interval:
    """Return the mean of some questions' figures with its intervals.

    Args:
        values: A figure for each question; of a difference, ours minus theirs.
        clusters: The conversation of each, in the same order. Conversations are resampled whole, and weigh what their questions weigh.
    """
    if not values:
        return Interval(0.0)
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if not available():
        return Interval(mean)
    names, places = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(places, weights=numbers, minlength=len(names))
    counts = np.bincount(places, minlength=len(names)).astype(np.float64)
    ones = np.ones_like(numbers)
    return Interval(mean, _ends(numbers, ones), _ends(sums, counts))


def _ends(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float] | None:
    """Return the ends of the interval of sum(sums) / sum(counts), both resampled together; None for fewer than two."""
    if len(sums) < 2:
        return None
    if np.ptp(sums / counts) == 0:
        return float(sums[0] / counts[0]), float(sums[0] / counts[0])
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    found = bootstrap(
        (sums, counts), lambda s, c, axis: s.sum(axis=axis) / c.sum(axis=axis), paired=True, vectorized=True, method="percentile",
        n_resamples=RESAMPLES, batch=_BATCH, confidence_level=0.95, rng=np.random.default_rng(_SEED),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share (Wilson, 1927): it stays within 0 and 1, and holds for few cases.

    Args:
        hits: Cases that count.
        n: Cases in all; 0 gives the whole range.
        confidence: 0 to 1.
    """
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / n
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def mcnemar(first_only: int, second_only: int) -> float | None:
    """Return the exact two-sided p-value of McNemar's test (1947) that two methods succeed equally often on the same cases.

    Args:
        first_only: Cases in which only the first succeeded.
        second_only: Cases in which only the second did.

    Returns:
        None where SciPy is not installed; 1.0 where no case tells the two apart.
    """
    if not first_only + second_only:
        return 1.0
    if not available():
        return None
    from scipy.stats import binomtest

    return float(f"{binomtest(first_only, first_only + second_only, 0.5).pvalue:.4g}")
