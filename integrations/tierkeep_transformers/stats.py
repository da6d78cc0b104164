"""How full a bounded cache is, and what it costs: frozen records, for people and for traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tierkeep_transformers.codecs import Codec
from tierkeep_transformers.families import Layout
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.slots import Slots

__all__ = ["CacheStats", "LayerStats", "statistics_of"]


@dataclass(frozen=True, kw_only=True)
class LayerStats:
    """One layer of a cache.

    Attributes:
        layer: Its index in the model.
        held: Slots that a KV head holds, the most of any head and row; padding is not counted.
        peak: The most slots that were in use at once, with the new tokens of the call that was under way.
        evicted: Tokens that a head has lost, the most of any head.
        oldest: The position of the oldest token that any head still holds; None when it holds none.
        density: Slots held by all heads, as a share of the tokens they were given.
        bytes: What it takes, room for new slots included.
        formula_bytes: The same by the formula: room x rows x KV heads x (codec + 4 of the position + the policy's columns + 1 of the mask,
            where there is one), and the policy's state.
    """

    layer: int
    held: int
    peak: int
    evicted: int
    oldest: int | None
    density: float
    bytes: int
    formula_bytes: int


@dataclass(frozen=True, kw_only=True)
class CacheStats:
    """A cache. Layers with a window of their own, which transformers bounds itself, are not in it.

    Attributes:
        policy: Its name.
        codec: Its name.
        seen: Tokens that it has been given, padding too.
        layers: Each bounded layer.
        bytes: What they take, room for new slots included.
        formula_bytes: The same by the formula of `LayerStats`.
        full_bytes: What keys and values of all tokens would take, as the model makes them.
    """

    policy: str
    codec: str
    seen: int
    layers: tuple[LayerStats, ...]
    bytes: int
    formula_bytes: int
    full_bytes: int

    @property
    def held(self) -> int:
        """The most slots that a KV head of any layer holds."""
        return max(layer.held for layer in self.layers)

    @property
    def peak(self) -> int:
        """The most slots of a layer that were in use at once."""
        return max(layer.peak for layer in self.layers)

    @property
    def evicted(self) -> int:
        """The most tokens that a head of any layer has lost."""
        return max(layer.evicted for layer in self.layers)

    @property
    def oldest(self) -> int | None:
        """The position of the oldest token that is left anywhere."""
        return min((layer.oldest for layer in self.layers if layer.oldest is not None), default=None)

    @property
    def density(self) -> float:
        """Slots held, as a share of the tokens given: the mean over the layers."""
        return sum(layer.density for layer in self.layers) / len(self.layers)

    def summary(self) -> dict[str, float | int | str]:
        """Return the figures that a trace carries."""
        return {
            "policy": self.policy, "codec": self.codec, "tokens": self.seen, "slots": self.held, "peak": self.peak, "evicted": self.evicted,
            "density": self.density, "bytes": self.bytes, "full_bytes": self.full_bytes,
        }  # fmt: skip


def statistics_of(layout: Layout, policy: Policy, codec: Codec, layers: Sequence[Slots]) -> CacheStats:
    """Return the statistics of a cache.

    Args:
        layout: The model's layers.
        policy: What each layer keeps.
        codec: How keys and values are stored.
        layers: The slots of each bounded layer.
    """
    size = torch.empty(0, dtype=layout.decoder.dtype).element_size()
    of_slot = codec.bytes_per_slot(layout.head_dim, size)
    each = tuple(_layer(slots, of_slot) for slots in layers)
    rows = next((slots.batch for slots in layers if slots.room), 0)
    return CacheStats(
        policy=policy.name,
        codec=codec.name,
        seen=max(slots.seen for slots in layers),
        layers=each,
        bytes=sum(layer.bytes for layer in each),
        formula_bytes=sum(layer.formula_bytes for layer in each),
        full_bytes=sum(2 * slots.seen * rows * layout.kv_heads * layout.head_dim * size for slots in layers),
    )


def _layer(slots: Slots, of_slot: int) -> LayerStats:
    if not slots.room:
        return LayerStats(layer=slots.layer, held=0, peak=0, evicted=0, oldest=None, density=1.0, bytes=0, formula_bytes=0)
    held = slots.held()
    position = slots.position if slots.valid is None else slots.position.masked_fill(~slots.valid, slots.seen)
    oldest = int(position.min()) if slots.length else slots.seen
    columns = slots.columns()
    own = [name for name in columns if name != "position" and not name.startswith(("key", "value", "valid"))]
    metadata = 4 + slots.masked + sum(columns[name][:1, :1, :1].numel() * columns[name].element_size() for name in own)
    state = sum(tensor.numel() * tensor.element_size() for tensor in slots.state.values())
    return LayerStats(
        layer=slots.layer,
        held=int(held.max()),
        peak=slots.peak,
        evicted=slots.evicted,
        oldest=None if oldest >= slots.seen else oldest,
        density=int(held.sum()) / max(int(slots.given().sum()) * slots.heads, 1),
        bytes=slots.bytes(),
        formula_bytes=slots.room * slots.batch * slots.heads * (of_slot + metadata) + state,
    )
