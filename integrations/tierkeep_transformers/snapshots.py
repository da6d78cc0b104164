"""Snapshots of a bounded cache: a safetensors file with everything that the next token needs, and with what it may be used for.

A conversation with a local model goes on from it as if the process had never ended. The header names model, policy, codec and gates;
whatever does not fit is refused, because keys of another model would be read without any error.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from tierkeep.errors import InputError
from tierkeep_transformers.families import Layout
from tierkeep_transformers.policies.policy import Policy

if TYPE_CHECKING:
    from tierkeep_transformers.cache import BoundedCache

__all__ = ["FORMAT", "model_identity", "read_snapshot", "write_snapshot"]

#: What a file's header says it is.
FORMAT = "tierkeep-bounded-cache-1"
#: Of a configuration, what decides what a key means.
_CONFIGURATION = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size",
    "rope_parameters", "sliding_window", "layer_types",
)  # fmt: skip


def model_identity(layout: Layout) -> str:
    """Return a hash of what decides what a model's keys mean: its configuration, and two rows of each layer's key projection.

    A fine-tuned model with the same configuration has another identity, unless the tuning left all key projections alone.
    """
    config = layout.config.get_text_config(decoder=True).to_dict()
    digest = hashlib.sha256(json.dumps({name: config.get(name) for name in _CONFIGURATION}, sort_keys=True, default=str).encode())
    for index, module in layout.attention.items():
        weight = getattr(module, "k_proj", None) or module.qkv_proj
        digest.update(f"{index}:".encode() + _bytes_of(weight.weight[[0, -1]]))  # type: ignore[union-attr, index]
    return digest.hexdigest()


def write_snapshot(cache: BoundedCache, path: Path) -> None:
    """Write a cache to a file.

    Args:
        cache: The cache.
        path: The file; it is replaced as a whole.

    Raises:
        InputError: The model has layers of a kind that cannot be saved.
    """
    tensors: dict[str, Tensor] = {}
    layers: dict[str, dict[str, Any]] = {}
    for index, layer in enumerate(cache.layers):
        bounded = cache.bounded.get(index)
        if bounded is not None:
            slots = bounded.slots
            layers[str(index)] = {"seen": slots.seen, "peak": slots.peak, "scale": slots.scale}
            layers[str(index)]["softcap"] = slots.softcap
            tensors |= {f"{index}.slot.{name}": column.contiguous().clone() for name, column in slots.columns().items()}
            tensors |= {f"{index}.state.{name}": tensor.contiguous().clone() for name, tensor in slots.state.items()}
        elif type(layer) in (DynamicLayer, DynamicSlidingWindowLayer):
            layers[str(index)] = {"seen": layer.get_seq_length()}
            if layer.is_initialized:
                tensors |= {f"{index}.stock.{name}": getattr(layer, name).contiguous().clone() for name in ("keys", "values")}
        else:
            raise InputError(f"layer {index} keeps its past in a {type(layer).__name__}, which cannot be saved")
    header = {**_identity(cache), "layers": json.dumps(layers), "tensors": json.dumps(sorted(tensors))}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, name, metadata=header)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def read_snapshot(cache: BoundedCache, path: Path) -> None:
    """Fill an empty cache from a file.

    Args:
        cache: The cache.
        path: The file.

    Raises:
        InputError: The file is no snapshot, is damaged or was made with something else; or the cache is not empty.
    """
    if cache.seen:
        raise InputError("a snapshot is read into an empty cache: bounded.new_cache().load(path)")
    device = str(cache.layout.decoder.device)
    try:
        with safe_open(str(path), framework="pt", device=device) as file:
            header = file.metadata() or {}
            _check(header, _identity(cache), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as a snapshot: {error}") from error
    try:
        layers, expected = json.loads(header["layers"]), json.loads(header["tensors"])
        if sorted(tensors) != expected or sorted(map(int, layers)) != list(range(len(cache.layers))):
            raise InputError(f"{path} is damaged: it has not the tensors that its header names")
        parts = {index: _part(tensors, index) for index in range(len(cache.layers))}
        _check_shapes(cache, parts, layers, path)
        for index, part in parts.items():
            _fill(cache, index, part, layers[str(index)])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {error!r}") from error


def _identity(cache: BoundedCache) -> dict[str, str]:
    """Return what a snapshot and a cache must agree in."""
    gates: list[nn.Module] = []
    policy = _settings_of(cache.policy, gates)
    codec: dict[str, Any] = {}
    if dataclasses.is_dataclass(cache.codec) and not isinstance(cache.codec, type):
        codec = dataclasses.asdict(cache.codec)
    return {
        "format": FORMAT,
        "model": model_identity(cache.layout),
        "dtype": str(cache.layout.decoder.dtype),
        "policy": json.dumps(policy, sort_keys=True, default=list),
        "codec": json.dumps([cache.codec.name, codec], sort_keys=True, default=str),
        "gates": "".join(_hash_of(module.state_dict()) for module in gates),
    }


def _settings_of(policy: Policy, gates: list[nn.Module]) -> list[Any]:
    """Return name and settings of a policy, and of the one within it if there is one; what is a module goes to `gates`."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(policy):
        value = getattr(policy, field.name)
        if isinstance(value, nn.Module):
            gates.append(value)
        else:
            plain[field.name] = _settings_of(value, gates) if isinstance(value, Policy) else value
    return [policy.name, plain]


def _check(header: Mapping[str, str], own: Mapping[str, str], path: Path) -> None:
    if header.get("format") != own["format"]:
        raise InputError(f"{path} is no snapshot of a bounded cache, or one of a newer version")
    for name in ("dtype", "model", "policy", "codec", "gates"):
        if header.get(name) != own[name]:
            shown = f": it has {header.get(name)}, here is {own[name]}" if name in ("dtype", "policy", "codec") else ""
            raise InputError(f"{path} was made with another {name}{shown}; attach what it was made with, or begin a new cache")


def _part(tensors: Mapping[str, Tensor], index: int) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of one layer, by kind and name."""
    part: dict[str, dict[str, Tensor]] = {"slot": {}, "state": {}, "stock": {}}
    for full, tensor in tensors.items():
        layer, kind, name = full.split(".", 2)
        if int(layer) == index:
            part[kind][name] = tensor
    return part


def _check_shapes(cache: BoundedCache, parts: Mapping[int, Mapping[str, dict[str, Tensor]]], layers: Any, path: Path) -> None:
    """Check what would otherwise be found out in the middle of attention, or never."""
    batches = set()
    for index, part in parts.items():
        seen = int(layers[str(index)]["seen"])
        batches |= {tensor.shape[0] for kind in part.values() for tensor in kind.values()}
        if index not in cache.bounded:
            continue
        shapes = {column.shape[:3] for column in part["slot"].values()}
        wrong = len(shapes) > 1 or any(shape[1] != cache.layout.kv_heads for shape in shapes)
        position = part["slot"].get("position")
        if position is None:
            wrong |= seen > 0
        elif position.numel():
            wrong |= int(position.min()) < 0 or int(position.max()) >= seen
        if wrong:
            raise InputError(f"{path} is damaged: the columns of layer {index} do not fit together")
    if len(batches) > 1 or len({int(layers[str(index)]["seen"]) for index in parts}) > 1:
        raise InputError(f"{path} is damaged: its layers do not fit together")


def _fill(cache: BoundedCache, index: int, part: Mapping[str, dict[str, Tensor]], about: Mapping[str, Any]) -> None:
    bounded = cache.bounded.get(index)
    if bounded is not None:
        slots = bounded.slots
        slots.fill(part["slot"], part["state"], int(about["seen"]))
        slots.peak, slots.scale = int(about["peak"]), float(about["scale"])
        slots.softcap = None if about["softcap"] is None else float(about["softcap"])
        bounded.is_initialized = slots.seen > 0
        return
    layer: Any = cache.layers[index]
    if not part["stock"]:
        return
    layer.lazy_initialization(part["stock"]["keys"], part["stock"]["values"])
    layer.keys, layer.values = part["stock"]["keys"], part["stock"]["values"]
    if isinstance(layer, DynamicSlidingWindowLayer):
        layer.cumulative_length = int(about["seen"])


def _hash_of(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode() + _bytes_of(tensors[name]))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> bytes:
    """Return the numbers of a tensor as bytes, whatever its dtype."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
