"""The projector: how harmful a text is, from its vector (guard spec 2.4). numpy alone; training is in `train`.

Paper mode: a small network, two learnt prototypes, and s_harm = exp(-d_H) / (exp(-d_H) + exp(-d_B)), d being the distances to them. Code
mode, for comparison: the released head, a sigmoid on the normalised output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError
from tierkeep.guard.safeharbor.tree import Matrix, unit

Head: TypeAlias = Literal["prototypes", "sigmoid"]
Weights: TypeAlias = Mapping[str, NDArray[np.float32]]

_NETWORK = ("w1", "b1", "w2", "b2")
#: Names of the tensors of each head: the two layers, then the prototypes (benign, harmful), or the classifier.
TENSORS: dict[Head, tuple[str, ...]] = {"prototypes": (*_NETWORK, "prototypes"), "sigmoid": (*_NETWORK, "w3", "b3")}


class Projector:
    """A trained projector.

    Args:
        weights: w1 (hidden, dimension), b1 (hidden,), w2 (out, hidden), b2 (out,), and prototypes (2, out), the benign one first; or
            w3 (1, out) and b3 (1,) for the released head.
        head: Which.
        embedder: `Embedder.identity` of the vectors it was trained on.

    Raises:
        InputError: A tensor is missing, of a wrong shape, or has a value that is no number.
    """

    def __init__(self, weights: Weights, head: Head, embedder: str) -> None:
        if head not in TENSORS or set(weights) != set(TENSORS[head]):
            raise InputError(f"a projector with the head {head!r} does not consist of {', '.join(sorted(weights))}", field="weights")
        if not all(np.issubdtype(tensor.dtype, np.floating) and np.isfinite(tensor).all() for tensor in weights.values()):
            raise InputError("the projector's weights have values that are no numbers", field="weights")
        self.weights = {name: np.asarray(weights[name], dtype=np.float32) for name in TENSORS[head]}
        self.head: Head = head
        self.embedder = embedder
        _check_shapes(self.weights, head)
        self.dimension = int(self.weights["w1"].shape[1])

    def project(self, vectors: Matrix) -> Matrix:
        """Return the network's output, shape (rows, out); always a matrix, whatever the head.

        Raises:
            InputError: The vectors are not of the length that it was trained on.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise InputError(f"the projector takes vectors of length {self.dimension}, not {vectors.shape}", field="vectors")
        hidden = np.maximum(vectors @ self.weights["w1"].T + self.weights["b1"], 0.0)
        out = hidden @ self.weights["w2"].T + self.weights["b2"]
        return unit(out) if self.head == "sigmoid" else np.asarray(out, dtype=np.float32)

    def s_harm(self, vectors: Matrix) -> NDArray[np.float64]:
        """Return the harmfulness of each row, 0 to 1, shape (rows,)."""
        out = self.project(vectors).astype(np.float64)
        if self.head == "sigmoid":
            return _sigmoid((out @ self.weights["w3"].T + self.weights["b3"])[:, 0])
        distances = np.linalg.norm(out[:, None, :] - self.weights["prototypes"][None, :, :], axis=2)
        return _sigmoid(distances[:, 0] - distances[:, 1])

    def sha256(self) -> str:
        """Return a fingerprint of head and weights."""
        return fingerprint(self.weights, self.head)


def fingerprint(tensors: Mapping[str, NDArray[Any]], *more: str) -> str:
    """Return the SHA-256 of tensors: of their names, types, shapes and values."""
    digest = hashlib.sha256("\0".join(more).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _check_shapes(weights: Weights, head: Head) -> None:
    hidden, out = len(weights["b1"]), len(weights["b2"])
    wanted = {"b1": (hidden,), "b2": (out,), "w2": (out, hidden), "prototypes": (2, out), "w3": (1, out), "b3": (1,)}
    wrong = [name for name in TENSORS[head] if name != "w1" and weights[name].shape != wanted[name]]
    if wrong or weights["w1"].ndim != 2 or weights["w1"].shape[0] != hidden:
        raise InputError(f"the projector's tensors do not fit together: {', '.join(wrong or ['w1'])}", field="weights")


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))
