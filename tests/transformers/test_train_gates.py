from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from tierkeep.errors import InputError, ModelError, SettingsError
from tierkeep_transformers import SPKV, DBTrimKV, GateSet, Policy, StepReport, TrainSettings, TrimKV, train_gates
from tierkeep_transformers.families import layout_of
from tierkeep_transformers.training import GateTraining, hard_scores
from tierkeep_transformers.training.checkpoints import KEPT, latest, load_checkpoint, save_checkpoint
from tierkeep_transformers.training.distil import endless, run

LENGTH, FACTS, NOISE = 32, 8, 16  # tokens; 0 to 7 are facts, 8 to 23 noise, 24 the question


def task(rows: int, seed: int) -> dict[str, Tensor]:
    """One fact somewhere in the first half, noise, and at the end the question, whose answer is the fact."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(FACTS, FACTS + NOISE, (rows, LENGTH), generator=random)
    fact = torch.randint(0, FACTS, (rows,), generator=random)
    ids[torch.arange(rows), torch.randint(0, LENGTH // 2, (rows,), generator=random)] = fact
    ids[:, -2], ids[:, -1] = FACTS + NOISE, fact
    labels = torch.full_like(ids, -100)
    labels[:, -1] = fact
    return {"input_ids": ids, "labels": labels}


def small(layers: int = 1) -> PreTrainedModel:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(
        vocab_size=FACTS + NOISE + 1, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, tie_word_embeddings=False,
    ))  # fmt: skip


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """A model that has learned the task."""
    made = small()
    optimiser = torch.optim.AdamW(made.parameters(), lr=1e-2)
    for step in range(120):
        batch = task(64, step)
        loss = made(**batch, use_cache=False).loss
        loss.backward()
        optimiser.step()
        made.zero_grad()
    assert float(loss.detach()) < 0.05
    return made.eval()


SETTINGS: dict[str, Any] = {"budget": 4, "steps": 100, "lr": 1e-2, "hidden": 16, "supervise": "labels", "lambda_cap": 1.0}


def batches() -> list[dict[str, Tensor]]:
    return [task(16, 1000 + seed) for seed in range(20)]


@pytest.fixture(scope="module")
def trained(model: PreTrainedModel) -> tuple[GateSet, list[StepReport]]:
    reports: list[StepReport] = []
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gates = train_gates(
        model, batches(), TrainSettings(**SETTINGS), validation=[task(64, 5)], validate_every=50, on_step=reports.append
    )
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    return gates, reports


def test_training_lowers_soft_size_and_keeps_the_answer(trained: tuple[GateSet, list[StepReport]]) -> None:
    _, reports = trained
    first, last = reports[0], reports[-1]
    assert [report.step for report in reports] == list(range(1, 101))
    assert last.loss < first.loss
    assert last.cap < first.cap
    assert last.soft_size[0] < 4 < first.soft_size[0]
    assert last.accuracy > 0.95
    assert [report.step for report in reports if report.hard] == [50, 100]
    assert list(last.hard) == [4, 8, 16]


def test_trained_gates_keep_what_untrained_ones_lose(model: PreTrainedModel, trained: tuple[GateSet, list[StepReport]]) -> None:
    fresh = GateTraining(model, TrainSettings(**SETTINGS), length=LENGTH).gates
    held_out = [task(128, 7)]
    before = hard_scores(model, fresh, held_out, [4], only_labels=True)[4]
    after = hard_scores(model, trained[0], held_out, [4], only_labels=True)[4]
    whole = hard_scores(model, fresh, held_out, [LENGTH], only_labels=True)[LENGTH]
    assert whole.accuracy > 0.98
    assert before.accuracy < 0.5
    assert after.accuracy > 0.9
    assert after.ntp < before.ntp


def test_gradients_flow_into_gates_only(model: PreTrainedModel) -> None:
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    assert all(wanted)
    training = GateTraining(model, TrainSettings(**SETTINGS), length=LENGTH)
    with training.running():
        training.advance([task(4, 1)])
        assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())
    for parameter in training.gates.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert not model.training


@pytest.mark.parametrize("method", ["trimkv", "dbtrimkv", "spkv"])
def test_gradient_checkpointing_gives_the_same_step(method: Any) -> None:
    model = small(2)
    found = []
    for again in (False, True):
        more = {"method": method, "gradient_checkpointing": again, "query_block": 8, "window": 4, "eps": 1.0}
        settings = TrainSettings(**{**SETTINGS, **more})
        training = GateTraining(model, settings, length=LENGTH)
        with training.running():
            report = training.advance([task(4, 1), task(4, 2)])
        found.append((report, [parameter.grad.clone() for parameter in training.gates.parameters()]))
    (plain, gradients), (replayed, same) = found
    assert plain.loss == pytest.approx(replayed.loss, rel=1e-6)
    assert plain.soft_size == pytest.approx(replayed.soft_size)
    for one, other in zip(gradients, same, strict=True):
        torch.testing.assert_close(one, other)
    assert model.training
    assert all("gradient_checkpointing" not in vars(layer) for layer in model.model.layers)


def test_accumulation_is_the_mean_of_its_batches() -> None:
    model = small()
    settings = TrainSettings(**{**SETTINGS, "accumulation": 2, "clip": 1e9})
    whole, parts = (GateTraining(model, settings, length=LENGTH) for _ in range(2))
    one, two = task(4, 1), task(4, 2)
    both = {name: torch.cat([one[name], two[name]]) for name in one}
    with whole.running():
        whole.advance([both])
    with parts.running():
        parts.advance([one, two])
    for a, b in zip(whole.gates.parameters(), parts.gates.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad)


def test_going_on_gives_the_gates_of_an_unbroken_run(tmp_path: Path, model: PreTrainedModel) -> None:
    settings = TrainSettings(**{**SETTINGS, "steps": 8, "accumulation": 2})
    unbroken = GateTraining(model, settings, length=LENGTH)
    assert run(unbroken, endless(batches()))

    broken = GateTraining(model, settings, length=LENGTH)

    def on_step(report: StepReport) -> None:
        if report.step >= 1:
            save_checkpoint(tmp_path, broken, {"text": "a"})

    assert not run(broken, endless(batches()), on_step=on_step, stop=lambda: broken.step == 5)
    assert len(list(tmp_path.iterdir())) == KEPT
    found = latest(tmp_path)
    assert found is not None
    assert {path.suffix for path in found.iterdir()} == {".json", ".safetensors"}

    later = GateTraining(model, settings, length=LENGTH)
    load_checkpoint(found, later, {"text": "a"})
    assert later.step == 5
    assert run(later, endless(batches(), skip=later.step * 2))
    for name, tensor in unbroken.gates.state_dict().items():
        assert torch.equal(tensor, later.gates.state_dict()[name]), name


def test_going_on_otherwise_is_refused(tmp_path: Path, model: PreTrainedModel) -> None:
    settings = TrainSettings(**{**SETTINGS, "steps": 8})
    training = GateTraining(model, settings, length=LENGTH)
    run(training, endless(batches()), stop=lambda: True)
    path = save_checkpoint(tmp_path, training, {"text": "a"})
    other = GateTraining(model, TrainSettings(**{**SETTINGS, "steps": 9}), length=LENGTH)
    with pytest.raises(SettingsError, match="steps was 8 and is 9"):
        load_checkpoint(path, other, {"text": "a"})
    with pytest.raises(SettingsError, match="text was 'a'"):
        load_checkpoint(path, training, {"text": "b"})
    with pytest.raises(SettingsError, match="made for"):
        load_checkpoint(path, GateTraining(small(2), settings, length=LENGTH), {"text": "a"})
    kept = load_file(path / "optimizer.safetensors")
    first = next(name for name in kept if name.endswith("/exp_avg"))
    for wrong in ({}, {**kept, first: torch.zeros(3)}, {**kept, "layers.9.bias/step": torch.zeros(())}, dict(list(kept.items())[:-1])):
        save_file(wrong, path / "optimizer.safetensors")
        with pytest.raises(InputError, match="optimiser does not fit the gates"):
            load_checkpoint(path, GateTraining(model, settings, length=LENGTH), {"text": "a"})
    (path / "optimizer.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(path, training, {"text": "a"})


def test_a_loss_that_is_not_finite_says_what_to_do() -> None:
    model = small()
    training = GateTraining(model, TrainSettings(**SETTINGS), length=LENGTH)
    before = {name: tensor.clone() for name, tensor in training.gates.state_dict().items()}
    with training.running():
        model.model.norm.weight.data[:] = float("nan")
        with pytest.raises(ModelError, match=r"step 1 is not finite.*bfloat16 or float32"):
            training.advance([task(2, 0)])
    assert all(torch.equal(tensor, training.gates.state_dict()[name]) for name, tensor in before.items())


def test_stalled_gates_are_warned_of(model: PreTrainedModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tierkeep_transformers.training"):
        train_gates(model, batches(), TrainSettings(**{**SETTINGS, "steps": 1, "bias": 18.0}))
    assert "raise lambda_cap=" in caplog.text
    caplog.clear()
    train_gates(model, batches(), TrainSettings(**{**SETTINGS, "steps": 1, "bias": 1.0}))
    assert caplog.text == ""


def test_the_first_bias_comes_from_the_length() -> None:
    settings = TrainSettings(budget=4, steps=1, eps=1.0)
    assert [round(settings.first_bias(length), 1) for length in (256, 16_384, 131_072)] == [5.5, 9.7, 11.8]
    assert TrainSettings(budget=4, steps=1, bias=18.0).first_bias(256) == 18.0


@pytest.mark.parametrize(("width", "rate"), [(2560, 2e-4), (5120, 1e-4), (512, 1e-3), (64, 3e-3)])
def test_the_learning_rate_follows_the_width_of_the_model_unless_it_is_said(width: int, rate: float) -> None:
    assert TrainSettings(budget=4, steps=10, warmup=0).rate(0, width) == pytest.approx(rate)
    assert TrainSettings(budget=4, steps=10, warmup=0, lr=0.5).rate(0, width) == 0.5
    with pytest.raises(SettingsError, match="lr="):
        TrainSettings(budget=4, steps=10, lr="fast")  # type: ignore[arg-type]


def test_the_learning_rate_rises_and_falls() -> None:
    settings = TrainSettings(budget=4, steps=10, lr=1.0, warmup=0.2)
    rates = [settings.rate(step) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_a_generator_that_ends_is_named() -> None:
    def few() -> Iterator[dict[str, Tensor]]:
        yield task(2, 0)

    with pytest.raises(InputError, match="ended after 1"):
        train_gates(small(), few(), TrainSettings(**{**SETTINGS, "steps": 3}))
    with pytest.raises(InputError, match="input_ids"):
        train_gates(small(), [torch.zeros(3)], TrainSettings(**SETTINGS))


@pytest.mark.parametrize(
    ("method", "kind"), [("trimkv", TrimKV), ("dbtrimkv", DBTrimKV), ("spkv", SPKV)], ids=["trimkv", "dbtrimkv", "spkv"]
)
def test_gates_are_measured_with_the_policy_that_they_are_for(model: PreTrainedModel, method: str, kind: type[Policy]) -> None:
    settings = TrainSettings(**{**SETTINGS, "method": method, "steps": 1, "window": 100})
    training = GateTraining(model, settings, length=LENGTH)
    with training.running():
        ours = training.measure([task(4, 3)])
        named = training.measure([task(4, 3)], lambda gates, budget: _tight(kind, gates, budget))
    assert ours == named and list(ours) == [4, 8, 16]


def _tight(kind: type[Policy], gates: GateSet, budget: int) -> Policy:
    return SPKV(budget=budget, window=budget, gates=gates) if kind is SPKV else kind(budget=budget, buffer=0, gates=gates)  # type: ignore[call-arg]


def test_spkv_becomes_sparse_and_may_be_measured_with_another_policy(model: PreTrainedModel) -> None:
    reports: list[StepReport] = []
    settings = TrainSettings(**{**SETTINGS, "method": "spkv", "steps": 60, "window": 4})
    asked: list[int] = []

    def policy(gates: GateSet, budget: int) -> Policy:
        asked.append(budget)
        return TrimKV(budget=budget, gates=gates, recent=4)

    train_gates(model, batches(), settings, on_step=reports.append, validation=[task(8, 3)], policy=policy)
    assert asked == [4, 8, 16]
    assert reports[0].soft_size[0] > 0.9 * LENGTH
    assert reports[-1].soft_size[0] < 0.6 * LENGTH
    assert reports[-1].accuracy > 0.9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget": 0}, "budget="), ({"steps": 1.5}, "steps="), ({"lr": 0.0}, "lr="), ({"kl": 0.0, "ntp": 0.0}, "both 0"),
        ({"warmup": 1.0}, "warmup="), ({"method": "other"}, "method="), ({"form": "window"}, "form="), ({"bias": float("nan")}, "bias="),
        ({"lambda_cap": -1.0}, "lambda_cap="), ({"budget": True}, "budget="), ({"lr": "1"}, "lr="), ({"kl": None}, "kl="),
        ({"warmup": "a"}, "warmup="), ({"bias": None}, "bias="), ({"seed": "a"}, "seed="),
    ],
    ids=[
        "budget", "steps", "lr", "no-teacher", "warmup", "method", "form", "bias", "lambda", "budget-bool", "lr-text", "kl-none",
        "warmup-text", "bias-none", "seed-text",
    ],
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrainSettings(**{**SETTINGS, **wrong})


def test_gates_sit_where_their_layers_are() -> None:
    model = small(2)
    training = GateTraining(model, TrainSettings(**SETTINGS), length=LENGTH)
    training.gates.check(layout_of(model))
    assert {parameter.dtype for parameter in training.gates.parameters()} == {torch.float32}
