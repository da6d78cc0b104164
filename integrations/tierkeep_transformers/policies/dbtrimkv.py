"""DBTrimKV: the heads of all layers share one budget, and compete for it with the utility that gates foretell (arXiv 2605.09649)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep_transformers.policies.policy import check_whole
from tierkeep_transformers.policies.ranking import ranked
from tierkeep_transformers.policies.trimkv import TrimKV

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["DBTrimKV"]


@dataclass(frozen=True, kw_only=True)
class DBTrimKV(TrimKV):
    """Retention with a dynamic budget: of all slots of a row of the batch, those with the highest future utility stay.

    The utility of a slot is `sum of beta^(s - i)` over the next `horizon` steps s, computed in log space: retentions of different heads can
    be compared by it, which `beta^(t - i)` alone does not give. The budget of all together is `budget` x layers x KV heads.

    Differences: a stream has no known end, so the horizon is a setting; in the paper it ends with the sequence. Each head has a ceiling, so
    that memory stays bounded: storage is a rectangle, and a layer takes the room of its longest head, up to the ceiling.

    Args:
        horizon: Future steps that the utility is summed over.
        floor: Slots that each head keeps whatever the others hold.
        ceiling: The most slots of a head; four times the largest budget by default.

    Raises:
        SettingsError: There are no gates, or a number is out of range.
    """

    horizon: int = 1024
    floor: int = 0
    ceiling: int | None = None

    joint = True

    def __post_init__(self) -> None:
        """Check the numbers and the gates."""
        super().__post_init__()
        check_whole("horizon", self.horizon, 1)
        check_whole("floor", self.floor, 0, min(self.budgets))
        if self.ceiling is not None:
            check_whole("ceiling", self.ceiling, max(self.budgets))

    @property
    def highest(self) -> int:
        """The most slots that a head holds after a cut."""
        return self.ceiling if self.ceiling is not None else 4 * max(self.budgets)

    def most(self, layer: int) -> int:
        """Return the most slots that a KV head of a layer holds between two calls of the model."""
        return self.highest + max(self.buffer - 1, 0)

    def score(self, slots: Slots) -> Tensor:
        """Return the log of the future utility, `age * log beta + log((1 - beta^horizon) / (1 - beta))`."""
        log_beta = slots["log_beta"].clamp(max=-1e-30)  # beta = 1 would be 0/0; so close to it the quotient is the horizon
        age = (slots.seen - slots.position).float()
        return age * log_beta + _log_complement(self.horizon * log_beta) - _log_complement(log_beta)

    def limits_jointly(self, layers: Sequence[Slots]) -> Sequence[Tensor] | None:
        """Return how many slots of each head are among the best of its row, for rows that hold too much."""
        device = layers[0].position.device
        held = [slots.held().to(device) for slots in layers]
        budget = sum(self.budget_of(slots.layer) * slots.heads for slots in layers)
        spare = max(self.buffer - 1, 0)
        total = torch.cat(held, dim=1).sum(1)
        highest = torch.cat(held, dim=1).amax(1)
        due = (total > budget + spare * sum(slots.heads for slots in layers)) | (highest > self.highest + spare)
        # Where a row is padded a layer may be longer than any head: then what does not count leaves.
        if not bool(due.any()) and all(slots.length <= self.most(slots.layer) for slots in layers):
            return None
        shares = self._shares(layers, budget)
        return [
            torch.where(due[:, None], share, own).to(slots.position.device) for slots, share, own in zip(layers, shares, held, strict=True)
        ]

    def _shares(self, layers: Sequence[Slots], budget: int) -> list[Tensor]:
        """Return how many slots each head has among the best `budget` of its row, floors and ceilings kept: (batch, KV heads) by layer."""
        device = layers[0].position.device
        ladders = []
        for slots in layers:
            ladder = ranked(self, slots).to(device).sort(dim=-1, descending=True).values
            real = torch.arange(slots.length, device=device) < slots.held().to(device)[..., None]
            ladder[..., : self.floor] = torch.inf
            ladder[..., self.highest :] = -torch.inf
            ladders.append(ladder.masked_fill(~real, -torch.inf))
        row = torch.cat([ladder.flatten(1) for ladder in ladders], dim=1)
        # A stable sort, so that ties between heads fall alike on every device and in every batch.
        best = row.sort(dim=-1, descending=True, stable=True).indices[:, :budget]
        chosen = torch.zeros_like(row, dtype=torch.bool).scatter_(1, best, True) & (row > -torch.inf)
        parts = torch.split(chosen, [ladder[0].numel() for ladder in ladders], dim=1)
        return [part.reshape(ladder.shape).sum(-1) for part, ladder in zip(parts, ladders, strict=True)]


def _log_complement(log: Tensor) -> Tensor:
    """Return log(1 - exp(log)) for negative numbers, exact near 0."""
    return torch.log(-torch.expm1(log))
