"""Any embedding function of chromadb, as an embedder: what a collection was filled with can fill a memory too."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import MissingExtraError, ModelError, SettingsError
from tierkeep.models.embedding_rows import BLANK, texts_of, unit_rows

_SECRET = re.compile(r"key|token(?!i|s)|secret|passw|auth|credential|header|cookie|session", re.IGNORECASE)


class ChromaFunctionEmbedder:
    """An embedding function of chromadb: texts with a call of it, questions with its `embed_query` where it has one.

    Rows are normalised here, whatever the function does. A text without a character to read is embedded as "(no text)", because
    servers refuse empty ones. The identity is made of the function's name and configuration, of which nothing secret is read and no
    value shown but the model's name.

    Args:
        function: The function.
        dimension: Length of a vector; None asks the function once, at first use.
        batch_size: Texts of one call.

    Raises:
        SettingsError: `function` is none, or another argument cannot hold.
    """

    def __init__(self, function: Callable[[list[str]], Any], *, dimension: int | None = None, batch_size: int = 64) -> None:
        if not callable(function):
            raise SettingsError("function must be an embedding function of chromadb")
        if batch_size < 1 or (dimension is not None and dimension < 1):
            raise SettingsError("dimension and batch_size must be at least 1")
        self._function = function
        self._dimension = dimension
        self._batch_size = batch_size
        self._name, self._settings = _described(function)

    @classmethod
    def default(cls) -> Self:
        """Return chromadb's default function, all-MiniLM-L6-v2 in 32 bits; chromadb downloads the model when it has not got it.

        It loads the model for every call and pads every text to 256 tokens: `MiniLMEmbedder` is the same model without either.

        Raises:
            MissingExtraError: chromadb is not installed.
        """
        if importlib.util.find_spec("chromadb") is None:
            raise MissingExtraError("chromadb's default embedding function", extra="chroma")
        from chromadb.utils.embedding_functions import DefaultEmbeddingFunction

        return cls(DefaultEmbeddingFunction(), dimension=384)

    @property
    def dimension(self) -> int:
        """Length of a vector; asks the function when nobody has said.

        Raises:
            ModelError: The function failed.
        """
        if self._dimension is None:
            self._dimension = self._called(self._function, [BLANK]).shape[1]
        return self._dimension

    @property
    def identity(self) -> str:
        """Name, model, dimension and a hash of the settings. Raises what `dimension` raises."""
        return f"chroma/{self._name}/{self.dimension}/{self._settings}/unit"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension), in input order.

        Raises:
            InputError: Not a sequence of texts.
            ModelError: The function failed, or returned something that is not vectors.
        """
        return self._embed(texts, self._function)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of questions, to be compared with those of `embed`; shape and errors are those of `embed`."""
        return self._embed(texts, getattr(self._function, "embed_query", self._function))

    def _embed(self, texts: Sequence[str], call: Callable[[list[str]], Any]) -> NDArray[np.float32]:
        given = [text if text.strip() else BLANK for text in texts_of(texts)]
        rows = np.empty((len(given), self.dimension), dtype=np.float32)
        for start in range(0, len(given), self._batch_size):
            batch = given[start : start + self._batch_size]
            rows[start : start + len(batch)] = self._called(call, batch)
        return rows

    def _called(self, call: Callable[[list[str]], Any], batch: list[str]) -> NDArray[np.float32]:
        try:
            rows = call(batch)
        except Exception as error:
            raise ModelError(f"the embedding function {self._name} failed on {len(batch)} texts: {error}") from error
        return unit_rows(rows, len(batch), f"the embedding function {self._name}", self._dimension)


def default_is_here() -> bool:
    """Return whether chromadb and the model of its default function are on this machine, so that using it downloads nothing."""
    if importlib.util.find_spec("chromadb") is None:
        return False
    from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

    return (Path(ONNXMiniLM_L6_V2.DOWNLOAD_PATH) / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME / "model.onnx").is_file()


def _described(function: Any) -> tuple[str, str]:
    """Return a function's name with its model's, and a hash of its settings. Old functions have neither; their class stands in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # chromadb warns of functions that do not say their name
        name = function.name() if hasattr(function, "name") else None
        config = function.get_config() if hasattr(function, "get_config") else None
    if not isinstance(name, str):
        name = f"{type(function).__module__}.{type(function).__qualname__}"
    if not isinstance(config, dict):
        config = {}
    public = dict(_public(config, ""))
    model = next((str(public[key]) for key in ("model_name", "model", "model_id") if isinstance(public.get(key), str)), "")
    settings = json.dumps(public, sort_keys=True, default=lambda value: type(value).__qualname__)
    return f"{name}:{model}" if model else name, hashlib.sha256(settings.encode("utf-8", "replace")).hexdigest()[:8]


def _public(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings whose names do not sound secret, nested ones by their path."""
    for key, one in value.items():
        if _SECRET.search(str(key)):
            continue
        if isinstance(one, dict):
            yield from _public(one, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", one
