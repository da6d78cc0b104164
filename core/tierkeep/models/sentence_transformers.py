"""Any model that the package sentence-transformers can load: E5, BGE, GTE, multilingual ones, instructed ones, static ones."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import MissingExtraError, ModelError, SettingsError
from tierkeep.models.embedding_rows import BLANK, texts_of, unit_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Names under which a model's own configuration keeps its prompts, first found first.
_QUERY_NAMES = ("query",)
_DOCUMENT_NAMES = ("document", "passage", "corpus")
_SAMPLE = 1_024  # values of each tensor that the fingerprint reads
#: What torch, transformers and the hub's client raise for a model that cannot be loaded or run.
_ERRORS = (OSError, RuntimeError, ValueError, ImportError)


class SentenceTransformerEmbedder:
    """An encoder of sentence-transformers, which may treat a question otherwise than a text (`embed_queries`).

    Many encoders want a prefix: E5 "query: " and "passage: ", BGE a sentence before the question. Models that say so in their
    configuration are asked the way they want; for the others give the prompts here.

    Naming a model that is not on this machine makes sentence-transformers download it. A text without a single token (with a static
    model: an empty one) is embedded as "(no text)". Threads take turns. Do not fork a process that has used it.

    Args:
        model: A loaded `SentenceTransformer`, the path of a saved one, or a name for sentence-transformers to find.
        query_prompt: Put before each question; None for the model's own, "" for nothing.
        document_prompt: Put before each text; None for the model's own, "" for nothing.
        device: "cpu", "cuda", …; None leaves it to torch. Only with a path or a name.
        revision: Branch, tag or commit of a named model.
        batch_size: Texts of one batch.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        ModelError: The model cannot be loaded.
        SettingsError: An argument cannot hold.
    """

    def __init__(
        self,
        model: SentenceTransformer | str | os.PathLike[str],
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        device: str | None = None,
        revision: str | None = None,
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise SettingsError("batch_size must be at least 1")
        named = isinstance(model, (str, os.PathLike))
        if not named and (device or revision):
            raise SettingsError("device and revision are for a path or a name: a loaded model has its own")
        self._model = _load(os.fspath(model), device, revision) if isinstance(model, (str, os.PathLike)) else model
        self._label = os.path.basename(os.fspath(model)) if isinstance(model, (str, os.PathLike)) else "model"
        self._query_prompt = self._prompt(query_prompt, _QUERY_NAMES)
        self._document_prompt = self._prompt(document_prompt, _DOCUMENT_NAMES)
        self._batch_size = batch_size
        self._lock = threading.Lock()
        self.dimension = _dimension(self._model)
        asked = hashlib.sha256(repr((self._query_prompt, self._document_prompt)).encode("utf-8", "replace")).hexdigest()[:8]
        self.identity = (
            f"sentence-transformers/{self._label}@{_fingerprint(self._model)}/{self.dimension}"
            f"/{self._model.max_seq_length} tokens/prompts {asked}/unit"
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of texts, shape (len(texts), dimension), in input order.

        Raises:
            InputError: Not a sequence of texts.
            ModelError: The model failed, for example for lack of memory.
        """
        return self._encode(texts, "encode_document", self._document_prompt)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of questions, to be compared with those of `embed`; shape and errors are those of `embed`."""
        return self._encode(texts, "encode_query", self._query_prompt)

    def _encode(self, texts: Sequence[str], method: str, prompt: str | None) -> NDArray[np.float32]:
        given = texts_of(texts)
        if not given:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = self._run(given, method, prompt)
        without = ~rows.any(axis=1)
        if without.any():
            rows[without] = self._run([BLANK], method, prompt)
        return unit_rows(rows, len(given), self._label, self.dimension)

    def _run(self, texts: list[str], method: str, prompt: str | None) -> NDArray[np.float32]:
        # Versions before 5 have one method for both; since 5 a model may have different layers for texts and questions.
        encode = getattr(self._model, method, self._model.encode)
        try:
            # The tokenizers of transformers keep the settings of a call, so two calls at once get into each other's way.
            with self._lock:
                rows = encode(texts, prompt=prompt, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True)
        except _ERRORS as error:
            raise ModelError(f"{self._label} failed on {len(texts)} texts: {error}") from error
        return np.array(rows, dtype=np.float32)

    def _prompt(self, given: str | None, names: Sequence[str]) -> str | None:
        if given is not None:
            return given
        own: Mapping[str, str | None] = self._model.prompts or {}
        found = next((own[name] for name in names if own.get(name)), None)
        return own.get(self._model.default_prompt_name or "") if found is None else found


def _load(name: str, device: str | None, revision: str | None) -> SentenceTransformer:
    if importlib.util.find_spec("sentence_transformers") is None:
        raise MissingExtraError("Embedding with sentence-transformers", extra="sentence-transformers")
    try:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(name, device=device, revision=revision)
    except _ERRORS as error:
        raise ModelError(f"sentence-transformers cannot load {name!r}: {error}") from error


def _dimension(model: SentenceTransformer) -> int:
    # Renamed in version 5; the old name warns in newer ones.
    getter = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    dimension = getter()
    if not dimension:
        raise ModelError("the model does not say how long its vectors are")
    return int(dimension)


def _fingerprint(model: Any) -> str:
    """Return a hash of the weights, from a sample of every tensor: the same however and from wherever the model was loaded."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, len(flat) // _SAMPLE)]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(sample.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
