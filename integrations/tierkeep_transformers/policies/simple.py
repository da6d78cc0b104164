"""The policies that look at positions only: all, sinks with a window (StreamingLLM), and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep.errors import SettingsError
from tierkeep_transformers.policies.policy import Policy, check_whole

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["FullCache", "RandomEviction", "StreamingLLM"]

_UNLIMITED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class FullCache(Policy):
    """Keeps everything: the model as it is, measured like the others."""

    budget: int = _UNLIMITED
    buffer: int = 0

    def limits(self, slots: Slots) -> None:
        """Return None: nothing ever leaves."""

    def score(self, slots: Slots) -> Tensor:
        """Return positions: the newest first, if somebody cuts."""
        return slots.position.float()


@dataclass(frozen=True, kw_only=True)
class StreamingLLM(Policy):
    """Attention sinks: the first tokens and the newest ones (Xiao et al., arXiv 2309.17453). Keys keep the positions they were made with.

    Args:
        sinks: How many first tokens always stay.

    Raises:
        SettingsError: The sinks take the whole budget.
    """

    sinks: int = 4

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        check_whole("sinks", self.sinks, 0)
        if self.sinks >= min(self.budgets):
            raise SettingsError(f"sinks= is between 0 and less than the budget ({min(self.budgets)}); it is {self.sinks}")

    def protected(self, slots: Slots) -> Tensor | None:
        """Return True for the first tokens of each row, padding not counted."""
        return slots.place() < self.sinks

    def score(self, slots: Slots) -> Tensor:
        """Return positions: the newest stay."""
        return slots.position.float()


@dataclass(frozen=True, kw_only=True)
class RandomEviction(Policy):
    """Chance: each token draws its score once, when it is written, so that what stays is a fair sample.

    The draw is a hash of seed, layer, head and place. So it is the same for any batch, padding and size of chunk.

    Args:
        seed: Of the draw.
    """

    recent: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers; the default of `recent` gives way to a small budget."""
        budgets = self.budget if isinstance(self.budget, Sequence) else [self.budget]
        if self.recent == type(self).recent and budgets and all(isinstance(one, int) for one in budgets):  # others are refused below
            object.__setattr__(self, "recent", min(self.recent, max(min(budgets) // 2, 0)))
        super().__post_init__()

    def score(self, slots: Slots) -> Tensor:
        """Return the draws, in [0, 1)."""
        heads = torch.arange(slots.heads, device=slots.position.device)[None, :, None]
        return _uniform(slots.place().long() * 0x1F123BB5 + heads * 0x5851F42D + slots.layer * 0x2545F491 + self.seed * 0x632BE5AB)


def _uniform(values: Tensor) -> Tensor:
    """Return numbers in [0, 1) that look independent, from integers: the finaliser of MurmurHash3, 32 bits."""
    mask = 0xFFFFFFFF
    values = values & mask
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        values = ((values ^ (values >> shift)) * factor) & mask
    return ((values ^ (values >> 16)) >> 8).float() / 2**24
