"""Re-rankers that read question and text together: a sentence-transformers cross-encoder, loaded when it is first needed."""

from __future__ import annotations

import importlib.util
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import MissingExtraError, ModelError, SettingsError
from tierkeep.models.pair_scoring import score_in_batches

__all__ = ["CrossEncoderReranker"]

#: Pairs scored together; a batch of chat messages takes a small fraction of a second on a processor, which is how late a deadline is seen.
_BATCH = 16
#: Tokens of question and text together; most cross-encoders have no places for more.
_MAX_LENGTH = 512


class CrossEncoderReranker:
    """A cross-encoder as a `Reranker`. Several threads may share one; they take turns batch by batch.

    Scores are the model's raw output: the sigmoid that most of them end in makes equals of all clear cases. Weights are read from
    safetensors only, and no code of a model folder is run. After a fork the child loads the model anew, and works on one thread: the pool
    of threads that the parent had started does not exist there.

    Args:
        model: A folder that holds a model, the name of one in the local cache, or a loaded `sentence_transformers.CrossEncoder`.
        device: "cpu", "cuda", "mps" …; None for the fastest that is here.
        batch_size: Pairs scored together.
        max_length: Tokens of a pair that are read; the text's end is cut off first.
        download: True to let a name be fetched from the model hub when it is not in the cache.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        SettingsError: The folder does not exist, or a number is not positive.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Any,
        *,
        device: str | None = None,
        batch_size: int = _BATCH,
        max_length: int = _MAX_LENGTH,
        download: bool = False,
    ) -> None:
        if batch_size < 1 or max_length < 8:
            raise SettingsError(f"batch_size must be at least 1 and max_length at least 8, not {batch_size} and {max_length}")
        if isinstance(model, os.PathLike) and not Path(model).is_dir():
            raise SettingsError(f"there is no folder {os.fspath(model)!r}: name one with a cross-encoder (config.json, model.safetensors)")
        self._source = os.fspath(model) if isinstance(model, (str, os.PathLike)) else None
        self._given: Any = model if self._source is None else None
        if self._source is not None and importlib.util.find_spec("sentence_transformers") is None:
            raise MissingExtraError("A cross-encoder", extra="sentence-transformers")
        if self._source is None and not callable(getattr(model, "predict", None)):
            raise SettingsError(f"model must be a folder, a name or a sentence_transformers.CrossEncoder, not a {type(model).__name__}")
        self._device = device
        self._batch_size = batch_size
        self._max_length = max_length
        self._download = download
        self.name = f"cross-encoder/{Path(self._source).name if self._source else 'given'}"
        self._begin(forked=False)
        _living.add(self)

    def _begin(self, *, forked: bool) -> None:
        """Start with a lock that nobody holds and, unless one was given, without a model."""
        self._lock = threading.Lock()
        self._model = self._given
        self._forked = forked

    def rerank(self, question: str, texts: Sequence[str], allowance: Allowance) -> NDArray[np.float32]:
        """Return the model's raw scores, shape (len(texts),), finite, in input order.

        Raises:
            ModelError: The model cannot be loaded or run, or not within half of the time that is left.
        """
        if not texts:
            return np.zeros(0, dtype=np.float32)
        with self._held(allowance):
            if self._model is None:
                self._model = self._loaded()

        def score(batch: list[str]) -> NDArray[Any]:
            with self._held(allowance):
                return self._predicted(question, batch)

        return score_in_batches(texts, score, allowance, batch_size=self._batch_size, name=self.name)

    @contextmanager
    def _held(self, allowance: Allowance) -> Iterator[None]:
        """Hold the model; another thread's batch or load is waited for until the deadline."""
        left = allowance.seconds_left()
        if not self._lock.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX)):
            raise ModelError(f"{self.name} was busy with other questions until the deadline")
        try:
            yield
        finally:
            self._lock.release()

    def _loaded(self) -> Any:
        from safetensors import SafetensorError
        from sentence_transformers import CrossEncoder

        try:
            return CrossEncoder(
                self._source, device=self._device, max_length=self._max_length, local_files_only=not self._download,
                model_kwargs={"use_safetensors": True},
            )  # fmt: skip
        # AssertionError: what torch says for a device that it was not built for.
        except (OSError, ValueError, RuntimeError, LookupError, TypeError, AssertionError, SafetensorError) as error:
            hint = "" if self._download else " A name is looked up in the local cache only, unless download=True."
            raise ModelError(f"{self.name} cannot be loaded: {_first_line(error)}.{hint}") from error

    def _predicted(self, question: str, texts: list[str]) -> NDArray[Any]:
        import torch

        model = self._model
        if model is None:  # only a fork between two batches, in the thread that goes on in the child
            model = self._model = self._loaded()
        pairs = [(question, text) for text in texts]
        before = torch.get_num_threads()
        if self._forked:
            torch.set_num_threads(1)
        try:
            scores: NDArray[Any] = model.predict(
                pairs, batch_size=len(pairs), show_progress_bar=False, activation_fn=torch.nn.Identity(), convert_to_numpy=True
            )
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise ModelError(f"{self.name} failed: {_first_line(error)}") from error
        finally:
            if self._forked:
                torch.set_num_threads(before)
        return scores


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__


_living: weakref.WeakSet[CrossEncoderReranker] = weakref.WeakSet()


def _after_in_child() -> None:
    # The thread that held the lock, and those that torch computed on, do not exist here.
    for reranker in list(_living):
        reranker._begin(forked=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
