"""The slots of one layer: keys, values and what is known of each, in columns that grow, lose rows and follow a batch together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tierkeep_transformers.codecs import Codec

__all__ = ["Slots"]

#: The least room that is made at once.
_LEAST = 64


class Slots:
    """What one attention layer remembers. Every column has the shape (batch, KV heads, room, …), of which `length` slots are in use.

    Slots stand in the order of their positions. Heads hold equally many; where they do not, or where a row is padded, `masked` is True and
    the column `valid` says which count.

    Args:
        layer: The layer's index in the model.
        codec: How keys and values are stored.
        most: The slots that are held between two calls, for which room is kept.

    Attributes:
        length: Slots in use.
        seen: Tokens that the layer has been given, padding too. The position of the next one.
        fresh: How many of them came with the last call.
        masked: Whether some slots in use do not count.
        state: What is kept by row of the batch rather than by slot, such as the last queries. The first dimension is the batch.
        peak: The most slots that were in use at once.
        scale: What the layer multiplies attention logits with, for policies that look at the last queries.
        softcap: What it squeezes them into, or None.
    """

    def __init__(self, layer: int, codec: Codec, most: int) -> None:
        self.layer = layer
        self.codec = codec
        self.most = most
        self.scale = 1.0
        self.softcap: float | None = None
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._columns: dict[str, Tensor] = {}
        self.state: dict[str, Tensor] = {}
        self.length = self.seen = self.fresh = self.peak = 0
        self.masked = False

    # ---------------------------------------------------------------------------------------------------------- reading

    def __getitem__(self, name: str) -> Tensor:
        """Return a column as far as it is in use: a view."""
        return self._columns[name][:, :, : self.length]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @property
    def batch(self) -> int:
        """Rows of the batch."""
        return self._columns["position"].shape[0]

    @property
    def heads(self) -> int:
        """KV heads."""
        return self._columns["position"].shape[1]

    @property
    def room(self) -> int:
        """Slots for which memory is taken."""
        return self._columns["position"].shape[2] if self._columns else 0

    @property
    def position(self) -> Tensor:
        """The index of each slot's token in the sequence, padding counted: (batch, KV heads, slots), int32."""
        return self["position"]

    @property
    def valid(self) -> Tensor | None:
        """True for slots that count, shape (batch, KV heads, slots); None when all do."""
        return self["valid"] if self.masked else None

    def held(self) -> Tensor:
        """Return how many slots of each head count: (batch, KV heads)."""
        if not self.masked:
            return torch.full((self.batch, self.heads), self.length, device=self.position.device)
        return self["valid"].sum(-1)

    def given(self) -> Tensor:
        """Return how many tokens each row was given, padding not counted: (batch,)."""
        padding = self.state.get("padding")
        return torch.full((self.batch,), self.seen, device=self.position.device) if padding is None else self.seen - padding

    @property
    def evicted(self) -> int:
        """Tokens that a head has lost, padding not counted, the most of any head."""
        return int((self.given()[:, None] - self.held()).max()) if self.room else 0

    def place(self) -> Tensor:
        """Return positions counted from each row's first real token: (batch, KV heads, slots)."""
        start = self.state.get("start")
        return self.position if start is None else self.position - start[:, None, None]

    def read(self) -> tuple[Tensor, Tensor]:
        """Return keys and values as attention reads them: (batch, KV heads, slots, head dim)."""
        return self.codec.decode("key", self), self.codec.decode("value", self)

    def bytes(self) -> int:
        """Return the bytes that are taken, room for new slots included."""
        tensors = [*self._columns.values(), *self.state.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    # ---------------------------------------------------------------------------------------------------------- writing

    def append(self, key: Tensor, value: Tensor, real: Tensor | None, more: Mapping[str, Tensor]) -> None:
        """Add the slots of new tokens.

        Args:
            key: (batch, KV heads, new, head dim), with rotary positions applied.
            value: The same shape.
            real: False for padding, shape (batch, new); None when all are real.
            more: The policy's columns, each (batch, KV heads, new).
        """
        batch, heads, count, _ = key.shape
        positions = torch.arange(self.seen, self.seen + count, dtype=torch.int32, device=key.device)
        new = {"position": positions.expand(batch, heads, count), **self.codec.encode("key", key), **self.codec.encode("value", value)}
        new.update(more)
        if real is not None and not self.masked:
            self._begin_mask(batch, heads, key.device)
        if self.masked:
            all_real = torch.ones(batch, count, dtype=torch.bool, device=key.device)
            new["valid"] = (all_real if real is None else real)[:, None].expand(batch, heads, count)
            self._mark_start(new["valid"][:, 0], positions)
        self._reserve(self.length + count, new)
        for name, rows in new.items():
            self._columns[name][:, :, self.length : self.length + count] = rows
        self.length += count
        self.seen += count
        self.fresh = count
        self.peak = max(self.peak, self.length)

    def keep(self, index: Tensor, valid: Tensor | None) -> None:
        """Keep some slots, and drop the others.

        Args:
            index: Which, in the order of their positions: (batch, KV heads, kept).
            valid: Which of them count, the same shape; None when all do.
        """
        kept = index.shape[2]
        if valid is not None and not self.masked:
            self._begin_mask(self.batch, self.heads, index.device)
        shrink = self.room > 2 * (self.most + _LEAST) and kept <= self.most  # after a prompt read in one go
        for name, column in self._columns.items():
            where = index.reshape(*index.shape, *[1] * (column.dim() - 3)).expand(*index.shape, *column.shape[3:])
            rows = column.gather(2, where)
            if shrink:
                column = self._columns[name] = column.new_empty((*column.shape[:2], self.most + _LEAST, *column.shape[3:]))
            column[:, :, :kept] = rows
        self.length = kept
        if valid is not None:
            self["valid"].copy_(valid)
        self.masked = self.masked and (valid is None or not bool(valid.all()))
        if not self.masked:
            self._columns.pop("valid", None)

    def each(self, change: Callable[[Tensor], Tensor]) -> None:
        """Apply a change of the batch to everything, such as the order of beams."""
        self._columns = {name: change(column) for name, column in self._columns.items()}
        self.state = {name: change(tensor) for name, tensor in self.state.items()}

    def columns(self) -> dict[str, Tensor]:
        """Return all columns as far as they are in use."""
        return {name: self[name] for name in self._columns}

    def fill(self, columns: Mapping[str, Tensor], state: Mapping[str, Tensor], seen: int) -> None:
        """Take over what `columns` and `state` gave, after `seen` tokens."""
        self.clear()
        self._columns = {name: column.clone() for name, column in columns.items()}
        self.state = {name: tensor.clone() for name, tensor in state.items()}
        self.length, self.seen, self.masked = self.room, seen, "valid" in columns
        self.peak = self.length

    def _begin_mask(self, batch: int, heads: int, device: torch.device) -> None:
        self.masked = True
        if self._columns:
            self._columns["valid"] = torch.ones(batch, heads, self.room, dtype=torch.bool, device=device)

    def _mark_start(self, real: Tensor, positions: Tensor) -> None:
        """Note where each row's first real token stands, for those who count from there, and how much of the row is padding."""
        never = torch.iinfo(torch.int32).max
        first = torch.where(real, positions, never).amin(-1)
        known = self.state.get("start")
        if known is None:  # nothing was padded before this call
            known = torch.full_like(first, 0 if self.seen else never)
        self.state["start"] = torch.minimum(known, first)
        padding = (~real).sum(-1)
        self.state["padding"] = self.state["padding"] + padding if "padding" in self.state else padding

    def _reserve(self, needed: int, new: Mapping[str, Tensor]) -> None:
        """Make room. Below what is held anyway it grows by a quarter; above, it takes what a call needs."""
        if not torch.is_inference_mode_enabled():  # what inference mode made may not be written to outside of it
            self._columns = {name: column.clone() if column.is_inference() else column for name, column in self._columns.items()}
        if needed <= self.room and all(name in self._columns for name in new):
            return
        room = max(needed, min(self.most + _LEAST, max(self.room + self.room // 4, _LEAST))) if needed > self.room else self.room
        for name, rows in new.items():
            column = rows.new_empty((*rows.shape[:2], room, *rows.shape[3:]))
            if name in self._columns:
                column[:, :, : self.length] = self[name]
            self._columns[name] = column
