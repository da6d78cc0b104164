"""The attention function that bounded layers run: the same sums over the slots that are left, with masks made from the slots."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tierkeep_transformers.cache import BoundedCache, BoundedLayer
from tierkeep_transformers.policies.policy import Need
from tierkeep_transformers.slots import Slots
from tierkeep_transformers.weights import attention_weights

__all__ = ["NAME", "bind", "register"]

#: Under what name transformers knows it.
NAME = "tierkeep_bounded"
#: Queries that are worked on at once, so that memory stays linear in the number of slots.
BLOCK = 512


class _About(threading.local):
    """Which module is about to attend to which cache, in each thread: from the module's start to its attention."""

    module: nn.Module | None = None
    cache: BoundedCache | None = None


_about = _About()


def register() -> None:
    """Make the function known to transformers, with a mask of its own: without one, padding would be lost."""
    AttentionInterface.register(NAME, bounded_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def bind(module: nn.Module | None, cache: BoundedCache | None) -> None:
    """Say to which cache an attention module of this thread is about to attend; None for one that is not ours."""
    _about.module, _about.cache = module, cache


def bounded_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
    dropout: float = 0.0, sliding_window: int | None = None, softcap: float | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Return (batch, new, heads, head dim): attention of the new tokens over the slots, and then let the slots' policy evict.

    A module that is not bound attends as it would without us, through the model's own mask.
    """
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    cache = _about.cache if _about.module is module else None
    bind(None, None)
    if cache is None:
        if softcap is None:
            plain: Tensor
            plain, _ = sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
            return plain, None
        return _softcapped(query, key, value, attention_mask, scale, softcap), None
    index = int(module.layer_idx)  # type: ignore[arg-type]
    layer = cache.bounded[index]
    slots = layer.slots
    query = slots.codec.turn(query)
    if Need.ATTENTION in layer.policy.needs or softcap is not None:
        output = _explicit(layer, query, key, value, scale, sliding_window, softcap)
    else:
        output = _fused(slots, query, key, value, scale, sliding_window)
    if Need.WINDOW in layer.policy.needs:
        _remember(slots, query, layer.policy.window)
        slots.scale, slots.softcap = scale, softcap
    output = slots.codec.turn_back(output)
    cache.settle(index)
    return output.transpose(1, 2).contiguous(), None


# ------------------------------------------------------------------------------------------------------------------ kernels


def _fused(slots: Slots, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    """Return attention by torch's fused kernels: (batch, heads, new, head dim)."""
    heads, count = query.shape[1:3]
    if count > 1 and count == slots.length and not slots.masked and window is None:
        return nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=heads != slots.heads
        )
    blocks = []
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        end = slots.length - count + stop  # later slots are in the future of the whole block
        mask = _visible(slots, start, stop, end, window)
        packed = _pack(query[:, :, start:stop], slots.heads)
        if mask is not None and mask.shape[2] > 1:
            mask = mask.repeat(1, 1, heads // slots.heads, 1)
        attended = nn.functional.scaled_dot_product_attention(packed, key[:, :, :end], value[:, :, :end], attn_mask=mask, scale=scale)
        blocks.append(_unpack(attended, heads))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _explicit(
    layer: BoundedLayer, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, softcap: float | None
) -> Tensor:
    """Return attention by a written-out softmax in fp32, which softcapping and policies that watch attention need."""
    slots = layer.slots
    watch = Need.ATTENTION in layer.policy.needs
    count = query.shape[2]
    blocks = []
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        end = slots.length - count + stop
        weights = attention_weights(query[:, :, start:stop], key[:, :, :end], scale, _visible(slots, start, stop, end, window), softcap)
        blocks.append((weights.to(value.dtype) @ value[:, :, None, :end]).flatten(1, 2))
        if watch:
            mean = nn.functional.pad(weights.mean(2), (0, slots.length - end))
            first = slots.seen - count
            rows = torch.arange(first + start, first + stop, device=query.device)
            real = slots["valid"][:, 0, slots.length - count + start : slots.length - count + stop] if slots.masked else None
            layer.policy.observe(slots, mean, rows, real)
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _softcapped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, softcap: float) -> Tensor:
    """Return attention of a layer that is not ours, for models whose own function squeezes logits: (batch, new, heads, head dim)."""
    if mask is None and query.shape[2] > 1:
        rows, slots = query.shape[2], key.shape[2]
        mask = torch.ones(rows, slots, dtype=torch.bool, device=query.device).tril(slots - rows)[None, None]
    weights = attention_weights(query, key, scale, mask, softcap)
    return (weights.to(value.dtype) @ value[:, :, None]).flatten(1, 2).transpose(1, 2).contiguous()


# -------------------------------------------------------------------------------------------------------------------- masks


def _visible(slots: Slots, start: int, stop: int, end: int, window: int | None) -> Tensor | None:
    """Return where queries may look, (batch or 1, KV heads or 1, queries, slots), True for yes; None for everywhere.

    Stored slots are all older than the new tokens, which stand last and in order. So the columns say it, whatever was evicted.

    Args:
        slots: The layer, new tokens included.
        start: The first query, counted among the new tokens.
        stop: The one behind the last query.
        end: The one behind the last slot that any of them may see.
        window: How far back the layer may look at all.
    """
    device = slots.position.device
    mask: Tensor | None = None
    if stop - start > 1:
        mask = torch.ones(stop - start, end, dtype=torch.bool, device=device).tril(end - (stop - start))[None, None]
    if window is not None:
        first = slots.seen - slots.fresh
        rows = torch.arange(first + start, first + stop, device=device)
        near = rows[:, None] - slots.position[:, :, None, :end] < window
        mask = near if mask is None else mask & near
    if slots.masked:
        valid = slots["valid"][:, :, None, :end]
        # Padding sees itself, so that its row is a number.
        own = torch.zeros(stop - start, end, dtype=torch.bool, device=device)
        own.diagonal(end - (stop - start)).fill_(True)
        mask = (valid if mask is None else mask & valid) | own
    return mask


def _pack(query: Tensor, kv_heads: int) -> Tensor:
    """Return queries with the heads of a group as further rows: (batch, KV heads, group x queries, head dim). Keys need no copies then."""
    batch, heads, count, dim = query.shape
    return query.reshape(batch, kv_heads, heads // kv_heads * count, dim)


def _unpack(output: Tensor, heads: int) -> Tensor:
    """Undo `_pack`."""
    batch, kv_heads, rows, dim = output.shape
    return output.reshape(batch, heads, rows * kv_heads // heads, dim)


def _remember(slots: Slots, query: Tensor, size: int) -> None:
    """Keep the last queries, with their positions, for policies that look at them."""
    count = query.shape[2]
    new = query[:, :, -size:]
    known = slots.state.get("window")
    slots.state["window"] = new.clone() if known is None else torch.cat([known, new], dim=2)[:, :, -size:]
    real = torch.ones(query.shape[0], new.shape[2], dtype=torch.bool, device=query.device)
    if slots.masked:
        real = slots["valid"][:, 0, -count:][:, -size:]
    known = slots.state.get("window_real")
    slots.state["window_real"] = real if known is None else torch.cat([known, real], dim=1)[:, -size:]
