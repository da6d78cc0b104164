"""Whether a conversation goes on where its cache stands: what was evicted cannot be changed, so its beginning must be what was read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tierkeep.errors import InputError

if TYPE_CHECKING:
    from tierkeep_transformers.cache import BoundedCache

__all__ = ["History", "expect_continuation", "history_of"]


class History(NamedTuple):
    """Which tokens a cache had seen when `Bounded.generate` last ended.

    Attributes:
        rows: Sequences of the batch.
        length: Tokens of each.
        digest: SHA-256 of them.
    """

    rows: int
    length: int
    digest: str


def history_of(cache: BoundedCache, said: Tensor) -> History | None:
    """Return the history of a cache, of the sequences that `generate` gave: (rows, tokens). None where they are not what it holds."""
    if len(said) != cache.rows:  # of beams it holds all, and gives the best
        return None
    return History(len(said), cache.seen, _digest(said[:, : cache.seen]))


def expect_continuation(cache: BoundedCache, ids: Tensor) -> None:
    """Check that a conversation is handed over from its beginning, as the cache has seen it, with something new at its end.

    Raises:
        InputError: It is not.
    """
    if not cache.seen:
        return
    if ids.shape[1] <= cache.seen:
        raise InputError(
            f"the cache has seen {cache.seen} tokens, and input_ids= has {ids.shape[1]}: hand over the whole conversation, with what is "
            "new at its end; to begin anew take new_cache()"
        )
    known = cache.history
    if known is not None and known.rows == len(ids) and _digest(ids[:, : known.length]) != known.digest:
        raise InputError(
            f"the first {known.length} of input_ids= are not those that the cache has seen: what was evicted cannot be changed. Put new "
            "tokens behind those that generate gave, rather than apply the chat template anew; or begin anew with new_cache()"
        )


def _digest(ids: Tensor) -> str:
    return hashlib.sha256(ids.detach().to("cpu", torch.int64).contiguous().numpy().tobytes()).hexdigest()
