"""SP-KV: a slot whose predicted utility is below a threshold leaves with the window (arXiv 2605.14037)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep_transformers.policies.learned import LearnedPolicy
from tierkeep_transformers.policies.policy import Need, check_share, check_whole

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["SPKV"]


@dataclass(frozen=True, kw_only=True)
class SPKV(LearnedPolicy):
    """Self-pruned attention: query t reads slot i if `t - i < window` or `u_i >= threshold`. Heads hold as many slots as that gives.

    `u = sigmoid(gate)` is said once, when the token is written; with this package's gates `log u` is what `GateSet` returns.

    Differences: "SP-KV-style, frozen". The paper trains backbone and predictor together and prunes by a mask; here the backbone stays as
    it is, the gates are trained with a sparsity term, and what is pruned has left memory. The queries of a chunk still see what leaves
    after the chunk, and with `buffer` a head waits until that many slots may leave. Size is bounded: beyond `budget` the lowest u leave.
    Storage is a rectangle, so that a layer takes the room of its longest head.

    Args:
        gates: Utility predictors.
        threshold: Tau. Higher is sparser.
        window: The newest tokens that are read whatever their utility. The default gives way to a small budget.

    Raises:
        SettingsError: There are no gates, or a number is out of range.
    """

    threshold: float = 0.5
    window: int = 128

    def __post_init__(self) -> None:
        """Check the numbers and the gates."""
        super().__post_init__()
        self._fit_default("window")
        check_share("threshold", self.threshold, ends=False)
        check_whole("window", self.window, 1, min(self.budgets))

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Keep log u."""
        return {"log_utility": told[Need.GATE]}

    def score(self, slots: Slots) -> Tensor:
        """Return log u."""
        return slots["log_utility"].clone()

    def protected(self, slots: Slots) -> Tensor:
        """Return True for slots that are in the window of the next query."""
        return slots.position > slots.seen - max(self.window, self.recent + 1)

    def limits(self, slots: Slots) -> Tensor | None:
        """Return by head how many slots are read: those of the window and those above the threshold, but no more than the budget."""
        if slots.seen < self.window:
            return None
        wanted = self.protected(slots) | (slots["log_utility"] >= math.log(self.threshold))
        if slots.valid is not None:
            wanted &= slots.valid
        count = wanted.sum(-1).clamp(max=self.budget_of(slots.layer))
        held = slots.held()
        due = (held - count >= max(self.buffer, 1)) | (held > self.most(slots.layer))
        if slots.length <= self.most(slots.layer) and not bool(due.any()):
            return None
        return torch.where(due, count, held)
