"""How keys and values are stored. A codec works on one token at a time, so that evicting a token never touches another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep.errors import SettingsError

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["Codec", "Int4", "Int8", "Plain", "ResidualInt4", "RotatedInt4", "hadamard"]


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


@dataclass(frozen=True)
class _Rounded(Codec):
    """Rounds to the nearest of equally spaced numbers around 0, with one fp16 scale for each group of numbers of one token.

    What is restored is in the model's dtype, one layer at a time, and lives as long as that layer's attention.

    Args:
        group: Numbers that share a scale; None for the whole head dim.

    Raises:
        SettingsError: `group` is no whole number, at least 2.
    """

    group: int | None = None

    #: Bits of a stored number.
    bits = 8

    def __post_init__(self) -> None:
        """Check the group."""
        if self.group is not None and (not isinstance(self.group, int) or self.group < 2):
            raise SettingsError(f"group= is how many numbers share a scale, at least 2, or None for the whole head; it is {self.group!r}")

    def encode(self, what: str, tensor: Tensor) -> dict[str, Tensor]:
        """Return the rounded numbers, the scales, and a column without width that remembers the model's dtype.

        Raises:
            SettingsError: The head dim cannot be cut into groups.
        """
        codes, scale = _round(self._turned(tensor), self.bits, self._group(tensor.shape[-1]))
        return {f"{what}_codes": codes, f"{what}_scale": scale, f"{what}_like": tensor[..., :0]}

    def decode(self, what: str, slots: Slots) -> Tensor:
        """Return the numbers that the codes stand for."""
        return _restore(slots[f"{what}_codes"], slots[f"{what}_scale"], self.bits).to(slots[f"{what}_like"].dtype)

    def bytes_per_slot(self, head_dim: int, element_size: int) -> int:
        """Return the bytes of codes and scales of a key and a value.

        Raises:
            SettingsError: The head dim cannot be cut into groups.
        """
        return 2 * (head_dim * self.bits // 8 + 2 * (head_dim // self._group(head_dim)))

    def _turned(self, tensor: Tensor) -> Tensor:
        """Return keys or values in the basis that they are stored in, fp32."""
        return tensor.float()

    def _group(self, head_dim: int) -> int:
        group = head_dim if self.group is None else self.group
        if head_dim % group or head_dim * self.bits % 8:
            raise SettingsError(f"group={self.group} does not fit a head dim of {head_dim}: choose an even divisor of it, or None")
        return group


@dataclass(frozen=True)
class Int8(_Rounded):
    """8 bits a number, round to nearest, symmetric; by default one scale for a key and one for a value."""

    name = "int8"


@dataclass(frozen=True)
class Int4(_Rounded):
    """4 bits a number, two in a byte; with groups of 16, as in our proof, 5 bits with the scale."""

    group: int | None = 16

    name = "int4"
    bits = 4


@dataclass(frozen=True)
class RotatedInt4(Int4):
    """4 bits a number, after a rotation that spreads outlier channels over all of them (QuaRot, arXiv 2404.00456).

    The rotation is a normalised Hadamard matrix on the head dim. Queries are turned as keys are, which leaves their products as they
    were, and attention's output is turned back. A head dim that is no power of two is turned in blocks of its largest power of two.
    """

    name = "rotated_int4"

    def turn(self, query: Tensor) -> Tensor:
        """Return queries in the basis that keys are stored in."""
        return self._turned(query).to(query.dtype)

    def turn_back(self, output: Tensor) -> Tensor:
        """Return what attention gave, from the basis that values are stored in: the matrix is its own inverse."""
        return self._turned(output).to(output.dtype)

    def _turned(self, tensor: Tensor) -> Tensor:
        size = tensor.shape[-1] & -tensor.shape[-1]
        turned: Tensor = _cut(tensor.float(), size) @ hadamard(size, tensor.device)
        return turned.flatten(-2)


@dataclass(frozen=True)
class ResidualInt4(Int4):
    """4 bits a number and 4 bits for what they miss, summed when read (progressive residual quantisation, "PRQ 4+4")."""

    name = "residual_int4"

    def encode(self, what: str, tensor: Tensor) -> dict[str, Tensor]:
        """Return the columns of `Int4`, and those of the residual.

        Raises:
            SettingsError: The head dim cannot be cut into groups.
        """
        columns = super().encode(what, tensor)
        first = _restore(columns[f"{what}_codes"], columns[f"{what}_scale"], self.bits)
        codes, scale = _round(tensor.float() - first, self.bits, self._group(tensor.shape[-1]))
        return {**columns, f"{what}_residual_codes": codes, f"{what}_residual_scale": scale}

    def decode(self, what: str, slots: Slots) -> Tensor:
        """Return the sum of both parts."""
        first = _restore(slots[f"{what}_codes"], slots[f"{what}_scale"], self.bits)
        rest = _restore(slots[f"{what}_residual_codes"], slots[f"{what}_residual_scale"], self.bits)
        return (first + rest).to(slots[f"{what}_like"].dtype)

    def bytes_per_slot(self, head_dim: int, element_size: int) -> int:
        """Return the bytes of both parts.

        Raises:
            SettingsError: The head dim cannot be cut into groups.
        """
        return 2 * super().bytes_per_slot(head_dim, element_size)


@lru_cache(maxsize=16)
def hadamard(size: int, device: torch.device | None = None) -> Tensor:
    """Return the normalised Hadamard matrix of a power of two: symmetric, and its own inverse. (size, size), fp32. Do not write to it."""
    matrix = torch.ones(1, 1)
    while matrix.shape[0] < size:
        matrix = torch.cat([torch.cat([matrix, matrix], dim=1), torch.cat([matrix, -matrix], dim=1)])
    return matrix.mul(size**-0.5).to(device)


def _round(tensor: Tensor, bits: int, group: int) -> tuple[Tensor, Tensor]:
    """Return codes and scales of fp32 numbers (…, head dim): int8 (…, head dim) or uint8 (…, head dim / 2), and fp16 (…, groups)."""
    most = 2 ** (bits - 1) - 1
    groups = _cut(tensor, group)
    # Codes are made with the scale as it is stored, so that its own rounding adds no error but at the very ends.
    scale = (groups.abs().amax(-1) / most).clamp(max=torch.finfo(torch.float16).max).to(torch.float16)
    step = scale.float()[..., None]
    codes = torch.where(step > 0, groups / step, 0.0).round().clamp(-most, most).flatten(-2)
    if bits == 8:
        return codes.to(torch.int8), scale
    nibbles = (codes + 8).to(torch.uint8)
    return nibbles[..., 0::2] | nibbles[..., 1::2] << 4, scale


def _restore(codes: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the fp32 numbers (…, head dim) that codes and scales stand for."""
    if bits == 4:
        codes = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(-2).to(torch.int8) - 8
    groups = codes.float().reshape(*scale.shape, codes.shape[-1] // scale.shape[-1])
    return (groups * scale.float()[..., None]).flatten(-2)


def _cut(tensor: Tensor, group: int) -> Tensor:
    """Return (…, head dim) as (…, groups, group)."""
    return tensor.reshape(*tensor.shape[:-1], tensor.shape[-1] // group, group)
