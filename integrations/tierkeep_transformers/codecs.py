"""How keys and values are stored. A codec works on one token at a time, so that evicting a token never touches another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["Codec", "Plain"]


class Codec:
    """Stores keys and values in columns of the slots."""

    name = "codec"

    def encode(self, what: str, tensor: Tensor) -> dict[str, Tensor]:
        """Return the columns of new keys or values.

        Args:
            what: "key" or "value".
            tensor: (batch, KV heads, new, head dim).

        Returns:
            Tensors of shape (batch, KV heads, new, …), whose names begin with `what`.
        """
        raise NotImplementedError

    def decode(self, what: str, slots: Slots) -> Tensor:
        """Return keys or values, (batch, KV heads, slots, head dim), in the model's dtype."""
        raise NotImplementedError

    def turn(self, query: Tensor) -> Tensor:
        """Return queries in the basis that keys are stored in."""
        return query

    def turn_back(self, output: Tensor) -> Tensor:
        """Return what attention gave, from the basis that values are stored in."""
        return output

    def bytes_per_slot(self, head_dim: int, element_size: int) -> int:
        """Return the bytes of one slot of one KV head.

        Args:
            head_dim: Numbers in a key.
            element_size: Bytes of one number of the model.
        """
        raise NotImplementedError


class Plain(Codec):
    """Keys and values as the model made them."""

    name = "none"

    def encode(self, what: str, tensor: Tensor) -> dict[str, Tensor]:
        """Return the tensor itself."""
        return {what: tensor}

    def decode(self, what: str, slots: Slots) -> Tensor:
        """Return the column: a view, nothing is copied."""
        return slots[what]

    def bytes_per_slot(self, head_dim: int, element_size: int) -> int:
        """Return the bytes of a key and a value."""
        return 2 * head_dim * element_size
