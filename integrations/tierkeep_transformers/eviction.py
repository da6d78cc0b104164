"""Carries a policy's word out: the slots with the highest scores stay, in the order of their positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.policies.ranking import ranked
from tierkeep_transformers.slots import Slots

__all__ = ["evict", "evict_jointly", "ranked"]


def evict(policy: Policy, slots: Slots) -> None:
    """Cut a layer back to what its policy allows, if it holds more."""
    limits = policy.limits(slots)
    if limits is not None:
        _cut(policy, slots, limits)


def evict_jointly(policy: Policy, layers: Sequence[Slots]) -> None:
    """Cut all layers back to the budget that they share, if they hold more."""
    limits = policy.limits_jointly(layers)
    if limits is not None:
        for slots, limit in zip(layers, limits, strict=True):
            _cut(policy, slots, limit)


def _cut(policy: Policy, slots: Slots, limits: int | Tensor) -> None:
    score = ranked(policy, slots)
    # Backwards, so that a stable sort puts the newer of two equal scores first.
    order = score.flip(-1).sort(dim=-1, descending=True, stable=True).indices
    order = slots.length - 1 - order
    if isinstance(limits, int) and not slots.masked:
        slots.keep(order[..., :limits].sort(dim=-1).values, None)
        return
    limit = limits if isinstance(limits, Tensor) else torch.full((slots.batch, slots.heads), limits, device=order.device)
    most = max(int(limit.max()), 1)
    index, rank = order[..., :most].sort(dim=-1)
    counts = rank < limit[..., None]
    if slots.valid is not None:
        counts &= slots.valid.gather(2, index)
    slots.keep(index, counts)
