"""What policies with learned gates have in common."""

from __future__ import annotations

from dataclasses import dataclass

from tierkeep.errors import SettingsError
from tierkeep_transformers.gates import GateSet
from tierkeep_transformers.policies.policy import Need, Policy

__all__ = ["LearnedPolicy"]


@dataclass(frozen=True, kw_only=True)
class LearnedPolicy(Policy):
    """A policy whose gates say of each new token, once, what it is worth.

    Args:
        gates: The model's gates, as `train_gates` makes them or `GateSet.load` reads them.

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
