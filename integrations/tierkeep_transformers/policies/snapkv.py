"""SnapKV: slots that the last queries look at stay, with their neighbours (Li et al., arXiv 2404.14469)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tierkeep.errors import SettingsError
from tierkeep_transformers.policies.policy import Need, Policy, check_whole
from tierkeep_transformers.weights import attention_weights

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["SnapKV"]


@dataclass(frozen=True, kw_only=True)
class SnapKV(Policy):
    """The observation window: the last queries vote with their attention; votes are pooled over neighbouring slots.

    Differences: the paper compresses once, after the prompt. Here it is done again after every `buffer` tokens with the last queries, as
    R-KV adapted it to streams. Votes are the mean of the query heads that share a KV head. Only the window's rows of attention are
    computed a second time, so attention itself stays fused.

    Args:
        window: How many of the last queries vote. Their own slots always stay. The default gives way to a small budget.
        kernel: Slots that are pooled, an odd number. 1: none.
        pool: "avg" or "max".

    Raises:
        SettingsError: A number is out of range.
    """

    window: int = 32
    kernel: int = 5
    pool: Literal["avg", "max"] = "avg"

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        self._fit_default("window")
        check_whole("window", self.window, 1, min(self.budgets))
        check_whole("kernel", self.kernel, 1)
        if self.kernel % 2 == 0:
            raise SettingsError(f"kernel= is odd, so that it has a middle; it is {self.kernel}")
        if self.pool not in ("avg", "max"):
            raise SettingsError(f"pool= is 'avg' or 'max'; it is {self.pool!r}")

    @property
    def needs(self) -> frozenset[Need]:
        """The last queries."""
        return frozenset({Need.WINDOW})

    def protected(self, slots: Slots) -> Tensor:
        """Return True for the window's own slots."""
        return slots.position >= slots.seen - max(self.window, self.recent)

    def score(self, slots: Slots) -> Tensor:
        """Return the pooled votes."""
        votes = self._votes(slots).masked_fill(slots.position >= slots.seen - self.window, 0.0)
        if self.kernel == 1:
            return votes
        if slots.valid is None:
            return self._pooled(votes)
        # Slots that do not count are nobody's neighbours: they go to the end while votes are pooled.
        order = (~slots.valid).long().sort(dim=-1, stable=True).indices
        pooled = self._pooled(votes.masked_fill(~slots.valid, 0.0).gather(-1, order))
        return torch.empty_like(pooled).scatter_(-1, order, pooled)

    def _votes(self, slots: Slots) -> Tensor:
        """Return the mean attention of the real queries of the window: (batch, KV heads, slots), fp32."""
        query, real = slots.state["window"], slots.state["window_real"]
        first = slots.seen - query.shape[2]
        rows = torch.arange(first, slots.seen, device=query.device)
        visible = slots.position[:, :, None] <= rows[:, None]
        if slots.valid is not None:
            visible = visible & slots.valid[:, :, None]
        key = slots.codec.decode("key", slots)
        weights = attention_weights(query, key, slots.scale, visible, slots.softcap).detach().mean(2)
        weights = weights * real[:, None, :, None]
        return weights.sum(2) / real.sum(-1).clamp(min=1)[:, None, None]

    def _pooled(self, votes: Tensor) -> Tensor:
        """Return votes pooled over neighbours. Beyond either end they are 0."""
        pool = nn.functional.avg_pool1d if self.pool == "avg" else nn.functional.max_pool1d
        pooled: Tensor = pool(votes, self.kernel, stride=1, padding=self.kernel // 2)
        return pooled
