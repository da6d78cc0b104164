"""Trains gates: the frozen model without gates teaches the same model with them, and a budget presses (TRIM-KV, sections 1.5 and 1.6)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from tierkeep.errors import InputError, ModelError, SettingsError
from tierkeep_transformers.families import Layout, layout_of
from tierkeep_transformers.gate_files import identity
from tierkeep_transformers.gates import GateSet
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.training.gated import Gated, gated
from tierkeep_transformers.training.losses import Head, capacity_loss, sparsity_loss, supervised, token_losses
from tierkeep_transformers.training.settings import StepReport, TrainSettings
from tierkeep_transformers.training.validation import HardScore, hard_scores, policy_of

__all__ = ["Batch", "GateTraining", "endless", "run", "train_gates"]

_LOG = logging.getLogger(__name__)

#: `input_ids` (batch, tokens), and optionally `attention_mask` and `labels`, as transformers has them; or the ids alone.
Batch = Mapping[str, Tensor] | Tensor


class GateTraining:
    """A training of gates, step by step. `train_gates` runs one from beginning to end.

    Args:
        model: A causal language model of transformers; its weights are never changed.
        settings: How.
        length: Tokens of a sequence, from which the gates' bias begins.

    Attributes:
        gates: The gates as they are now.
        step: Steps done.
        optimiser: AdamW over the gates.
        report: What the last step came to.

    Raises:
        SettingsError: The model has no layer that can be bounded.
    """

    def __init__(self, model: PreTrainedModel, settings: TrainSettings, *, length: int) -> None:
        self.model = model
        self.settings = settings
        self.length = length
        self.layout = layout_of(model)
        self.head = Head(model)
        self.step = 0
        self.report: StepReport | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.gates = GateSet.fresh(self.layout, hidden=settings.hidden, bias=settings.first_bias(length))
        for index, module in self.layout.attention.items():
            self.gates.gate(index).to(device=next(module.parameters()).device, dtype=torch.float32)
        named = list(self.gates.named_parameters())
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [one for name, one in named if not name.endswith("bias")], "weight_decay": settings.weight_decay},
                {"params": [one for name, one in named if name.endswith("bias")], "weight_decay": 0.0},
            ],
            lr=settings.rate(0, self.layout.hidden),
        )
        self._gated: Gated | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Freeze the model and gate its attention for as long as the block lasts. `advance` and `measure` need it.

        Raises:
            SettingsError: A policy is attached to the model, or its output layer does something unknown.
        """
        settings = self.settings
        with ExitStack() as stack:
            stack.enter_context(_frozen(self.model))
            if settings.gradient_checkpointing:
                stack.enter_context(_recomputed(self.layout))
            self._gated = stack.enter_context(
                gated(self.model, self.gates, form=settings.attention, block=settings.query_block, window=settings.window)
            )
            stack.callback(setattr, self, "_gated", None)
            with self._gated.off():
                self.head.check(self.model, torch.arange(2, device=self.model.device)[None])
            yield

    def advance(self, batches: Sequence[Batch]) -> StepReport:
        """Do one step of the optimiser on the mean of some batches.

        Raises:
            ModelError: The loss or its gradient is not finite. The gates are as they were before the step.
            InputError: A batch has nothing to learn from.
        """
        self.optimiser.zero_grad(set_to_none=True)
        sizes: dict[int, float] = dict.fromkeys(self.layout.attention, 0.0)
        total = [0.0] * 5
        for batch in batches:
            figures, held = self._losses(_placed(batch, self.model.device))
            parts = torch.stack([one.detach().double() for one in figures]).tolist()
            self._expect_finite(parts)
            torch.autograd.backward(figures[0] / len(batches))
            total = [before + one / len(batches) for before, one in zip(total, parts, strict=True)]
            for layer, size in held.items():
                sizes[layer] += size / len(batches)
        norm = float(nn.utils.clip_grad_norm_(self.gates.parameters(), self.settings.clip))
        self._expect_finite([*total[:4], norm])
        rate = self.settings.rate(self.step, self.layout.hidden)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.step += 1
        loss, kl, ntp, cap, accuracy = total
        return StepReport(self.step, loss, kl, ntp, cap, accuracy, sizes, rate, norm)

    def measure(self, batches: Iterable[Batch], policy: Callable[[GateSet, int], Policy] | None = None) -> dict[int, HardScore]:
        """Return what is right with real eviction, at one, two and four times the budget."""
        settings = self.settings
        with self._attached().off():
            return hard_scores(
                self.model, self.gates, [_placed(batch, self.model.device) for batch in batches],
                [settings.budget * times for times in (1, 2, 4)], only_labels=settings.supervise == "labels",
                policy=policy or policy_of(settings.method, settings.window),
            )  # fmt: skip

    def warnings(self) -> list[str]:
        """Return what is wrong with where the training stands; nothing, when nothing is."""
        settings, report = self.settings, self.report
        if report is None:
            return []
        if settings.method == "spkv":
            dense = [layer for layer, size in report.soft_size.items() if size > 0.9 * self.length > 0.9 * settings.window]
            return [f"the gates of layers {_listed(dense)} hold on to nearly everything: raise sparsity="] if dense else []
        sizes = report.soft_size
        if settings.method == "dbtrimkv":
            mean = sum(sizes.values()) / len(sizes)
            stalled = sorted(sizes) if mean > 2 * settings.budget else []
        else:
            stalled = [layer for layer, size in sizes.items() if size > 2 * settings.budget]
        if not stalled:
            return []
        return [
            f"the gates stalled: the soft size of layers {_listed(stalled)} is above twice the budget of {settings.budget} after "
            f"{self.step} steps; raise lambda_cap= (5 is a good second try), or train longer"
        ]

    def about(self) -> dict[str, str]:
        """Return what a gate file says of the training so far."""
        settings = self.settings
        return {
            "method": settings.method, "hidden": str(settings.hidden), "act": self.layout.activation,
            "bias_init": f"{settings.first_bias(self.length):.4g}", "M_train": str(settings.budget), "T_train": str(self.length),
            "form": settings.attention, "cap_norm": settings.cap_norm, "lambda_cap": str(settings.lambda_cap), "steps": str(self.step),
        }  # fmt: skip

    def finished(self) -> GateSet:
        """Return a copy of the gates as they are, out of training, with what a gate file says of them."""
        gates = deepcopy(self.gates).requires_grad_(False)
        gates.about = {**self.about(), **identity(self.layout)}
        return gates

    def _losses(self, batch: Mapping[str, Tensor]) -> tuple[tuple[Tensor, ...], dict[int, float]]:
        """Return loss, KL, loss of the next token, capacity loss and accuracy of a batch; and soft sizes by layer."""
        settings, state = self.settings, self._attached()
        real = batch.get("attention_mask")
        targets, counts = supervised(batch, settings.supervise == "labels")
        decoder = self.layout.decoder
        given = {"input_ids": batch["input_ids"], "attention_mask": real, "use_cache": False}
        with torch.no_grad(), state.off():
            teacher = decoder(**given).last_hidden_state
        student = decoder(**given).last_hidden_state
        said = token_losses(self.head, student, teacher, targets, counts, chunk=settings.logit_chunk)
        if settings.method == "spkv":
            cap, held = sparsity_loss(state.log_beta, settings.window, real=real)
            weight = settings.sparsity
        else:
            cap, held = capacity_loss(
                state.log_beta, settings.budget, norm=settings.cap_norm, joint=settings.method == "dbtrimkv", real=real,
                block=settings.query_block,
            )  # fmt: skip
            weight = settings.lambda_cap
        cap = cap.to(said.kl.device)
        loss = settings.kl * said.kl + settings.ntp * said.ntp + weight * cap
        return (loss, said.kl, said.ntp, cap, said.accuracy), held

    def _attached(self) -> Gated:
        if self._gated is None:
            raise SettingsError("a training works inside of its running(): with training.running(): training.advance(batches)")
        return self._gated

    def _expect_finite(self, figures: Sequence[float]) -> None:
        """Check loss, KL, loss of the next token, capacity loss, and one more."""
        if all(math.isfinite(one) for one in figures):
            return
        self.optimiser.zero_grad(set_to_none=True)
        loss, kl, ntp, cap, _ = figures
        raise ModelError(
            f"step {self.step + 1} is not finite (loss {loss:.4g}: KL {kl:.4g}, next token {ntp:.4g}, capacity {cap:.4g}): load the model "
            f"in bfloat16 or float32 rather than float16, look at the text of this step, or go on from the last checkpoint with a lower lr="
        )


def train_gates(
    model: PreTrainedModel, batches: Iterable[Batch], settings: TrainSettings, *, validation: Iterable[Batch] = (),
    validate_every: int = 100, on_step: Callable[[StepReport], None] | None = None,
    policy: Callable[[GateSet, int], Policy] | None = None,
) -> GateSet:  # fmt: skip
    """Train the retention gates of a model. Its weights stay as they are.

    Args:
        model: A causal language model of transformers, on the device on which to train.
        batches: What to train on; begun again when it ends. Best as long as what the gates will meet.
        settings: How.
        validation: Batches on which real eviction is measured.
        validate_every: Steps from one measurement to the next; the last step is always measured.
        on_step: Is told of each step.
        policy: Makes the policy of that measurement from gates and a budget; by default the method's own.

    Raises:
        SettingsError: The model has no layer that can be bounded, or a policy is attached to it.
        InputError: A batch has nothing to learn from, or `batches` ended and cannot be begun again.
        ModelError: The loss is not finite.
    """
    feed = endless(batches)
    first = next(feed)
    training = GateTraining(model, settings, length=_ids(first).shape[1])
    run(training, chain([first], feed), validation=list(validation), validate_every=validate_every, on_step=on_step, policy=policy)
    return training.finished()


def run(
    training: GateTraining, feed: Iterator[Batch], *, validation: Sequence[Batch] = (), validate_every: int = 100,
    on_step: Callable[[StepReport], None] | None = None, stop: Callable[[], bool] = lambda: False,
    policy: Callable[[GateSet, int], Policy] | None = None,
) -> bool:  # fmt: skip
    """Run a training until its last step, and return True; or until `stop` says so after a step, and return False."""
    settings = training.settings
    with training.running():
        while training.step < settings.steps:
            report = training.advance([next(feed) for _ in range(settings.accumulation)])
            last = training.step == settings.steps
            if validation and (last or training.step % validate_every == 0):
                report = replace(report, hard=training.measure(validation, policy))
            training.report = report
            if on_step is not None:
                on_step(report)
            if not last and stop():
                return False
    for warning in training.warnings():
        _LOG.warning(warning)
    return True


def endless(batches: Iterable[Batch], skip: int = 0) -> Iterator[Batch]:
    """Yield batches for ever, beginning anew when they end.

    Args:
        batches: Them.
        skip: How many to pass over, because an earlier run has had them.

    Raises:
        InputError: They ended and cannot be begun again, as a generator cannot.
    """
    passed = 0
    while True:
        before = passed
        for batch in batches:
            passed += 1
            if passed > skip:
                yield batch
        if passed == before:
            raise InputError(f"batches= ended after {passed}: hand over a list, or as many as steps x accumulation", field="batches")


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))


def _ids(batch: Batch) -> Tensor:
    ids = batch if isinstance(batch, Tensor) else batch.get("input_ids") if isinstance(batch, Mapping) else None
    if ids is None or ids.dim() != 2 or ids.shape[1] < 2:
        raise InputError("a batch is a tensor of token ids, (batch, tokens), at least two of them; or a mapping with one as input_ids")
    return ids


def _placed(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Return a batch on a device, by the names that transformers has."""
    _ids(batch)
    if isinstance(batch, Tensor):
        return {"input_ids": batch.to(device)}
    return {name: batch[name].to(device) for name in ("input_ids", "attention_mask", "labels") if batch.get(name) is not None}


@contextmanager
def _frozen(model: PreTrainedModel) -> Iterator[None]:
    """Take gradients and dropout from a model for as long as the block lasts."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        model.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, before in wanted:
            parameter.requires_grad_(before)


@contextmanager
def _recomputed(layout: Layout) -> Iterator[None]:
    """Let the decoder's layers forget what is inside of them until the backward pass.

    `activation_checkpointing_enable` works in training mode only, where dropout works too. So the layers alone are told, by the flags
    that it sets, and what is inside of them stays in evaluation mode.

    Raises:
        SettingsError: The decoder's layers cannot do it.
    """
    layers = [module for module in layout.decoder.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise SettingsError(f"{type(layout.decoder).__name__} has no layers that can be computed anew: use gradient_checkpointing=False")
    names = ("training", "gradient_checkpointing", "_gradient_checkpointing_func")
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    before = [(layer, {name: vars(layer)[name] for name in names if name in vars(layer)}) for layer in layers]
    try:
        for layer in layers:
            for name, value in zip(names, (True, True, again), strict=True):
                setattr(layer, name, value)
        yield
    finally:
        for layer, known in before:
            for name in names:
                vars(layer).pop(name, None)
            vars(layer).update(known)
