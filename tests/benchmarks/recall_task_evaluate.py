"""Accuracy of the recall task's model in bounded memory: the package's hooks, cache and policies, and an oracle that knows the facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from recall_task_data import Sequences, Task
from torch import Tensor
from transformers import PreTrainedModel

from tierkeep_transformers import Bounded, BoundedCache, Codec, Policy, attach
from tierkeep_transformers.slots import Slots

__all__ = ["CHUNK", "Measured", "Oracle", "one_shot", "streaming"]

#: Tokens that the streaming protocol reads at once.
CHUNK = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Oracle(Policy):
    """Keeps the values of stored facts, which it is told, and the newest tokens: what the budget allows whoever knows what matters.

    Args:
        fact_values: True for the value of a stored fact, (batch, length).
    """

    fact_values: Tensor

    def columns(self, slots: Slots, *told: object) -> dict[str, Tensor]:
        """Keep nothing: the positions say which tokens are meant."""
        return {}

    def protected(self, slots: Slots) -> Tensor:
        """Return True for the values of facts."""
        facts = self.fact_values[:, None].expand(-1, slots.heads, -1)
        return facts.gather(2, slots.position.long())

    def score(self, slots: Slots) -> Tensor:
        """Return positions: beside the facts the newest stay."""
        return slots.position.float()


@dataclass(frozen=True)
class Measured:
    """What one pass over a data set gave.

    Attributes:
        right: First-asked questions that were answered.
        asked: First-asked questions.
        peak_slots: The most slots of a KV head at any moment, while a chunk was attended to.
        kept_slots: The most slots of a KV head between two calls.
        peak_bytes: Keys and values of `peak_slots` slots in all layers and heads, for one sequence.
    """

    right: int
    asked: int
    peak_slots: int
    kept_slots: int
    peak_bytes: int

    @property
    def accuracy(self) -> float:
        """The share of first-asked questions that were answered, in percent."""
        return 100 * self.right / self.asked


def streaming(model: PreTrainedModel, policy: Policy, data: Sequences, codec: Codec | None = None, chunk: int = CHUNK) -> Measured:
    """Read sequences in chunks, each of which is cut down to the budget once it was read."""
    return _measure(model, policy, data, codec, [chunk] * (data.tokens.shape[1] // chunk) + [data.tokens.shape[1] % chunk])


def one_shot(model: PreTrainedModel, policy: Policy, data: Sequences, task: Task, codec: Codec | None = None) -> Measured:
    """Read the whole context, cut it down once, and then ask all questions in one go, which nothing is cut after."""
    return _measure(model, policy, data, codec, [task.context, task.length - task.context])


@torch.no_grad()
def _measure(model: PreTrainedModel, policy: Policy, data: Sequences, codec: Codec | None, calls: list[int]) -> Measured:
    with attach(model, policy, codec=codec) as bounded:
        cache = bounded.new_cache()
        kept = 0
        told: list[Tensor] = []
        for logits in _read(bounded, cache, data.tokens, [count for count in calls if count]):
            told.append(logits.argmax(-1))
            kept = max(kept, *(layer.slots.length for layer in cache.bounded.values()))
        layout = bounded.layout
        peaks = [layer.slots.peak for layer in cache.bounded.values()]
        size = cache.codec.bytes_per_slot(layout.head_dim, 4) * layout.kv_heads
    asked = data.first[:, 1:]
    right = (torch.cat(told, dim=1)[:, :-1] == data.tokens[:, 1:]) & asked
    return Measured(int(right.sum()), int(asked.sum()), max(peaks), kept, sum(peaks) * size)


def _read(bounded: Bounded, cache: BoundedCache, tokens: Tensor, calls: list[int]) -> Iterator[Tensor]:
    """Give the model the tokens call by call, and yield what it says after each of them."""
    start = 0
    for count in calls:
        yield bounded.model(tokens[:, start : start + count], use_cache=True, **bounded.past(cache)).logits
        start += count
