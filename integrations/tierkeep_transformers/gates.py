"""Retention gates: a small network for each attention layer. It reads what enters the layer, and says how fast each head may forget it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers.families import Layout, layout_of
from tierkeep_transformers.gate_files import check_identity, read_gates, write_gates

__all__ = ["ACTIVATIONS", "GateSet", "RetentionGate"]

_LOG = logging.getLogger(__name__)

#: Activations by the names that models' configurations give them.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "gelu_pytorch_tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "relu": nn.functional.relu,
}


class RetentionGate(nn.Module):
    """The gate "rg" of TRIM-KV (section 1.3): `log beta = logsigmoid(W2 act(W1 x + b1) + b)`, computed in fp32.

    Args:
        width: Numbers in a hidden state of the model.
        kv_heads: KV heads of the layer; the query heads of a group share one beta.
        hidden: Width of the gate.
        bias: Where b begins. High: the gate begins by forgetting nothing.
        activation: One of `ACTIVATIONS`.

    Raises:
        SettingsError: The activation is not known.
    """

    def __init__(self, width: int, kv_heads: int, *, hidden: int = 512, bias: float = 18.0, activation: str = "silu") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise SettingsError(f"activation= is one of {', '.join(ACTIVATIONS)}; it is {activation!r}")
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(hidden, kv_heads, bias=False)
        self.bias = nn.Parameter(torch.full((kv_heads,), float(bias)))
        self.activation = activation
        for linear in (self.w1, self.w2):
            nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(self.w1.bias)

    def logit(self, hidden: Tensor) -> Tensor:
        """Return the gate before its sigmoid, for hidden states (batch, tokens, width): (batch, tokens, KV heads), fp32."""
        hidden = hidden.to(self.w1.weight.dtype)
        logit: Tensor = self.w2(ACTIVATIONS[self.activation](self.w1(hidden))) + self.bias
        return logit.float()

    def forward(self, hidden: Tensor) -> Tensor:
        """Return log beta for hidden states (batch, tokens, width): (batch, KV heads, tokens), fp32, at most 0."""
        log_beta: Tensor = nn.functional.logsigmoid(self.logit(hidden))
        return log_beta.transpose(1, 2)


class GateSet(nn.Module):
    """The gates of a model, by layer.

    Args:
        gates: Gates by the index of their layer.
        about: What a gate file says of them: the model they were trained for, how, and on what.
    """

    def __init__(self, gates: Mapping[int, RetentionGate], about: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({str(layer): gate for layer, gate in gates.items()})
        self.about: dict[str, str] = dict(about or {})

    def __contains__(self, layer: int) -> bool:
        return str(layer) in self.layers

    def of(self, layer: int, hidden: Tensor) -> Tensor:
        """Return log beta of a layer for hidden states (batch, tokens, width): (batch, KV heads, tokens), fp32."""
        log_beta: Tensor = self.gate(layer)(hidden)
        return log_beta

    def gate(self, layer: int) -> RetentionGate:
        """Return the gate of a layer."""
        return cast(RetentionGate, self.layers[str(layer)])

    def check(self, layout: Layout) -> None:
        """Check that every attention layer of a model has a gate of its size.

        Raises:
            SettingsError: A layer has none, or one for another model.
        """
        check_identity(self.about, layout)
        if more := sorted(int(layer) for layer in self.layers if int(layer) not in layout.attention):
            raise SettingsError(f"there is a gate for layer {more[0]}, which the model does not have: they were made for another model")
        for layer in layout.attention:
            if layer not in self:
                raise SettingsError(f"the gates have none for layer {layer}: they were made for another model")
            gate = self.gate(layer)
            size = (gate.w1.in_features, gate.w2.out_features)
            if size != (layout.hidden, layout.kv_heads):
                raise SettingsError(
                    f"the gate of layer {layer} is for hidden states of {size[0]} numbers and {size[1]} KV heads; "
                    f"the model has {layout.hidden} and {layout.kv_heads}"
                )

    @classmethod
    def fresh(cls, layout: Layout, *, hidden: int = 512, bias: float = 18.0) -> GateSet:
        """Return untrained gates for a model, which forget nothing yet.

        Args:
            layout: The model's layers.
            hidden: Width of each gate.
            bias: Where the bias begins.
        """
        return cls({
            layer: RetentionGate(layout.hidden, layout.kv_heads, hidden=hidden, bias=bias, activation=layout.activation)
            for layer in layout.attention
        })

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the gates to a file, with all that `about` says.

        Raises:
            InputError: The folder does not exist, or cannot be written to.
        """
        write_gates(path, self.state_dict(), self.about)

    def place(self, layout: Layout) -> None:
        """Move each gate to where its layer is."""
        for index, module in layout.attention.items():
            self.gate(index).to(next(module.parameters()).device)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: PreTrainedModel | None = None) -> GateSet:
        """Read gates from a file.

        Args:
            path: A `gates.safetensors`.
            model: The model they are for. With it they are checked to have been made for it, and moved to where its layers are.

        Raises:
            InputError: There is no such file, it is no gate file, or a gate in it is not whole.
            SettingsError: The gates were made for another model.
        """
        tensors, about = read_gates(path)
        gates = cls.built(tensors, about, path)
        if model is not None:
            layout = layout_of(model)
            gates.check(layout)
            if about.get("act", layout.activation) != layout.activation:
                _LOG.warning("these gates have the activation %s, the model %s", about["act"], layout.activation)
            if "act" not in about:
                for gate in gates.layers.values():
                    cast(RetentionGate, gate).activation = layout.activation
            gates.place(layout)
        return gates

    @classmethod
    def built(cls, tensors: Mapping[str, Tensor], about: Mapping[str, str], path: str | os.PathLike[str] = "") -> GateSet:
        """Return gates made of tensors named `layers.0.w1.weight` and so on.

        Args:
            tensors: By name.
            about: What a gate file says of them.
            path: The file, for messages.

        Raises:
            InputError: A tensor is missing, has the wrong shape, is not finite, or is none of a gate's.
        """
        parts: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            found = re.fullmatch(r"layers\.(\d+)\.(w1\.weight|w1\.bias|w2\.weight|bias)", name)
            if found is None:
                raise InputError(f"{path} has a tensor {name!r} that is no part of a retention gate", field="path")
            parts.setdefault(int(found[1]), {})[found[2]] = tensor
        if not parts:
            raise InputError(f"{path} has no gates", field="path")
        gates = {layer: _built(layer, parts[layer], about.get("act", "silu"), path) for layer in sorted(parts)}
        return cls(gates, about).requires_grad_(False)


def _built(layer: int, parts: Mapping[str, Tensor], activation: str, path: str | os.PathLike[str]) -> RetentionGate:
    missing = sorted({"w1.weight", "w1.bias", "w2.weight", "bias"} - set(parts))
    if missing:
        raise InputError(f"{path} lacks {', '.join(f'layers.{layer}.{name}' for name in missing)}", field="path")
    first, second = parts["w1.weight"], parts["w2.weight"]
    fits = first.dim() == second.dim() == 2 and parts["w1.bias"].shape == first.shape[:1] == second.shape[1:]
    if not fits or parts["bias"].shape != second.shape[:1]:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(parts.items()))
        raise InputError(f"the gate of layer {layer} in {path} has shapes that do not fit together: {shapes}", field="path")
    if not all(bool(tensor.isfinite().all()) for tensor in parts.values()):
        raise InputError(f"the gate of layer {layer} in {path} has numbers that are not finite: its training failed", field="path")
    gate = RetentionGate(first.shape[1], second.shape[0], hidden=first.shape[0], activation=activation)
    gate.load_state_dict(dict(parts))
    return gate
