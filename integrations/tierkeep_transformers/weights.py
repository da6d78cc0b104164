"""Attention weights written out, where fused kernels do not say them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["attention_weights"]


def attention_weights(query: Tensor, key: Tensor, scale: float, mask: Tensor | None, softcap: float | None) -> Tensor:
    """Return softmax weights in fp32, by group.

    Args:
        query: (batch, heads, queries, head dim).
        key: (batch, KV heads, slots, head dim).
        scale: What logits are multiplied with.
        mask: True where a query may look, (batch or 1, KV heads or 1, queries, slots); None for everywhere.
        softcap: Logits are squeezed into ± this.

    Returns:
        (batch, KV heads, heads of a group, queries, slots).
    """
    batch, heads, count, dim = query.shape
    grouped = query.reshape(batch, key.shape[1], heads // key.shape[1], count, dim)
    logits = (grouped @ key[:, :, None].transpose(-1, -2)).float() * scale
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    if mask is not None:
        # Finite, because a row without anything to see would be NaN, and NaN spreads.
        logits = logits.masked_fill(~mask[:, :, None], torch.finfo(torch.float32).min)
    return logits.softmax(-1)
