"""Training of retention gates: the frozen model teaches itself what it can forget."""

from __future__ import annotations

from tierkeep_transformers.training.distil import GateTraining, train_gates
from tierkeep_transformers.training.gated import Gated, gated
from tierkeep_transformers.training.settings import StepReport, TrainSettings
from tierkeep_transformers.training.validation import HardScore, hard_scores

__all__ = ["GateTraining", "Gated", "HardScore", "StepReport", "TrainSettings", "gated", "hard_scores", "train_gates"]
