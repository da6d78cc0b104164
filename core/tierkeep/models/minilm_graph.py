"""all-MiniLM-L6-v2 as an ONNX graph, built from its weights without torch.

A BERT encoder (Devlin et al., 2018, section 3; MiniLM: Wang et al., 2020) in standard operators. Inputs `input_ids`, `attention_mask`
and `token_type_ids`, int64 (batch, tokens); output `last_hidden_state`, float32 (batch, tokens, width). These are the names that
chromadb's own file of this model has, so that either file can stand in for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError

if TYPE_CHECKING:
    import onnx

#: Part of every identity and of every file name in the cache: another graph of the same weights may give other vectors.
GRAPH_VERSION = 1

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPSET, _IR = 20, 9  # what onnxruntime 1.17, the oldest one we take, can read
_MASKED = -10_000.0
_ENCODER = "encoder.layer"


def build(tensors: Mapping[str, NDArray[np.float32]], config: Mapping[str, Any]) -> onnx.ModelProto:
    """Return the graph of a BERT encoder.

    Args:
        tensors: Weights by their names in a transformers checkpoint, linear layers of shape (out, in).
        config: The checkpoint's config.json.

    Raises:
        ModelError: This is not a BERT encoder of the kind that the graph can express, or weights are absent.
    """
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ModelError(f"cannot build a graph of {config.get('model_type')!r} with {config.get('hidden_act')!r}: only of BERT with gelu")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelError("cannot build a graph of a BERT with relative positions")
    try:
        return _Builder(tensors, config).model()
    except KeyError as error:
        raise ModelError(f"the weights are not those of a BERT encoder: {error.args[0]} is absent") from None


class _Builder:
    """Collects nodes and constants. Every method appends nodes and returns the name of its result."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]], config: Mapping[str, Any]) -> None:
        import onnx

        self._onnx = onnx
        self._tensors = tensors
        self._width: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._epsilon: float = config["layer_norm_eps"]
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        helper, types = self._onnx.helper, self._onnx.TensorProto
        hidden, bias = self._embedded(), self._mask_bias()
        for layer in range(self._layers):
            hidden = self._layer(layer, hidden, bias)
        self._op("Identity", "last_hidden_state", hidden)
        shape = ["batch", "tokens"]
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [helper.make_tensor_value_info(name, types.INT64, shape) for name in INPUTS],
            [helper.make_tensor_value_info("last_hidden_state", types.FLOAT, [*shape, self._width])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="tierkeep")
        self._onnx.checker.check_model(model)
        return model

    def _embedded(self) -> str:
        words = self._op("Gather", "words", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        types = self._op("Gather", "types", self._weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        length = self._op("Gather", "length", self._op("Shape", "shape", "input_ids"), self._constant("one", _ints(1)))
        zero = self._constant("zero", _ints(0))
        table = self._weight("embeddings.position_embeddings.weight")
        positions = self._op("Slice", "positions", table, zero, length, zero)
        both = self._op("Add", "words and types", words, types)
        return self._norm("embeddings.LayerNorm", self._op("Add", "embedded", both, positions))

    def _mask_bias(self) -> str:
        """Return 0 for a token and a large negative number for padding, shape (batch, 1, 1, tokens)."""
        mask = self._op("Cast", "mask", "attention_mask", to=self._onnx.TensorProto.FLOAT)
        mask = self._op("Unsqueeze", "mask of scores", mask, self._constant("heads and rows", _ints(1, 2)))
        absent = self._op("Sub", "absent", self._constant("1.0", np.float32(1)), mask)
        return self._op("Mul", "mask bias", absent, self._constant("masked", np.float32(_MASKED)))

    def _layer(self, layer: int, hidden: str, bias: str) -> str:
        name = f"{_ENCODER}.{layer}"
        attended = self._linear(f"{name}.attention.output.dense", self._attention(name, hidden, bias))
        hidden = self._norm(f"{name}.attention.output.LayerNorm", self._op("Add", f"{name}.residual 1", attended, hidden))
        inner = self._op("Gelu", f"{name}.gelu", self._linear(f"{name}.intermediate.dense", hidden))
        outer = self._linear(f"{name}.output.dense", inner)
        return self._norm(f"{name}.output.LayerNorm", self._op("Add", f"{name}.residual 2", outer, hidden))

    def _attention(self, name: str, hidden: str, bias: str) -> str:
        size = self._width // self._heads
        split = self._constant("split heads", _ints(0, 0, self._heads, size))
        heads = {}
        for part, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3))):
            projected = self._linear(f"{name}.attention.self.{part}", hidden)
            apart = self._op("Reshape", f"{name}.{part} apart", projected, split)
            heads[part] = self._op("Transpose", f"{name}.{part}", apart, perm=order)
        scores = self._op("MatMul", f"{name}.scores", heads["query"], heads["key"])
        scores = self._op("Mul", f"{name}.scaled", scores, self._constant("scale", np.float32(size**-0.5)))
        weights = self._op("Softmax", f"{name}.weights", self._op("Add", f"{name}.masked", scores, bias), axis=-1)
        mixed = self._op("Transpose", f"{name}.mixed", self._op("MatMul", f"{name}.values", weights, heads["value"]), perm=(0, 2, 1, 3))
        return self._op("Reshape", f"{name}.together", mixed, self._constant("join heads", _ints(0, 0, self._width)))

    def _linear(self, name: str, value: str) -> str:
        product = self._op("MatMul", f"{name}.product", value, self._weight(f"{name}.weight", transposed=True))
        return self._op("Add", name, product, self._weight(f"{name}.bias"))

    def _norm(self, name: str, value: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", name, value, scale, shift, axis=-1, epsilon=self._epsilon)

    def _op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _weight(self, name: str, *, transposed: bool = False) -> str:
        tensor = self._tensors[name]
        return self._constant(name, tensor.T if transposed else tensor)

    def _constant(self, name: str, value: Any) -> str:
        if name not in self._constants:
            self._constants[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        return name


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
