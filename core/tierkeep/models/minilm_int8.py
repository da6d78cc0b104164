"""Eight-bit arithmetic for a graph's linear layers, with a range of its own for every token.

onnxruntime's dynamic quantisation takes one range for a whole batch, so that a text's vector depends on its neighbours (a component
moves by up to 0.04). Here every token has its own range: the same text gives the same vector in any batch, and it is nearer to the
32-bit one as well. After LLM.int8() (Dettmers et al., 2022, section 2.1, row-wise and column-wise constants).

Weights take 7 of their 8 bits: processors without VNNI add pairs of products in 16 bits, and 2 * 255 * 63 is the most that fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

_WEIGHT_MOST = 63
_MOST = 127
_MIDDLE = 128
_SMALLEST = np.float32(1e-9)
_LARGE_TABLE = 4_096  # rows; smaller tables are not worth their two nodes


def to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with constant matrices and large tables in int8. Other nodes stay as they are; the given model is not changed.

    Args:
        model: Any float32 graph; what is multiplied with a constant matrix must have its features in the last axis.
    """
    return _Rewriter(model).result()


class _Rewriter:
    """Goes through the nodes once, in order, and replaces what it knows."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        self._onnx = onnx
        self._model = model
        self._opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self._floats = {one.name: one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._rows: dict[str, tuple[str, str]] = {}
        self._tables: dict[tuple[str, int], tuple[str, str]] = {}

    def result(self) -> onnx.ModelProto:
        for node in self._model.graph.node:
            if node.op_type == "MatMul" and self._rank(node.input[1]) == 2:
                self._product(node)
            elif node.op_type == "Gather" and self._is_large_table(node):
                self._lookup(node)
            else:
                self._nodes.append(node)
        used = {name for node in self._nodes for name in node.input}
        kept = [one for one in self._model.graph.initializer if one.name in used]
        made = self._onnx.ModelProto()
        made.CopyFrom(self._model)
        for field, values in (("node", self._nodes), ("initializer", [*kept, *self._constants.values()])):
            made.graph.ClearField(field)
            getattr(made.graph, field).extend(values)
        self._onnx.checker.check_model(made)
        return made

    def _rank(self, name: str) -> int:
        return len(self._floats[name].dims) if name in self._floats else 0

    def _is_large_table(self, node: onnx.NodeProto) -> bool:
        first_axis = all(attribute.i == 0 for attribute in node.attribute if attribute.name == "axis")
        return first_axis and self._rank(node.input[0]) == 2 and self._floats[node.input[0]].dims[0] >= _LARGE_TABLE

    def _product(self, node: onnx.NodeProto) -> None:
        """Replace x @ W by (q(x) @ q(W)) * range of each row * range of each column."""
        value, matrix, out = node.input[0], node.input[1], node.output[0]
        columns, column_ranges = self._table(matrix, axis=0, most=_WEIGHT_MOST)
        rows, row_ranges = self._quantised_rows(value)
        whole = self._op("MatMulInteger", f"{out} int32", rows, columns, self._middle())
        real = self._op("Cast", f"{out} float", whole, to=self._onnx.TensorProto.FLOAT)
        # In this order: onnxruntime fuses a product with both ranges at once, and takes the first row's for all.
        scaled = self._op("Mul", f"{out} by rows", real, row_ranges)
        self._op("Mul", out, scaled, column_ranges)

    def _quantised_rows(self, value: str) -> tuple[str, str]:
        """Return the names of a tensor's rows as uint8 around 128, and of their ranges, shape (..., 1). Each tensor once."""
        if value not in self._rows:
            most = self._reduced("ReduceMax", f"{value} most", value)
            least = self._op("Neg", f"{value} -least", self._reduced("ReduceMin", f"{value} least", value))
            smallest = self._constant("smallest range", _SMALLEST)
            reach = self._op("Max", f"{value} reach", most, least, smallest)
            ranges = self._op("Div", f"{value} ranges", reach, self._constant("127", np.float32(_MOST)))
            unit = self._op("Div", f"{value} in ranges", value, ranges)
            rows = self._op("QuantizeLinear", f"{value} uint8", unit, self._constant("unit range", np.float32(1)), self._middle())
            self._rows[value] = rows, ranges
        return self._rows[value]

    def _lookup(self, node: onnx.NodeProto) -> None:
        rows, ranges = self._table(node.input[0], axis=1, most=_MOST)
        out = node.output[0]
        found = self._op("Gather", f"{out} int8", rows, node.input[1])
        real = self._op("Cast", f"{out} float", found, to=self._onnx.TensorProto.FLOAT)
        self._op("Mul", out, real, self._op("Gather", f"{out} looked up", ranges, node.input[1]))

    def _table(self, name: str, axis: int, most: int) -> tuple[str, str]:
        """Return the names of a constant as int8, and of its ranges along an axis. Each constant once."""
        if (name, axis) not in self._tables:
            table: NDArray[np.float32] = self._onnx.numpy_helper.to_array(self._floats[name])
            ranges = np.maximum(np.abs(table).max(axis=axis, keepdims=True) / most, _SMALLEST).astype(np.float32)
            rounded = np.round(table / ranges).astype(np.int8)
            # A column's range is multiplied with a row of results, a row's with a row that was looked up.
            apart = ranges[0] if axis == 0 else ranges
            self._tables[name, axis] = self._constant(f"{name} int8 {axis}", rounded), self._constant(f"{name} ranges {axis}", apart)
        return self._tables[name, axis]

    def _reduced(self, kind: str, name: str, value: str) -> str:
        """Append a reduction of the last axis, which is an input since opset 18 and was an attribute before."""
        if self._opset >= 18:
            return self._op(kind, name, value, self._constant("last axis", np.array([-1], dtype=np.int64)), keepdims=1)
        return self._op(kind, name, value, axes=[-1], keepdims=1)

    def _middle(self) -> str:
        return self._constant("middle", np.uint8(_MIDDLE))

    def _op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], name=f"{name} ({kind})", **attributes))
        return name

    def _constant(self, name: str, value: Any) -> str:
        name = f"int8: {name}"  # no name of the graph's own
        if name not in self._constants:
            self._constants[name] = self._onnx.numpy_helper.from_array(np.asarray(value), name)
        return name
