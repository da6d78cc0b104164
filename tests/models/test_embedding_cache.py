"""The cache of vectors: each text once, bounded memory, one file, and nothing left of what is to be forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep.errors import SettingsError, StoreUnavailable
from tierkeep.models.doubles import HashEmbedder
from tierkeep.models.embedding_cache import CachedEmbedder
from tierkeep.protocols import Embedder
from tierkeep.testing.embedder import EmbedderContract

TEXTS = ["yellow tractors", "the kettle boils", "yellow tractors", ""]
ROW_BYTES = 4 * 32 + 200


class Counting:
    """Hashed words; remembers what it was asked."""

    def __init__(self, identity: str = "counting") -> None:
        self.identity = identity
        self.dimension = 32
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return HashEmbedder(32).embed(texts)


class Asking(Counting):
    """Treats questions otherwise."""

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed([f"question {text}" for text in texts])


class TestContract(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return CachedEmbedder(Asking())


@pytest.fixture(scope="class")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    request.cls.file = tmp_path_factory.mktemp("cache") / "vectors.db"


@pytest.mark.usefixtures("folder")
class TestContractWithAFile(EmbedderContract):
    file: Path

    def make_embedder(self) -> Embedder:
        return CachedEmbedder(HashEmbedder(), self.file, max_bytes=0)


def test_each_text_is_embedded_once() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner)
    rows = cached.embed(TEXTS)
    assert np.array_equal(rows, HashEmbedder(32).embed(TEXTS))
    assert np.array_equal(cached.embed(TEXTS[::-1]), rows[::-1])
    assert inner.asked == ["yellow tractors", "the kettle boils", ""]
    assert (cached.identity, cached.dimension) == ("counting", 32)


def test_a_row_that_is_changed_outside_changes_nothing_inside() -> None:
    cached = CachedEmbedder(Counting())
    before = cached.embed(TEXTS)
    cached.embed(TEXTS)[:] = 0
    assert np.array_equal(cached.embed(TEXTS), before)


def test_questions_are_kept_apart_where_they_differ() -> None:
    asking, plain = CachedEmbedder(Asking()), CachedEmbedder(Counting())
    assert not np.allclose(asking.embed(["tea"]), asking.embed_queries(["tea"]))
    assert np.array_equal(asking.embed_queries(["tea"]), HashEmbedder(32).embed(["question tea"]))
    assert np.array_equal(plain.embed(["tea"]), plain.embed_queries(["tea"]))


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner, max_bytes=2 * ROW_BYTES)
    for text in ("one", "two", "one", "three", "one", "two"):
        cached.embed([text])
    assert inner.asked == ["one", "two", "three", "two"]
    assert np.array_equal(cached.embed(TEXTS), HashEmbedder(32).embed(TEXTS))  # more than fits, in one call


def test_a_file_outlives_the_object_and_keeps_embedders_apart(tmp_path: Path) -> None:
    CachedEmbedder(Counting(), tmp_path / "v.db").embed(TEXTS)
    again, other = Counting(), Counting("another")
    assert np.array_equal(CachedEmbedder(again, tmp_path / "v.db").embed(TEXTS), HashEmbedder(32).embed(TEXTS))
    CachedEmbedder(other, tmp_path / "v.db").embed(["yellow tractors"])
    assert (again.asked, other.asked) == ([], ["yellow tractors"])
    assert [path.name for path in tmp_path.iterdir()] == ["v.db"]


def test_many_texts_in_one_call(tmp_path: Path) -> None:
    texts = [f"word number {n}" for n in range(2_500)]
    inner = Counting()
    for _ in range(2):
        rows = CachedEmbedder(inner, tmp_path / "v.db", max_bytes=0).embed(texts)
    assert np.array_equal(rows, HashEmbedder(32).embed(texts))
    assert len(inner.asked) == len(texts)


def test_forgetting_leaves_nothing_in_memory_or_file(tmp_path: Path) -> None:
    inner = Asking()
    file = tmp_path / "v.db"
    cached = CachedEmbedder(inner, file)
    row = cached.embed(["a secret", "kept"])[0]
    cached.embed_queries(["a secret"])
    assert row.tobytes() in file.read_bytes()
    assert cached.forget(["a secret", "never seen"]) == 2
    assert row.tobytes() not in file.read_bytes()
    inner.asked.clear()
    CachedEmbedder(inner, file).embed(["kept"])
    cached.embed(["a secret", "kept"])
    assert inner.asked == ["a secret"]


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    inner = Counting()
    for cached in (CachedEmbedder(inner), CachedEmbedder(inner, tmp_path / "v.db")):
        cached.embed(["tea"])
        cached.clear()
        cached.embed(["tea"])
    assert inner.asked == ["tea"] * 4


def test_a_vector_of_another_length_in_the_file_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "v.db"
    CachedEmbedder(Counting(), file).embed(["tea"])
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE vectors SET vector = x'00'")
    connection.close()
    assert np.array_equal(CachedEmbedder(Counting(), file).embed(["tea"]), HashEmbedder(32).embed(["tea"]))


def test_threads_share_a_cache_and_its_file(tmp_path: Path) -> None:
    cached = CachedEmbedder(Counting(), tmp_path / "v.db", max_bytes=5 * ROW_BYTES)
    texts = [f"word {n}" for n in range(40)]
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda start: cached.embed(texts[start:] + texts[:start]), range(24)))
    expected = HashEmbedder(32).embed(texts)
    assert all(np.array_equal(row, np.roll(expected, -start, axis=0)) for start, row in enumerate(rows))


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and longer than the header of one: " * 4)
    for path in (tmp_path / "text", tmp_path / "absent" / "v.db"):
        with pytest.raises(StoreUnavailable, match="cache of vectors"):
            CachedEmbedder(Counting(), path)
    unusable: Any = -1
    with pytest.raises(SettingsError):
        CachedEmbedder(Counting(), max_bytes=unusable)
