"""Gate files: safetensors with a header that says which model the gates were made for, and how. Nothing in them can run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers.families import Layout

__all__ = ["FORMAT", "check_identity", "config_hash", "identity", "read_gates", "weights_hash", "write_gates"]

_LOG = logging.getLogger(__name__)

#: What the header's `format` says.
FORMAT = "tierkeep-gates-v1"
#: What of a configuration decides whether gates fit.
_SIZES = (
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "sliding_window", "layer_types",
)  # fmt: skip
#: What every file that we write says.
_EXPECTED = ("method", "base_model", "base_config_sha256", "hidden", "act", "M_train", "T_train", "form", "steps")


def write_gates(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a gate file. It appears whole or not at all.

    Args:
        path: Where; its folder must exist.
        tensors: By name, `layers.0.w1.weight` and so on.
        about: The header.

    Raises:
        InputError: The folder does not exist, or cannot be written to.
    """
    path = Path(path)
    header = {"format": FORMAT, **about, "versions": _versions()}
    beside = path.with_name(f".{path.name}.part")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, beside, metadata=header)
        os.replace(beside, path)
    except (OSError, SafetensorError) as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error}", field="path") from error


def read_gates(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a gate file, in fp32, and its header.

    Raises:
        InputError: There is no such file, or it is no gate file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no gate file {path}", field="path")
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} is no safetensors file ({error}); gates that TRIM-KV's authors published as .pth have to be converted first: "
            f"python -m tierkeep_transformers.convert", field="path",
        ) from error  # fmt: skip
    if about.get("format", FORMAT) != FORMAT:
        raise InputError(f"{path} has the format {about['format']!r}; this version reads {FORMAT!r}", field="path")
    missing = [name for name in ("format", *_EXPECTED) if name not in about]
    if missing:
        _LOG.warning("%s does not say its %s: nothing shows that these gates were made for your model", path.name, ", ".join(missing))
    wrong = [name for name, tensor in tensors.items() if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16)]
    if wrong:
        raise InputError(f"{path} has tensors that are no gate's weights: {', '.join(wrong[:5])}", field="path")
    return {name: tensor.float() for name, tensor in tensors.items()}, about


# ---------------------------------------------------------------------------------------------------------------- identity


def identity(layout: Layout) -> dict[str, str]:
    """Return what a gate file says of the model it was made for: its name without folders, and hashes of its shape and weights."""
    config = layout.config
    return {
        "base_model": Path(str(getattr(config, "_name_or_path", "") or "")).name or type(layout.decoder).__name__,
        "base_revision": str(getattr(config, "_commit_hash", None) or ""),
        "base_config_sha256": config_hash(layout),
        "base_weights_sha256": weights_hash(layout),
    }


def check_identity(about: Mapping[str, str], layout: Layout) -> None:
    """Check a gate file's header against a model. Other weights of the same shape, as after fine-tuning, are only warned of.

    Raises:
        SettingsError: The gates were made for a model of another shape.
    """
    expected = about.get("base_config_sha256")
    if expected is not None and expected != config_hash(layout):
        raise SettingsError(
            f"these gates were made for {about.get('base_model', 'another model')}, whose sizes, layers or rotary positions are not those "
            f"of this model: load the gates of your model, or train some with python -m tierkeep_transformers.train"
        )
    weights = about.get("base_weights_sha256")
    if weights and weights != weights_hash(layout):
        _LOG.warning("these gates were made for other weights of this shape (%s): measure them first", about.get("base_model"))


def config_hash(layout: Layout) -> str:
    """Return a hash of what decides whether gates fit: sizes, kinds of layers, vocabulary, rotary positions."""
    config = layout.config.get_text_config(decoder=True)
    known: dict[str, Any] = {name: getattr(config, name, None) for name in _SIZES}
    known |= {"num_key_value_heads": layout.kv_heads, "head_dim": layout.head_dim, "rope": getattr(config, "rope_parameters", None)}
    return hashlib.sha256(json.dumps(_plain(known), sort_keys=True).encode()).hexdigest()


def weights_hash(layout: Layout) -> str:
    """Return a hash of a sample of the weights, the same in every floating-point type; empty where they are not at hand."""
    digest = hashlib.sha256()
    for tensor in _sample(layout):
        if tensor.is_meta or not tensor.is_floating_point():
            return ""
        rows = tensor.detach().reshape(-1, tensor.shape[-1])
        rows = rows[:: max(1, len(rows) // 16)][:16].to(device="cpu", dtype=torch.bfloat16)
        digest.update(rows.contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def _sample(layout: Layout) -> Iterator[Tensor]:
    yield layout.decoder.get_input_embeddings().weight
    for index in (min(layout.attention), max(layout.attention)):
        yield next(layout.attention[index].parameters())


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, whole numbers alike whether they were written 10000 or 10000.0."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
