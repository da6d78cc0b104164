"""Names of embedders on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable

from tierkeep import Embedder
from tierkeep.errors import InputError

NAMES = "none, minilm, minilm:fp32, sentence-transformers:MODEL_OR_PATH (or st:…), openai:MODEL, chroma"


def embedder_from(name: str, base_url: str | None = None) -> Embedder | None:
    """Return the embedder that a name stands for, or None for "none" and "".

    Args:
        name: One of `NAMES`.
        base_url: Where an OpenAI-compatible server listens; for `openai:` only. Its key comes from TIERKEEP_API_KEY, or, for OpenAI
            itself, from OPENAI_API_KEY.

    Raises:
        InputError: There is no such embedder, or its name lacks the model, or `base_url` goes with one that has no server.
        MissingExtraError: Its package is not installed.
        ModelError: Its model cannot be had.
    """
    kind, colon, model = name.strip().partition(":")
    make = _MAKERS.get(kind.lower())
    if make is None:
        raise InputError(f"there is no embedder {name!r}: choose one of {NAMES}", field="embedder")
    if base_url and make is not _openai:
        raise InputError(f"--base-url names a server, and the embedder {kind!r} has none", field="embedder")
    if colon and not model:
        raise InputError(f"{name!r} does not say which model", field="embedder")
    return make(model, base_url)


def _none(model: str, base_url: str | None) -> None:
    _no_model("none", model)


def _minilm(model: str, base_url: str | None) -> Embedder:
    from tierkeep.models.minilm import MiniLMEmbedder

    if model not in ("", "int8", "fp32"):
        raise InputError(f"minilm is int8 or fp32, not {model!r}", field="embedder")
    return MiniLMEmbedder(precision="fp32" if model == "fp32" else "int8")


def _sentence_transformers(model: str, base_url: str | None) -> Embedder:
    from tierkeep.models.sentence_transformers import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(_needed("sentence-transformers", model))


def _openai(model: str, base_url: str | None) -> Embedder:
    from tierkeep.models.openai import OpenAIEmbedder

    key = os.environ.get("TIERKEEP_API_KEY") or None
    return OpenAIEmbedder(_needed("openai", model), base_url=base_url or None, api_key=key)


def _chroma(model: str, base_url: str | None) -> Embedder:
    from tierkeep.models.chroma_functions import ChromaFunctionEmbedder

    _no_model("chroma", model)
    return ChromaFunctionEmbedder.default()


def _needed(kind: str, model: str) -> str:
    if not model:
        raise InputError(f"say which model: {kind}:MODEL", field="embedder")
    return model


def _no_model(kind: str, model: str) -> None:
    if model:
        raise InputError(f"the embedder {kind!r} takes no model, and got {model!r}", field="embedder")


_MAKERS: dict[str, Callable[[str, str | None], Embedder | None]] = {
    "": _none,
    "none": _none,
    "minilm": _minilm,
    "sentence-transformers": _sentence_transformers,
    "st": _sentence_transformers,
    "openai": _openai,
    "chroma": _chroma,
}
