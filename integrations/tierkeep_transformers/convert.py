"""Turns the gates that TRIM-KV's authors published into a gate file.

    python -m tierkeep_transformers.convert trimkv_weights.pth gates.safetensors --model PATH

Their files are pickles. They are read by torch's reader for weights alone, which knows tensors and refuses everything else; nothing in
them is run.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tierkeep.errors import InputError, TierkeepError
from tierkeep_transformers.families import layout_of
from tierkeep_transformers.gate_files import config_hash
from tierkeep_transformers.gates import GateSet

__all__ = ["convert", "main", "read_published"]

#: Their names for the parts of a gate of the variant "rg", and ours.
_NAMES = {"linear1.weight": "w1.weight", "linear1.bias": "w1.bias", "linear2.weight": "w2.weight", "bias": "bias"}
_KEY = re.compile(r"(?:model\.)?(?:language_model\.)?layers\.(\d+)\.self_attn\.retention_gate\.(.+)")


def convert(source: Path, model: PreTrainedModel, config: Mapping[str, Any] | None = None) -> GateSet:
    """Return published gates as ours.

    Args:
        source: Their `trimkv_weights.pth`.
        model: The model that they were made for; only its shape is looked at.
        config: Their `config.json`; the one beside the file by default.

    Raises:
        InputError: The file is missing or damaged, would run code, or holds gates of another variant than "rg".
        SettingsError: The gates do not fit the model.
    """
    known = config if config is not None else _config_beside(source)
    variant = str(known.get("retention_gate", "rg"))
    if variant != "rg":
        raise InputError(f"{source.name} holds gates of the variant {variant!r}; only 'rg', that of the paper, can be converted")
    layout = layout_of(model)
    tensors: dict[str, Tensor] = {}
    unknown = []
    for key, tensor in read_published(source).items():
        found = _KEY.fullmatch(key)
        if found is None or found[2] not in _NAMES:
            unknown.append(key)
        else:
            tensors[f"layers.{found[1]}.{_NAMES[found[2]]}"] = tensor.float()
    if unknown:
        raise InputError(
            f"{source.name} has {len(unknown)} tensors that a gate of the variant 'rg' does not have: {', '.join(sorted(unknown)[:6])}"
            f"{'…' if len(unknown) > 6 else ''}; other variants (rg2, rg3, rg10) cannot be converted"
        )
    about = {
        "method": "trimkv", "act": layout.activation, "form": "log_bias", "base_config_sha256": config_hash(layout),
        "base_model": Path(str(model.config._name_or_path or "")).name or type(model).__name__, "converted_from": source.name,
    }  # fmt: skip
    about |= {ours: str(known[theirs]) for theirs, ours in _SETTINGS.items() if theirs in known}
    gates = GateSet.built(tensors, about, source)
    gates.check(layout)
    gates.about["hidden"] = str(gates.gate(min(layout.attention)).w1.out_features)
    return gates


#: What damaged bytes lead to in torch's reader.
_DAMAGES = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, MemoryError,
    struct.error,
)  # fmt: skip
_SETTINGS = {"retention_gate_bias_init": "bias_init", "memory_size": "M_train", "max_seq_len": "T_train", "retention_weight": "lambda_cap"}


def read_published(source: Path) -> dict[str, Tensor]:
    """Return the tensors of a file that torch saved, by name. Whatever is not a tensor in it is refused, and never run.

    Raises:
        InputError: The file is missing or damaged, or holds something else.
    """
    if not source.is_file():
        raise InputError(f"there is no file {source}", field="source")
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        reason = str(error).splitlines()[-1] if "GLOBAL" not in str(error) else _forbidden(str(error))
        raise InputError(f"{source} is refused: it holds more than tensors, and could run code ({reason})", field="source") from error
    except _DAMAGES as error:
        raise InputError(f"{source} is no file of tensors that torch saved ({type(error).__name__}: {error})", field="source") from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise InputError(f"{source} holds no table of tensors by name", field="source")
    odd = sorted(str(name) for name, tensor in loaded.items() if not _is_plain(tensor))
    if odd:
        raise InputError(f"{source} has tensors that are no weights of a network: {', '.join(odd[:6])}", field="source")
    return {str(name): tensor for name, tensor in loaded.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Return whether all numbers of a tensor are here, dense and real; a view may claim to be far larger than the file."""
    if tensor.is_nested or tensor.is_meta or tensor.layout is not torch.strided or not tensor.is_floating_point():
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def _forbidden(message: str) -> str:
    found = re.search(r"GLOBAL (\S+)", message)
    return f"it asks for {found[1]}" if found else "it asks for something that is no tensor"


def _config_beside(source: Path) -> dict[str, Any]:
    path = source.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no configuration: {error}") from error
    return known if isinstance(known, dict) else {}


def _shape_of(path: str, allow_download: bool) -> PreTrainedModel:
    """Return a model without weights: its shape is all that is needed."""
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=not allow_download)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no model of transformers in a local folder: {str(error).splitlines()[0]}", field="model") from error
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.config._name_or_path = path
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status: 0, or 2 when the file cannot be converted."""
    parser = argparse.ArgumentParser(
        prog="python -m tierkeep_transformers.convert",
        description="Turn gates that TRIM-KV's authors published (variant rg) into a gate file. Nothing in them is run.",
    )
    parser.add_argument("source", type=Path, help="their trimkv_weights.pth; a config.json beside it is heeded")
    parser.add_argument("out", type=Path, help="the gates.safetensors to write")
    parser.add_argument("--model", required=True, help="folder of the model that the gates were made for")
    parser.add_argument("--allow-download", action="store_true", help="let --model be fetched from the hub")
    given = parser.parse_args(arguments)
    try:
        gates = convert(given.source, _shape_of(given.model, given.allow_download))
        gates.save(given.out)
    except TierkeepError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{given.out}: {len(gates.layers)} gates for {gates.about['base_model']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
