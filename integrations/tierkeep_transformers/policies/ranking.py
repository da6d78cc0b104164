"""The order in which the slots of a head stay: the policy's score, with protected slots above all and padding below all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tierkeep_transformers.policies.policy import Policy
    from tierkeep_transformers.slots import Slots

__all__ = ["ranked"]


def ranked(policy: Policy, slots: Slots) -> Tensor:
    """Return the score of each slot as it counts, (batch, KV heads, slots): protected slots above all, padding below all."""
    score = policy.score(slots)
    protected = policy.protected(slots)
    if protected is not None:
        score = score.masked_fill(protected, torch.inf)
    if slots.valid is not None:
        score = score.masked_fill(~slots.valid, -torch.inf)
    return score
