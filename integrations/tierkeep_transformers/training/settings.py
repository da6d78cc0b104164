"""What a training of gates is told, and what it says after each step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from tierkeep.errors import SettingsError
from tierkeep_transformers.training.gated import Form
from tierkeep_transformers.training.losses import CapNorm
from tierkeep_transformers.training.validation import HardScore

__all__ = ["Method", "StepReport", "TrainSettings"]

#: What the gates learn: retention with a budget for each head; with one budget for all heads; or a threshold, in the way of SP-KV but with
#: a frozen model and a term that makes it sparse, so not a reproduction of that paper.
Method = Literal["trimkv", "dbtrimkv", "spkv"]

#: Qwen3-4B's width and the learning rate that its gates were trained with in the paper; and the most that "auto" makes of it.
_PAPER_WIDTH, _PAPER_RATE, _MOST_RATE = 2560, 2e-4, 3e-3


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How gates are trained. The defaults are TRIM-KV's, but for the bias.

    Args:
        budget: Slots per layer and KV head that the gates learn to live with: the smallest that you will use (M).
        steps: Steps of the optimiser.
        method: What the gates learn.
        lr: Learning rate after the warm-up; it falls to 0 along a cosine. "auto" is the paper's 2e-4 at the paper's width of 2,560,
            and more for a narrower one, by the ratio of widths: a step of AdamW moves what a gate says by rate x width. At most 3e-3.
        weight_decay: Of matrices; biases have none.
        warmup: Share of the steps in which the learning rate rises.
        accumulation: Batches to a step.
        clip: The gradient is scaled down to this norm.
        kl: Weight of the likeness to the model without gates.
        ntp: Weight of the next token's loss.
        lambda_cap: Weight of the capacity loss; for "spkv", unused. Raise it when the soft size stays above twice the budget.
        cap_norm: How the capacity loss is averaged.
        form: How the gates' word enters attention. "logit_mul" is for ablation only.
        hidden: Width of each gate.
        bias: Where the gates' bias begins, or "auto": `ln(length / eps)`, so that a token of the beginning keeps `exp(-eps)` at the end.
            The gradient of a gate shrinks with `exp(-bias)`: the paper's 18 is a plateau for lengths below 16,000 tokens.
        eps: See `bias`.
        supervise: "all": every token that is not padding; "labels": tokens whose label is not -100.
        query_block: Queries that attention and capacity loss work on at once: memory grows with length x this.
        logit_chunk: Positions whose logits over the vocabulary are held at once.
        gradient_checkpointing: Whether the model's layers are computed anew in the backward pass: a third slower, and far less memory.
        seed: Of the gates' beginning.
        window: For "spkv": the newest tokens, which always stay.
        sparsity: For "spkv": weight of the mean of u.

    Raises:
        SettingsError: A value is out of range.
    """

    budget: int
    steps: int
    method: Method = "trimkv"
    lr: float | Literal["auto"] = "auto"
    weight_decay: float = 0.01
    warmup: float = 0.03
    accumulation: int = 1
    clip: float = 1.0
    kl: float = 1.0
    ntp: float = 1.0
    lambda_cap: float = 1.0
    cap_norm: CapNorm = "paper"
    form: Literal["log_bias", "logit_mul"] = "log_bias"
    hidden: int = 512
    bias: float | Literal["auto"] = "auto"
    eps: float = 4.0
    supervise: Literal["all", "labels"] = "all"
    query_block: int = 256
    logit_chunk: int = 256
    gradient_checkpointing: bool = False
    seed: int = 0
    window: int = 128
    sparsity: float = 0.3

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("budget", "steps", "accumulation", "hidden", "query_block", "logit_chunk", "window"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise SettingsError(f"{name}= is a number of at least 1; it is {getattr(self, name)!r}")
        if type(self.seed) is not int:
            raise SettingsError(f"seed= is a whole number; it is {self.seed!r}")
        for name in ("clip", "eps") if self.lr == "auto" else ("lr", "clip", "eps"):
            if not _positive(getattr(self, name)):
                raise SettingsError(f"{name}= is above 0; it is {getattr(self, name)!r}")
        for name in ("weight_decay", "kl", "ntp", "lambda_cap", "sparsity"):
            if not (getattr(self, name) == 0 or _positive(getattr(self, name))):
                raise SettingsError(f"{name}= is at least 0; it is {getattr(self, name)!r}")
        if not _is_number(self.warmup) or not 0 <= self.warmup < 1:
            raise SettingsError(f"warmup= is a share of the steps, from 0 to below 1; it is {self.warmup!r}")
        if self.kl == 0 and self.ntp == 0:
            raise SettingsError("kl= and ntp= are both 0: nothing would say what is worth keeping")
        if self.bias != "auto" and not _is_number(self.bias):
            raise SettingsError(f'bias= is a number or "auto"; it is {self.bias!r}')
        choices: dict[str, tuple[str, ...]] = {
            "method": get_args(Method), "cap_norm": get_args(CapNorm), "form": ("log_bias", "logit_mul"), "supervise": ("all", "labels"),
        }  # fmt: skip
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise SettingsError(f"{name}= is one of {', '.join(known)}; it is {getattr(self, name)!r}")

    @property
    def attention(self) -> Form:
        """How the gates' word enters attention."""
        return "window" if self.method == "spkv" else self.form

    def first_bias(self, length: int) -> float:
        """Return where the gates' bias begins for sequences of so many tokens."""
        if self.bias != "auto":
            return float(self.bias)
        return 5.0 if self.method == "spkv" else max(math.log(length / self.eps), 1.0)

    def rate(self, step: int, width: int = _PAPER_WIDTH) -> float:
        """Return the learning rate of a step, counted from 0, for a model whose hidden states have so many numbers."""
        most = min(_PAPER_RATE * _PAPER_WIDTH / width, _MOST_RATE) if self.lr == "auto" else float(self.lr)
        rising = round(self.warmup * self.steps)
        if step < rising:
            return most * (step + 1) / rising
        return most * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(self.steps - rising, 1)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: float) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


@dataclass(frozen=True)
class StepReport:
    """What one step of a training came to.

    Attributes:
        step: Steps done, this one included.
        loss: What was minimised, the mean of the step's batches.
        kl: Likeness to the model without gates, in nats per position.
        ntp: Loss of the next token, in nats per position.
        cap: Capacity loss, or the mean of u for "spkv".
        accuracy: Share of positions whose next token is the gated model's first choice. Optimistic: nothing is evicted.
        soft_size: Slots that a head holds after the last token, by layer: the sum of retentions.
        lr: Learning rate.
        gradient: Norm of the gradient before it was clipped.
        hard: What is right with real eviction, by budget; empty when it was not measured.
    """

    step: int
    loss: float
    kl: float
    ntp: float
    cap: float
    accuracy: float
    soft_size: Mapping[int, float]
    lr: float
    gradient: float
    hard: Mapping[int, HardScore] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """Return it as a line of JSON would hold it."""
        plain = asdict(self)
        plain["soft_size"] = {str(layer): round(size, 3) for layer, size in self.soft_size.items()}
        plain["hard"] = {str(budget): score._asdict() for budget, score in self.hard.items()}
        return plain
