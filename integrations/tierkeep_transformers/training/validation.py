"""What gates are worth with real eviction, through `attach`. The figures of training are optimistic: there nothing is ever lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tierkeep_transformers.attach import Bounded, attach
from tierkeep_transformers.gates import GateSet
from tierkeep_transformers.policies.dbtrimkv import DBTrimKV
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.policies.spkv import SPKV
from tierkeep_transformers.policies.trimkv import TrimKV
from tierkeep_transformers.training.losses import supervised

__all__ = ["HardScore", "hard_scores", "policy_of"]


class HardScore(NamedTuple):
    """With real eviction: the share of right next tokens, and their loss in nats."""

    accuracy: float
    ntp: float


def policy_of(method: str, window: int) -> Callable[[GateSet, int], Policy]:
    """Return what makes the policy that gates of a method are measured with: cut back to the budget after every chunk."""

    def make(gates: GateSet, budget: int) -> Policy:
        if method == "spkv":
            return SPKV(budget=budget, window=min(window, budget), gates=gates)
        return (DBTrimKV if method == "dbtrimkv" else TrimKV)(budget=budget, buffer=0, gates=gates)

    return make


def hard_scores(
    model: PreTrainedModel, gates: GateSet, batches: Iterable[Mapping[str, Tensor]], budgets: Sequence[int], *,
    only_labels: bool = False, policy: Callable[[GateSet, int], Policy] | None = None,
) -> dict[int, HardScore]:  # fmt: skip
    """Return what is right at each budget.

    Each sequence is read in chunks of a quarter of the budget, and every head is cut back to the budget after each.

    Args:
        model: The model.
        gates: Its gates.
        batches: As `train_gates` takes them.
        budgets: Slots per layer and KV head.
        only_labels: Whether only labelled tokens count.
        policy: Makes the policy from gates and a budget; that of `TrimKV` by default.
    """
    batches = list(batches)
    policy = policy or policy_of("trimkv", 0)
    scores = {}
    with torch.no_grad():
        for budget in budgets:
            with attach(model, policy(gates, budget)) as bounded:
                sums = torch.stack([_read(bounded, batch, max(1, budget // 4), only_labels) for batch in batches]).sum(0)
            right, loss, count = sums.tolist()
            scores[budget] = HardScore(right / count, loss / count)
    return scores


def _read(bounded: Bounded, batch: Mapping[str, Tensor], chunk: int, only_labels: bool) -> Tensor:
    """Return right tokens, summed loss and positions of a batch that is read in chunks, in fp64."""
    model, cache = bounded.model, bounded.new_cache()
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    targets, counts = supervised(batch, only_labels)
    real = batch.get("attention_mask")
    total = torch.zeros(3, dtype=torch.float64)
    for start in range(0, targets.shape[1], chunk):
        stop = min(start + chunk, targets.shape[1])
        mask = {} if real is None else {"attention_mask": real[:, :stop]}
        logits = model(input_ids=batch["input_ids"][:, start:stop], use_cache=True, **mask, **bounded.past(cache)).logits
        said, wanted = logits[counts[:, start:stop]].float(), targets[:, start:stop][counts[:, start:stop]]
        loss = nn.functional.cross_entropy(said, wanted, reduction="sum")
        total += torch.stack([(said.argmax(-1) == wanted).sum().double(), loss.double(), counts[:, start:stop].sum().double()]).cpu()
    return total
