from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers import GateSet, TrainSettings, TrimKV, attach
from tierkeep_transformers.convert import convert, main
from tierkeep_transformers.families import layout_of
from tierkeep_transformers.training import GateTraining


def model(**more: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 8}  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **more})).eval()


def written(path: Path, of: PreTrainedModel) -> GateSet:
    gates = GateTraining(of, TrainSettings(budget=4, steps=1, hidden=8), length=32).finished()
    gates.save(path)
    return gates


def test_a_round_trip_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = model()
    gates = written(tmp_path / "gates.safetensors", base)
    with caplog.at_level(logging.WARNING):
        again = GateSet.load(tmp_path / "gates.safetensors", base)
        GateSet.load(tmp_path / "gates.safetensors", model().to(torch.bfloat16))  # the same weights, in another type
    assert caplog.text == ""
    assert [path.name for path in tmp_path.iterdir()] == ["gates.safetensors"]
    assert again.state_dict().keys() == gates.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in gates.state_dict().items())
    assert again.about["M_train"] == "4"
    assert again.about["form"] == "log_bias"
    hidden = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.of(1, hidden), gates.of(1, hidden))
    with attach(base, TrimKV(budget=4, buffer=0, gates=again)) as bounded, torch.no_grad():
        cache = bounded.new_cache()
        base(input_ids=torch.arange(12)[None], **bounded.past(cache))
        assert cache.bounded[0].slots.length == 4


@pytest.mark.parametrize(
    "other",
    [{"hidden_size": 64}, {"num_hidden_layers": 3}, {"num_key_value_heads": 4}, {"head_dim": 16}, {"vocab_size": 41},
     {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}],
    ids=["width", "layers", "heads", "head-dim", "vocabulary", "rope"],
)  # fmt: skip
def test_gates_of_another_model_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    written(tmp_path / "gates.safetensors", model())
    with pytest.raises(SettingsError, match="made for"):
        GateSet.load(tmp_path / "gates.safetensors", model(**other))
    with pytest.raises(SettingsError, match="load the gates of your model"), attach(
        model(**other), TrimKV(budget=4, gates=GateSet.load(tmp_path / "gates.safetensors"))
    ):
        pass


def test_other_weights_of_the_same_shape_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "gates.safetensors", model())
    other = model()
    other.model.embed_tokens.weight.data.mul_(1.5)
    with caplog.at_level(logging.WARNING):
        GateSet.load(tmp_path / "gates.safetensors", other)
    assert "other weights" in caplog.text


def test_a_file_without_a_header_is_warned_of_and_checked_by_shape(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gates.safetensors"
    gates = written(path, model())
    save_file(gates.state_dict(), path)
    with caplog.at_level(logging.WARNING):
        GateSet.load(path, model())
    assert "does not say its format, method, base_model, base_config_sha256" in caplog.text
    with pytest.raises(SettingsError, match="hidden states of 32"):
        GateSet.load(path, model(hidden_size=64))


def changed(tensors: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    if what == "missing":
        del tensors["layers.1.w2.weight"]
    elif what == "shape":
        tensors["layers.1.w2.weight"] = torch.zeros(2, 9)
    elif what == "foreign":
        tensors["layers.1.w3.weight"] = torch.zeros(1)
    elif what == "finite":
        tensors["layers.1.w1.bias"] = torch.full((8,), torch.nan)
    else:
        tensors["layers.1.bias"] = torch.zeros(2, dtype=torch.int64)
    return tensors


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"lacks layers\.1\.w2"), ("shape", "layer 1.*do not fit"), ("foreign", r"layers\.1\.w3"), ("type", r"layers\.1\.bias"),
        ("finite", "layer 1.*not finite"),
    ],
    ids=["missing", "shape", "foreign", "type", "finite"],
)  # fmt: skip
def test_a_gate_that_is_not_whole_is_refused(tmp_path: Path, what: str, message: str) -> None:
    path = tmp_path / "gates.safetensors"
    tensors = changed(dict(written(path, model()).state_dict()), what)
    save_file(tensors, path)
    with pytest.raises(InputError, match=message):
        GateSet.load(path)


def test_what_is_no_gate_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no gate file"):
        GateSet.load(tmp_path / "none.safetensors")
    (tmp_path / "a.pth").write_bytes(b"\x80\x04nothing")
    with pytest.raises(InputError, match=r"tierkeep_transformers\.convert"):
        GateSet.load(tmp_path / "a.pth")
    save_file({"layers.0.bias": torch.zeros(2)}, tmp_path / "later.safetensors", metadata={"format": "tierkeep-gates-v9"})
    with pytest.raises(InputError, match="tierkeep-gates-v9"):
        GateSet.load(tmp_path / "later.safetensors")
    with pytest.raises(InputError, match="cannot be written"):
        GateSet.fresh(layout_of(model()), hidden=8).save(tmp_path / "none" / "gates.safetensors")


# ----------------------------------------------------------------------------------------------------------- the converter


def published(base: PreTrainedModel) -> dict[str, Tensor]:
    """Gates as the authors publish them."""
    names = {"w1.weight": "linear1.weight", "w1.bias": "linear1.bias", "w2.weight": "linear2.weight", "bias": "bias"}
    gates = GateSet.fresh(layout_of(base), hidden=8, bias=10.0)
    return {
        f"model.layers.{layer}.self_attn.retention_gate.{theirs}": gates.state_dict()[f"layers.{layer}.{ours}"].clone().bfloat16()
        for layer in (0, 1)
        for ours, theirs in names.items()
    }


def test_published_gates_are_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, source, out = model(), tmp_path / "trimkv_weights.pth", tmp_path / "gates.safetensors"
    theirs = published(base)
    torch.save(theirs, source)
    (tmp_path / "config.json").write_text(json.dumps({"retention_gate": "rg", "memory_size": 512, "retention_gate_bias_init": 18.0}))
    base.config.save_pretrained(tmp_path / "base")
    assert main([str(source), str(out), "--model", str(tmp_path / "base")]) == 0
    assert "2 gates for base" in capsys.readouterr().out
    gates = GateSet.load(out, base)
    assert (gates.about["M_train"], gates.about["bias_init"], gates.about["hidden"]) == ("512", "18.0", "8")
    x = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    part = {name.rpartition("retention_gate.")[2]: tensor.float() for name, tensor in theirs.items() if ".layers.1." in name}
    inner = torch.nn.functional.silu(x @ part["linear1.weight"].T + part["linear1.bias"])
    known = torch.nn.functional.logsigmoid(inner @ part["linear2.weight"].T + part["bias"])
    torch.testing.assert_close(gates.of(1, x), known.transpose(1, 2))


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "bare"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, how: str) -> None:
    source, sprung = tmp_path / "trimkv_weights.pth", tmp_path / "sprung"
    if how == "torch":
        torch.save({"model.layers.0.self_attn.retention_gate.bias": Trap(sprung)}, source)
    else:
        source.write_bytes(pickle.dumps(Trap(sprung), protocol=2))
    with pytest.raises(InputError, match="could run code"):
        convert(source, model())
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))  # noqa: S301 - the trap is a real one
    assert sprung.exists()


def test_other_variants_and_strange_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, source = model(), tmp_path / "trimkv_weights.pth"
    theirs = published(base)
    torch.save(theirs | {"model.layers.0.self_attn.retention_gate.linear3.weight": torch.zeros(2)}, source)
    with pytest.raises(InputError, match=r"retention_gate\.linear3\.weight"):
        convert(source, base)
    torch.save(theirs, source)
    with pytest.raises(InputError, match="variant 'rg10'"):
        convert(source, base, {"retention_gate": "rg10"})
    with pytest.raises(SettingsError, match="hidden states of 32"):
        convert(source, model(hidden_size=64))
    with pytest.raises(SettingsError, match="layer 1, which"):
        convert(source, model(num_hidden_layers=1))
    torch.save([torch.zeros(1)], source)
    with pytest.raises(InputError, match="no table of tensors"):
        convert(source, base)
    source.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="no file of tensors"):
        convert(source, base)
    assert main([str(tmp_path / "none.pth"), str(tmp_path / "out"), "--model", str(tmp_path)]) == 2
    assert "no model of transformers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(8, 32).to_sparse(), torch.empty(8, 32, device="meta"), torch.ones(8, 32, dtype=torch.complex64),
        torch.ones(8, 32, dtype=torch.int64), torch.ones(1).expand(1 << 22, 1 << 22),
    ],
    ids=["sparse", "meta", "complex", "whole", "larger-than-its-file"],
)  # fmt: skip
def test_tensors_that_are_no_weights(tmp_path: Path, tensor: Tensor) -> None:
    base, source = model(), tmp_path / "trimkv_weights.pth"
    theirs = published(base)
    theirs["model.layers.1.self_attn.retention_gate.linear1.weight"] = tensor
    torch.save(theirs, source)
    with pytest.raises(InputError, match=r"no weights of a network: model\.layers\.1"):
        convert(source, base)
