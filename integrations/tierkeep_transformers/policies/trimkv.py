"""TRIM-KV: a learned gate says, once and when a token is written, how fast the token may be forgotten (arXiv 2512.03324)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from tierkeep.errors import SettingsError
from tierkeep_transformers.gates import GateSet
from tierkeep_transformers.policies.policy import Need, Policy

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["TrimKV"]


@dataclass(frozen=True, kw_only=True)
class TrimKV(Policy):
    """Retention-gated eviction (section 1.7 of the paper's method: append, attend, evict).

    A slot written at i has at step t the retention `(t - i) * log beta_i`; the lowest leave. Attention itself stays plain.

    Args:
        gates: The model's retention gates, as `train_gates` makes them or `GateSet.load` reads them.

    Raises:
        SettingsError: There are no gates.
    """

    gates: GateSet

    def __post_init__(self) -> None:
        """Check the numbers and the gates."""
        super().__post_init__()
        if not isinstance(self.gates, GateSet):
            raise SettingsError(f"gates= is a GateSet: read one with GateSet.load(path), or train one; it is a {type(self.gates).__name__}")

    @property
    def needs(self) -> frozenset[Need]:
        """The gates' word on each new token."""
        return frozenset({Need.GATE})

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Keep log beta, which alone says how a slot ages."""
        return {"log_beta": told[Need.GATE]}

    def score(self, slots: Slots) -> Tensor:
        """Return the retention in log space. The newest token has age 1."""
        return (slots.seen - slots.position).float() * slots["log_beta"]
