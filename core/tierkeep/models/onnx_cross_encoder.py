"""A cross-encoder that was exported to ONNX, run by onnxruntime: the same scores without torch."""

from __future__ import annotations

import importlib.util
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import MissingExtraError, ModelError, SettingsError
from tierkeep.models.forks import keep_for_ever
from tierkeep.models.pair_scoring import score_in_batches

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

__all__ = ["OnnxCrossEncoder"]

#: Where exporters put the graph inside a model's folder.
_GRAPHS = ("model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "model_quantized.onnx")
_KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class _Runner(NamedTuple):
    """A session, its tokenizer, and the names of what goes in and comes out."""

    session: InferenceSession
    tokenizer: Tokenizer
    inputs: tuple[str, ...]
    output: str


class OnnxCrossEncoder:
    """An exported cross-encoder as a `Reranker`. Several threads may share one; in a forked child it is loaded anew.

    Args:
        folder: Holds `tokenizer.json` and `model.onnx` (or `onnx/model.onnx`), whose inputs are `input_ids`, `attention_mask` and perhaps
            `token_type_ids`, and whose first output has one number a pair.
        batch_size: Pairs scored together.
        max_length: Tokens of a pair that are read.
        threads: Threads of one batch; 0 for as many as there are cores.

    Raises:
        MissingExtraError: onnxruntime or tokenizers is not installed.
        SettingsError: A file is missing, or a number is not positive.
    """

    def __init__(self, folder: str | os.PathLike[str], *, batch_size: int = 16, max_length: int = 512, threads: int = 0) -> None:
        if batch_size < 1 or max_length < 8 or threads < 0:
            raise SettingsError(
                f"batch_size must be at least 1, max_length at least 8, threads at least 0, not {batch_size}, {max_length}, {threads}"
            )
        self._folder = Path(folder)
        graph = next((self._folder / name for name in _GRAPHS if (self._folder / name).is_file()), None)
        if graph is None or not (self._folder / "tokenizer.json").is_file():
            missing = "tokenizer.json" if graph else " or ".join(_GRAPHS[:2])
            raise SettingsError(f"{os.fspath(folder)!r} has no {missing}: export the cross-encoder to ONNX and keep its tokenizer there")
        if any(importlib.util.find_spec(package) is None for package in ("onnxruntime", "tokenizers")):
            raise MissingExtraError("A cross-encoder on onnxruntime", extra="minilm")
        self._graph = graph
        self._batch_size = batch_size
        self._max_length = max_length
        self._threads = threads
        self.name = f"onnx-cross-encoder/{self._folder.name}"
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._runner: _Runner | None = None

    def rerank(self, question: str, texts: Sequence[str], allowance: Allowance) -> NDArray[np.float32]:
        """Return the model's raw scores, shape (len(texts),), finite, in input order.

        Raises:
            ModelError: The model cannot be loaded or run, or not within half of the time that is left.
        """
        if not texts:
            return np.zeros(0, dtype=np.float32)
        with self._lock:
            runner = self._runner = self._runner or self._loaded()

        def score(batch: list[str]) -> NDArray[Any]:
            return _run(runner, question, batch, self.name)

        return score_in_batches(texts, score, allowance, batch_size=self._batch_size, name=self.name)

    def _loaded(self) -> _Runner:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        try:
            session = InferenceSession(str(self._graph), options, providers=["CPUExecutionProvider"])
        except _runtime_errors() as error:
            raise ModelError(f"{self._graph.name} of {self.name} cannot be loaded: {_first_line(error)}") from error
        inputs = tuple(each.name for each in session.get_inputs())
        if not {"input_ids"} <= set(inputs) <= _KNOWN_INPUTS:
            raise ModelError(f"{self.name} wants the inputs {', '.join(inputs)}: a cross-encoder wants {', '.join(sorted(_KNOWN_INPUTS))}")
        return _Runner(session, self._tokenizer(), inputs, session.get_outputs()[0].name)

    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as error:
            if type(error) is Exception:  # what the library raises for any file that it cannot read; it has no class of its own
                raise ModelError(f"tokenizer.json of {self.name} cannot be read: {_first_line(error)}") from error
            raise
        tokenizer.enable_truncation(self._max_length)
        # A file may say that every text is padded to one length; only a batch's own longest is needed. The mask hides the padding's id.
        padding = tokenizer.padding or {}
        tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))
        return tokenizer


def _run(runner: _Runner, question: str, texts: list[str], name: str) -> NDArray[np.float32]:
    encoded = runner.tokenizer.encode_batch([(question, text) for text in texts])
    columns = {
        "input_ids": [each.ids for each in encoded],
        "attention_mask": [each.attention_mask for each in encoded],
        "token_type_ids": [each.type_ids for each in encoded],
    }
    feed = {column: np.asarray(columns[column], dtype=np.int64) for column in runner.inputs}
    try:
        found = np.asarray(runner.session.run([runner.output], feed)[0], dtype=np.float32)
    except _runtime_errors() as error:
        raise ModelError(f"{name} failed: {_first_line(error)}") from error
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises: it has a class for each code and none above them."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = "Fail InvalidArgument InvalidGraph InvalidProtobuf NoSuchFile NoModel NotImplemented RuntimeException EPFail"
    return tuple(getattr(state, name) for name in names.split())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


_living: weakref.WeakSet[OnnxCrossEncoder] = weakref.WeakSet()


def _after_in_child() -> None:
    # The threads of a session, and the one that held the lock, do not exist here.
    for reranker in list(_living):
        keep_for_ever(reranker._runner)
        reranker._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
