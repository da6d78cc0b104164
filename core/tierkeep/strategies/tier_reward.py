"""MemSifter's reward, as credit for a ranking that was used (arXiv 2603.03379; strategies spec, 5.14).

The working model answers with the best 1, 2, 3, 5, 8, … items of a ranking. What each step adds over no memory at all is weighed by how
early it comes. A pure formula for logs: nothing in tierkeep trains on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tierkeep.errors import InputError

__all__ = ["fibonacci_tiers", "tier_reward", "tier_weights"]


def fibonacci_tiers(count: int) -> tuple[int, ...]:
    """Return the first `count` tiers, each once: 1, 2, 3, 5, 8 and so on.

    Raises:
        InputError: `count` is less than 1.
    """
    if count < 1:
        raise InputError(f"there is at least one tier, not {count}", field="count")
    tiers = [1, 2]
    while len(tiers) < count:
        tiers.append(tiers[-2] + tiers[-1])
    return tuple(tiers[:count])


def tier_weights(count: int) -> tuple[float, ...]:
    """Return the weights of the first `count` tiers: `w_n = C(F_n) - C(F_{n+1})` with the discount `C(k) = 1 / log2(k + 1)`.

    Nothing comes after the last tier, so it keeps all of its discount, and the weights sum to C(1) = 1. The code that was released with the
    paper leaves out the tier of one item; its weights sum to C(2) = 0.6309, and a ranking that changes nothing is punished.

    Raises:
        InputError: `count` is less than 1.
    """
    discounts = [1 / math.log2(tier + 1) for tier in fibonacci_tiers(count)]
    return tuple(here - after for here, after in zip(discounts, [*discounts[1:], 0.0], strict=True))


def tier_reward(scores_by_n: Mapping[int, float], baseline: float) -> float:
    """Return `sum of w_n * (s_n - s_0)` over the tiers: the gain of a ranking over no memory.

    Args:
        scores_by_n: How well the task went with the best n items, for each n of `fibonacci_tiers(count)`; on any scale.
        baseline: How well it went with none of them, on the same scale.

    Returns:
        The reward: 0 when memory made no difference, `s - baseline` when every tier reached the same score s.

    Raises:
        InputError: A tier is missing or is none, or a score is not a finite number.
    """
    tiers = fibonacci_tiers(max(1, len(scores_by_n)))
    if set(scores_by_n) != set(tiers):
        wanted = ", ".join(map(str, tiers))
        raise InputError(f"scores are wanted for the best {wanted} items, not for {sorted(scores_by_n)}", field="scores_by_n")
    if not all(map(math.isfinite, (*scores_by_n.values(), baseline))):
        raise InputError("a score is not a finite number", field="scores_by_n")
    return math.fsum(weight * (scores_by_n[tier] - baseline) for tier, weight in zip(tiers, tier_weights(len(tiers)), strict=True))
