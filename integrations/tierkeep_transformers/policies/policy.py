"""What every eviction policy is: a score of each slot, and how many of them a KV head may keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep.errors import SettingsError

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["Need", "Policy", "check_share", "check_whole"]


class Need(StrEnum):
    """What a policy has to be told while the model runs. What none asks for is not computed."""

    GATE = "gate"  #: what the gates of `Policy.gates` say of each new token, from the hidden state that enters the attention block
    ATTENTION = "attention"  #: the attention weights of every query, which rules out fused attention kernels
    WINDOW = "window"  #: the last `Policy.window` queries


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Which slots of a layer's cache are kept. It holds settings only: what it learns of a slot stands in the slot's own columns.

    A layer appends, attends, and then asks `limits` whether a KV head holds too much. If so, the slots with the highest `score` stay.
    Eviction is lossy: what has left cannot be recalled.

    Args:
        budget: Slots per layer and KV head, or one number for each layer of the model.
        buffer: Hysteresis. Nothing is evicted before a head holds `budget + buffer` slots; then it is cut back to `budget`.
        recent: The newest tokens that always stay.

    Raises:
        SettingsError: A number is out of range.
    """

    budget: int | Sequence[int]
    buffer: int = 64
    recent: int = 0

    #: True for a policy that shares one budget among all layers: it is asked once, when the last layer has attended.
    joint = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        budgets = list(self.budget) if isinstance(self.budget, Sequence) else [self.budget]
        if not budgets or any(not isinstance(one, int) or isinstance(one, bool) or one < 1 for one in budgets):
            raise SettingsError(f"budget= is a number of slots, at least 1, or one for each layer; it is {self.budget!r}")
        check_whole("buffer", self.buffer, 0)
        check_whole("recent", self.recent, 0)
        if self.recent > min(budgets):
            raise SettingsError(f"recent= is between 0 and the budget ({min(budgets)}); it is {self.recent}")

    def _fit_default(self, name: str) -> None:
        """Let the default of a window of newest tokens give way to a budget that it would fill: half of the budget is left to the score."""
        default = getattr(type(self), name)
        if getattr(self, name) == default:
            object.__setattr__(self, name, min(default, max(min(self.budgets) // 2, 1)))

    @property
    def name(self) -> str:
        """What statistics and files call it."""
        return type(self).__name__

    @property
    def needs(self) -> frozenset[Need]:
        """What it has to be told."""
        return frozenset()

    @property
    def window(self) -> int:
        """How many of the last queries it looks at, when it needs `Need.WINDOW`."""
        return 0

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budget, as one number or one for each layer."""
        return (self.budget,) if isinstance(self.budget, int) else tuple(self.budget)

    def budget_of(self, layer: int) -> int:
        """Return the slots that a KV head of a layer may keep."""
        return self.budgets[layer if len(self.budgets) > 1 else 0]

    def most(self, layer: int) -> int:
        """Return the most slots that a KV head of a layer holds between two calls of the model."""
        return self.budget_of(layer) + max(self.buffer - 1, 0)

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Return what is kept of each new slot.

        Args:
            slots: The layer, before the new slots are in it.
            told: `Need.GATE`: shape (batch, KV heads, new), fp32.
            key: The keys of the new slots, (batch, KV heads, new, head dim).

        Returns:
            Tensors by name, each of shape (batch, KV heads, new).
        """
        return {}

    def observe(self, slots: Slots, weights: Tensor, rows: Tensor, real: Tensor | None) -> None:
        """Learn from attention. Called with `Need.ATTENTION` only, after the new slots are in, for one block of queries after another.

        Args:
            slots: The layer.
            weights: Attention that queries pay to slots, the mean of the heads of a group: (batch, KV heads, queries, slots), fp32.
            rows: The positions of the queries, shape (queries,).
            real: False for queries that are padding, shape (batch, queries); None when all are real.
        """

    def score(self, slots: Slots) -> Tensor:
        """Return how much each slot is worth keeping, shape (batch, KV heads, slots), fp32; never a view of a column."""
        raise NotImplementedError

    def protected(self, slots: Slots) -> Tensor | None:
        """Return True for slots that always stay, shape (batch, KV heads, slots), or None when there are none."""
        return slots.position >= slots.seen - self.recent if self.recent else None

    def limits(self, slots: Slots) -> int | Tensor | None:
        """Return how many slots may stay: for every head, by head as (batch, KV heads), or None when nothing has to leave."""
        most = self.most(slots.layer)
        if slots.length <= most:
            return None
        budget = self.budget_of(slots.layer)
        if not slots.masked:
            return budget
        # Padding takes no place in the budget, so a padded row loses what it would lose alone, and when it would.
        held = slots.held()
        return torch.where(held > most, budget, held)

    def limits_jointly(self, layers: Sequence[Slots]) -> Sequence[Tensor] | None:
        """Return for a joint policy how many slots may stay, by head, for each layer; or None when nothing has to leave."""
        raise NotImplementedError


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Check a whole number.

    Args:
        name: Of the argument.
        value: What was given.
        least: The lowest it may be.
        most: The highest it may be; None for no limit.

    Raises:
        SettingsError: It is no whole number, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        between = f"at least {least}" if most is None else f"between {least} and {most}"
        raise SettingsError(f"{name}= is a whole number, {between}; it is {value!r}")


def check_share(name: str, value: object, *, ends: bool) -> None:
    """Check a number between 0 and 1.

    Args:
        name: Of the argument.
        value: What was given.
        ends: Whether 0 and 1 themselves are allowed.

    Raises:
        SettingsError: It is no number, or out of range.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool) and (0 <= value <= 1 if ends else 0 < value < 1)
    if not good:
        raise SettingsError(f"{name}= is {'from 0 to 1' if ends else 'between 0 and 1'}; it is {value!r}")
