"""H2O: slots that have drawn the most attention so far stay, beside the newest ones (Zhang et al., arXiv 2306.14048)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep_transformers.policies.policy import Need, Policy, check_share

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["H2O"]


@dataclass(frozen=True, kw_only=True)
class H2O(Policy):
    """The heavy-hitter oracle: half of the budget for the newest tokens, half for those with the most attention, summed over all queries.

    Differences: attention is the mean of the query heads that share a KV head (the paper has one per query head), and a head is cut back
    after `buffer` tokens instead of after each. Watching attention rules out fused kernels.

    Args:
        recent_frac: The share of the budget that goes to the newest tokens.
        normalise: Divide the sum by the number of queries that could see the slot, so that early tokens are not ahead for their age only.
            With `recent_frac=0` this is kvpress' ObservedAttention.

    Raises:
        SettingsError: A number is out of range.
    """

    recent_frac: float = 0.5
    normalise: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        check_share("recent_frac", self.recent_frac, ends=True)

    @property
    def needs(self) -> frozenset[Need]:
        """Every query's attention."""
        return frozenset({Need.ATTENTION})

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Begin the sum of attention at 0."""
        return {"attention": torch.zeros(key.shape[:3], device=key.device)}

    def observe(self, slots: Slots, weights: Tensor, rows: Tensor, real: Tensor | None) -> None:
        """Add the attention of real queries."""
        if real is not None:
            weights = weights * real[:, None, :, None]
        slots["attention"].add_(weights.detach().sum(2))

    def protected(self, slots: Slots) -> Tensor | None:
        """Return True for the newest tokens."""
        newest = max(self.recent, int(self.budget_of(slots.layer) * self.recent_frac))
        return slots.position >= slots.seen - newest if newest else None

    def score(self, slots: Slots) -> Tensor:
        """Return the attention drawn so far."""
        drawn = slots["attention"]
        return drawn / (slots.seen - slots.position) if self.normalise else drawn.clone()
