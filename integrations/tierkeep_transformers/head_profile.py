"""Measures on a sample of text which KV heads look at sinks and recent tokens only, for `HeadMix`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tierkeep.errors import InputError
from tierkeep_transformers.attach import attach
from tierkeep_transformers.policies.policy import Need, check_share, check_whole
from tierkeep_transformers.policies.simple import FullCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tierkeep_transformers.slots import Slots

__all__ = ["HeadProfile", "profile_heads"]


@dataclass(frozen=True)
class HeadProfile:
    """What share of its attention each KV head pays to sinks and recent tokens.

    Attributes:
        share: By layer, one number in [0, 1] for each KV head.
        sinks: First tokens that counted as sinks.
        recent: Newest tokens that counted as recent, the query's own included.
    """

    share: Mapping[int, Sequence[float]]
    sinks: int
    recent: int

    def static(self, threshold: float = 0.95) -> dict[int, tuple[bool, ...]]:
        """Return `HeadMix(static=)`: heads are static whose share is at least the threshold.

        Raises:
            SettingsError: The threshold is not from 0 to 1.
        """
        check_share("threshold", threshold, ends=True)
        return {layer: tuple(one >= threshold for one in shares) for layer, shares in self.share.items()}


@dataclass(frozen=True, kw_only=True)
class _Measure(FullCache):
    """Keeps everything, and sums the attention to sinks and recent tokens by row and head."""

    sinks: int
    near: int

    @property
    def needs(self) -> frozenset[Need]:
        """Every query's attention."""
        return frozenset({Need.ATTENTION})

    def observe(self, slots: Slots, weights: Tensor, rows: Tensor, real: Tensor | None) -> None:
        """Add the queries that have something else to look at."""
        near = slots.position[:, :, None] > rows[:, None] - self.near
        mass = (weights.detach() * (near | (slots.place() < self.sinks)[:, :, None])).sum(-1)
        start = slots.state.get("start")
        first = (torch.zeros(slots.batch, dtype=torch.int32, device=rows.device) if start is None else start) + self.sinks + self.near
        counted = rows >= first[:, None]
        if real is not None:
            counted &= real
        state = slots.state
        state["mass"] = state.get("mass", 0) + (mass * counted[:, None]).sum(-1)
        state["queries"] = state.get("queries", 0) + counted.sum(-1)


def profile_heads(
    model: PreTrainedModel, input_ids: Tensor, *, attention_mask: Tensor | None = None, sinks: int = 4, recent: int = 60
) -> HeadProfile:
    """Read sample text once, and return what share of its attention each KV head pays to sinks and recent tokens.

    Counted are queries that stand further than `sinks + recent` tokens from the beginning; earlier ones see nothing else.

    Args:
        model: A decoder of transformers, with no policy attached.
        input_ids: The sample, (batch, tokens).
        attention_mask: The same shape, 0 for padding; None when there is none.
        sinks: First tokens that count as sinks.
        recent: Newest tokens that count as recent, the query's own included.

    Raises:
        InputError: The sample is so short that no query sees anything else.
        SettingsError: A number is out of range, or the model cannot be bounded.
    """
    check_whole("sinks", sinks, 0)
    check_whole("recent", recent, 1)
    with torch.no_grad(), attach(model, _Measure(sinks=sinks, near=recent)) as bounded:
        cache = bounded.new_cache()
        for start in range(0, input_ids.shape[1], bounded.chunk):
            stop = start + bounded.chunk
            mask = None if attention_mask is None else attention_mask[:, :stop]
            model(input_ids=input_ids[:, start:stop], attention_mask=mask, **bounded.past(cache))
    share = {}
    for index, layer in cache.bounded.items():
        queries = int(layer.slots.state["queries"].sum())
        if not queries:
            raise InputError(f"the sample is too short: rows need more than {sinks + recent} tokens, better ten times as many")
        share[index] = tuple((layer.slots.state["mass"].sum(0) / queries).tolist())
    return HeadProfile(share=share, sinks=sinks, recent=recent)
