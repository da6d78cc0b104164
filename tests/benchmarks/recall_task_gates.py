"""The recall task's gates, trained by the package's own trainer, and every policy that they and the heuristics make."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from recall_task_data import Sequences, Task
from recall_task_evaluate import CHUNK, Oracle
from torch import Tensor
from transformers import PreTrainedModel

from tierkeep_transformers import (
    H2O,
    SPKV,
    DBTrimKV,
    FullCache,
    GateSet,
    HeadMix,
    LazyEviction,
    Policy,
    RandomEviction,
    SnapKV,
    StreamingLLM,
    TrimKV,
    profile_heads,
)  # fmt: skip
from tierkeep_transformers.training import StepReport, TrainSettings, train_gates

__all__ = ["ABLATIONS", "BATCH", "BUDGETS", "GATES", "M", "policies", "train"]

#: Slots per layer and KV head that the gates are trained for.
M = 32
#: Budgets that are measured: 50, 25, 12.5 and 6.25 % of 256 tokens.
BUDGETS = (128, 64, 32, 16)
#: Sequences of a step.
BATCH = 4
_STEPS = 200
_ABLATION_STEPS = 100
_LABELS = "labels"


def _settings(steps: int = _STEPS, **other: object) -> TrainSettings:
    """Return the trainer's defaults for this task: only answers are supervised, because nothing else can be told in advance."""
    return TrainSettings(budget=M, steps=steps, supervise=_LABELS, **other)  # type: ignore[arg-type]


#: How each set of gates is trained. "default" has the trainer's defaults, which are the paper's losses with lambda 1; "high-bias" begins
#: with b = 7.8, where a token of the beginning keeps nine tenths at the end.
GATES = {
    "default": _settings(),
    "high-bias": _settings(eps=0.1),
    "dbtrimkv": _settings(method="dbtrimkv"),
    "spkv": _settings(method="spkv", window=CHUNK),
}
#: The same with one thing changed, and half the steps.
ABLATIONS = {
    "base": _settings(_ABLATION_STEPS),
    "no capacity loss": _settings(_ABLATION_STEPS, lambda_cap=0.0),
    "lambda 1": _settings(_ABLATION_STEPS, lambda_cap=1.0),
    "lambda 5": _settings(_ABLATION_STEPS, lambda_cap=5.0),
    "bias 0": _settings(_ABLATION_STEPS, bias=0.0),
    "bias 8": _settings(_ABLATION_STEPS, bias=8.0),
    "bias 18": _settings(_ABLATION_STEPS, bias=18.0),
    "no KL": _settings(_ABLATION_STEPS, kl=0.0),
    "no next token": _settings(_ABLATION_STEPS, ntp=0.0),
    "hinge of the authors' code": _settings(_ABLATION_STEPS, cap_norm="active"),
    "logits multiplied": _settings(_ABLATION_STEPS, form="logit_mul"),
}


@dataclass(frozen=True)
class _Drawn:
    """New sequences without end, as the trainer takes them."""

    seed: int

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            data = Task().draw(BATCH, generator)
            yield {"input_ids": data.tokens, "labels": data.labels}


def train(
    model: PreTrainedModel, settings: TrainSettings, steps: int, seed: int, note: Callable[[str], None]
) -> tuple[GateSet, dict[str, float]]:
    """Train one set of gates, with so many steps. Return it, and what the training came to."""
    settings = replace(settings, steps=steps)
    wall, cpu = time.perf_counter(), time.process_time()
    last: list[StepReport] = []

    def heard(report: StepReport) -> None:
        last[:] = [report]
        if report.step % 50 == 0 or report.step == settings.steps:
            sizes = ", ".join(f"{size:.0f}" for size in report.soft_size.values())
            note(f"step {report.step}: KL {report.kl:.3f}, next token {report.ntp:.3f}, capacity {report.cap:.3f}, soft sizes {sizes}")

    gates = train_gates(model, _Drawn(seed), settings, on_step=heard)
    said = {f"soft_size_{layer}": size for layer, size in last[0].soft_size.items()}
    return gates, {"steps": settings.steps, **said, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def policies(model: PreTrainedModel, gates: dict[str, GateSet], sample: Tensor) -> dict[str, Callable[[int, Sequences], Policy]]:
    """Return every policy that is measured: what makes it for a budget and a data set.

    Args:
        model: The model.
        gates: Gates by their names in `GATES`.
        sample: Tokens on which the heads of `HeadMix` are profiled, (batch, tokens).
    """
    near = CHUNK + 4
    profile = profile_heads(model, sample, sinks=4, recent=near)
    # No head of this model lives on sinks and recent tokens alone (no share is above 0.3), so the half that comes nearest to it is taken.
    static = profile.static(statistics.median(share for shares in profile.share.values() for share in shares))
    return {
        "full cache": lambda budget, data: FullCache(),
        "TRIM-KV": lambda budget, data: TrimKV(budget=budget, buffer=0, gates=gates["default"]),
        "TRIM-KV, bias 7.8": lambda budget, data: TrimKV(budget=budget, buffer=0, gates=gates["high-bias"]),
        "DBTrimKV": lambda budget, data: DBTrimKV(budget=budget, buffer=0, gates=gates["dbtrimkv"]),
        "SP-KV style": lambda budget, data: SPKV(budget=budget, buffer=0, window=CHUNK, gates=gates["spkv"]),
        "LazyEviction": lambda budget, data: LazyEviction(budget=budget, alpha=0.02, window=8),
        "H2O": lambda budget, data: H2O(budget=budget, buffer=0),
        "H2O, normalised": lambda budget, data: H2O(budget=budget, buffer=0, normalise=True, recent_frac=0),
        "static and dynamic heads": lambda budget, data: HeadMix(
            dynamic=H2O(budget=budget, buffer=0, normalise=True, recent_frac=0), static=static, sinks=4, static_recent=near
        ),
        "random": lambda budget, data: RandomEviction(budget=budget, buffer=0, recent=8),
        "SnapKV": lambda budget, data: SnapKV(budget=budget, buffer=0, window=min(16, budget // 2), kernel=5),
        "StreamingLLM": lambda budget, data: StreamingLLM(budget=budget, buffer=0, sinks=4),
        "oracle": lambda budget, data: Oracle(budget=budget, buffer=0, fact_values=data.fact_values),
    }
