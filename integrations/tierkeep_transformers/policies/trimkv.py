"""TRIM-KV: a learned gate says, once and when a token is written, how fast the token may be forgotten (arXiv 2512.03324)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from tierkeep_transformers.policies.learned import LearnedPolicy
from tierkeep_transformers.policies.policy import Need

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["TrimKV"]


@dataclass(frozen=True, kw_only=True)
class TrimKV(LearnedPolicy):
    """Retention-gated eviction (section 1.7 of the paper's method: append, attend, evict).

    A slot written at i has at step t the retention `(t - i) * log beta_i`; the lowest leave. Attention itself stays plain.

    Args:
        gates: The model's retention gates, as `train_gates` makes them or `GateSet.load` reads them.

    Raises:
        SettingsError: There are no gates.
    """

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Keep log beta, which alone says how a slot ages."""
        return {"log_beta": told[Need.GATE]}

    def score(self, slots: Slots) -> Tensor:
        """Return the retention in log space. The newest token has age 1."""
        return (slots.seen - slots.position).float() * slots["log_beta"]
