"""The cache that `generate` is given: bounded layers where the model would keep everything, and the model's own layers elsewhere."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer

from tierkeep.errors import InputError
from tierkeep_transformers.codecs import Codec, Plain
from tierkeep_transformers.eviction import evict, evict_jointly
from tierkeep_transformers.families import Layout
from tierkeep_transformers.going_on import History
from tierkeep_transformers.policies.policy import Need, Policy
from tierkeep_transformers.slots import Slots
from tierkeep_transformers.snapshots import read_snapshot, write_snapshot
from tierkeep_transformers.stats import CacheStats, statistics_of

__all__ = ["BoundedCache", "BoundedLayer"]


class BoundedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer that holds no more than its policy allows. Towards transformers it is as long as what it has seen.

    Args:
        slots: Where it keeps things.
        policy: What it keeps.
    """

    is_croppable = False
    is_compileable = False

    def __init__(self, slots: Slots, policy: Policy) -> None:
        super().__init__()
        self.slots = slots
        self.policy = policy
        self._told: dict[Need, Tensor] = {}
        self._real: Tensor | None = None
        self._open = False
        self._device: torch.device | None = None

    def expect(self, real: Tensor | None) -> None:
        """Note which of the tokens that come next are padding: (batch, new), False for padding; None when none is."""
        self._real = real

    def open(self) -> None:
        """Let one `update` in. Our own attention follows it; that of transformers would read slots as if none were missing."""
        self._open = True

    def tell(self, need: Need, value: Tensor) -> None:
        """Note what the policy has to know of the tokens that come next. A second word replaces the first."""
        self._told[need] = value

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the columns are made with the first slots."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add new tokens and return all stored keys and values; nothing leaves before attention has seen them.

        Raises:
            InputError: No policy is attached to the model that asks, or it asks for another number of rows than before.
        """
        slots = self.slots
        if not self._open:
            raise InputError("no policy is attached to this model now: use a bounded cache inside its own `with attach(…)` block only")
        self._open = False
        if slots.room and slots.batch != key_states.shape[0]:
            raise InputError(
                f"the cache holds {slots.batch} rows, and {key_states.shape[0]} come: repeat its rows with batch_repeat_interleave(n), or "
                "begin a new cache"
            )
        real = self._real if self._real is None or self._real.device == key_states.device else self._real.to(key_states.device)
        self._device = key_states.device
        more = self.policy.columns(slots, self._told, key_states)
        slots.append(key_states, value_states, real, more)
        self._told = {}
        self.is_initialized = True
        return slots.read()

    def settle(self) -> None:
        """Drop what is too much, after attention."""
        if not self.policy.joint:
            evict(self.policy, self.slots)

    def get_seq_length(self) -> int:
        """Return how many tokens it has seen: positions go on from there."""
        return self.slots.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return length and offset of the mask that the model builds, and which is not used here."""
        return self.slots.length + query_length, self.slots.seen - self.slots.length

    def get_max_length(self) -> int:
        """Return -1: it can be fed for ever."""
        return -1

    get_max_cache_shape = get_max_length  # its name before transformers 5.14

    def reset(self) -> None:
        """Forget everything."""
        self.slots.clear()
        self.is_initialized = False

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Follow the beams."""
        self.slots.each(lambda tensor: tensor.index_select(0, beam_idx.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self.slots.each(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows."""
        self.slots.each(lambda tensor: tensor[indices.to(tensor.device)])

    def offload(self) -> None:
        """Move to main memory."""
        self.slots.each(lambda tensor: tensor.to("cpu"))

    def prefetch(self) -> None:
        """Move back to where the last tokens came from."""
        device = self._device
        if device is not None:
            self.slots.each(lambda tensor: tensor.to(device, non_blocking=True))

    def crop(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: what was evicted cannot come back.

        Raises:
            InputError: Always.
        """
        raise InputError("a bounded cache cannot be cropped, because eviction is final: assisted decoding needs a cache of transformers")


class BoundedCache(Cache):  # type: ignore[misc]
    """The past of one `generate` call or conversation, in bounded memory. Made by `Bounded.new_cache`.

    Args:
        layout: The model's layers.
        policy: What each layer keeps.
        codec: How keys and values are stored.

    Attributes:
        bounded: The layers that are bounded, by their index. The others are those of transformers.
        layout: The model's layers.
        history: Which tokens it had seen when `Bounded.generate` last ended; None where that cannot be told.
    """

    def __init__(self, layout: Layout, policy: Policy, codec: Codec | None = None) -> None:
        codec = codec or Plain()
        layers: list[CacheLayerMixin] = layout.stock_layers()
        self.bounded: dict[int, BoundedLayer] = {}
        for index in layout.attention:
            layers[index] = self.bounded[index] = BoundedLayer(Slots(index, codec, policy.most(index)), policy)
        super().__init__(layers=layers)
        self.history: History | None = None
        self.policy = policy
        self.codec = codec
        self.layout = layout
        self._last = max(self.bounded)
        self._mask: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundedCache:
        """Return a cache that goes on from here by itself: of the same model, policy and codec, which are not copied."""
        for shared in (self.layout, self.policy, self.codec):
            memo[id(shared)] = shared
        copied = BoundedCache.__new__(BoundedCache)
        memo[id(self)] = copied
        for name, value in vars(self).items():
            setattr(copied, name, deepcopy(value, memo))
        return copied

    @property
    def rows(self) -> int:
        """Rows of the batch; 0 before the first call."""
        slots = self.bounded[self._last].slots
        return slots.batch if slots.room else 0

    @property
    def seen(self) -> int:
        """Tokens that it has been given, padding too."""
        return self.bounded[self._last].slots.seen

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.history = None

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows, in the order given."""
        super().batch_select_indices(indices)
        self.history = None

    def note_mask(self, mask: Any) -> None:
        """Keep the mask that a wrapper was called with, for a decoder that is handed the wrapper's own masks instead."""
        self._mask = mask

    def begin(self, mask: Any, count: int) -> None:
        """Prepare for a call of the model.

        Args:
            mask: The attention mask of the call: 2-D, one column for each token seen so far and each new one; or None. What it says
                of tokens seen so far is not read again.
            count: New tokens.

        Raises:
            InputError: The mask is not 2-D, is too short or too long; or an earlier call broke off.
        """
        if isinstance(mask, dict) and self._mask is not mask:  # a wrapper's; a caller's own dict is refused below
            mask = self._mask
        self._mask = None
        layers = self.bounded.values()
        if any(layer.get_seq_length() != self.seen for layer in self.layers if isinstance(layer, DynamicLayer) and layer.is_initialized):
            raise InputError("an earlier call broke off between two layers, and left this cache in pieces: begin a new one")
        real = None if mask is None else self._new_columns(mask, count)
        for layer in layers:
            layer.expect(real)

    def _new_columns(self, mask: Any, count: int) -> Tensor | None:
        """Return what a mask says of the new tokens, (batch, count), or None when all are real."""
        if not isinstance(mask, Tensor) or mask.dim() != 2:
            raise InputError("with a bounded cache attention_mask= is 2-D, (batch, tokens): which slots are left is known here only")
        seen = self.seen
        if mask.shape[1] != seen + count:
            raise InputError(f"attention_mask= has {mask.shape[1]} columns; the cache has seen {seen} tokens, and {count} are new")
        real = mask[:, -count:].bool()
        return None if bool(real.all()) else real

    def settle(self, index: int) -> None:
        """Drop what is too much in a layer that has attended, and after the last one what is too much in all together."""
        self.bounded[index].settle()
        if self.policy.joint and index == self._last:
            evict_jointly(self.policy, [layer.slots for layer in self.bounded.values()])

    def bytes(self) -> int:
        """Return the bytes that the bounded layers take, room for new slots included."""
        return sum(layer.slots.bytes() for layer in self.bounded.values())

    def stats(self) -> CacheStats:
        """Return how full it is, and what it costs."""
        return statistics_of(self.layout, self.policy, self.codec, [layer.slots for layer in self.bounded.values()])

    def save(self, path: str | Path) -> None:
        """Write everything to a safetensors file, from which `load` goes on with the same logits. The file is whole or not there.

        Raises:
            InputError: The model has layers of a kind that cannot be saved.
        """
        write_snapshot(self, Path(path))

    def load(self, path: str | Path) -> BoundedCache:
        """Take over what `save` wrote, and return the cache: `bounded.new_cache().load(path)`.

        Raises:
            InputError: The file is no snapshot, is damaged, or is one of another model, policy, codec or set of gates; or this cache is
                not empty.
        """
        read_snapshot(self, Path(path))
        return self
