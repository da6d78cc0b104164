"""A memory whose vectors are searched by chromadb: through the front door, from the first message to forgetting it."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tierkeep import Memory, Settings
from tierkeep.errors import SettingsError
from tierkeep.ledger.chroma import ChromaVectors
from tierkeep.testing.clock import FixedClock

pytest.importorskip("chromadb")
if "vectors" not in inspect.signature(Memory.open).parameters:
    pytest.skip("Memory.open has no vectors= yet", allow_module_level=True)

#: Words of one line mean the same.
MEANINGS = ("boat ship vessel yacht", "dog puppy hound", "car automobile", "doctor physician", "violin fiddle", "moved relocated")


class Meanings:
    """An embedder that knows which words mean the same, so that a question can share a meaning and no word with its answer."""

    identity = "meanings/1/32/unit"
    dimension = 32

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        rows[:, -1] = 0.3
        for row, text in zip(rows, texts, strict=True):
            words = {word.strip(".,?!:").lower() for word in text.split()}
            for place, line in enumerate(MEANINGS):
                row[place] = len(words & set(line.split()))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


SAID = ("Our vessel is called Marigold.", "The puppy sleeps in the kitchen.", "I relocated in spring.", "My fiddle needs strings.")


def opened(folder: Path, vectors: ChromaVectors | None, embedder: Meanings | None = None, **more: object) -> Memory:
    return Memory.open(folder / "memory", embedder=embedder or Meanings(), vectors=vectors, clock=FixedClock(), **more)


def found(memory: Memory, question: str, session: str | None = None) -> list[str]:
    return [item.text for item in memory.scope(user="ana", session=session).recall(question, budget=400).items]


def tell(memory: Memory, *texts: str, session: str = "s1") -> list[str]:
    mine = memory.scope(user="ana", session=session)
    return [mine.add(text).ids[0] for text in texts]


def test_another_word_for_it_is_found(tmp_path: Path) -> None:
    """By the vectors alone: without them, nothing is."""
    with opened(tmp_path, ChromaVectors(tmp_path / "chroma"), derive="with_write") as memory:
        assert memory.describe()["vectors"] == "chroma"
        tell(memory, *SAID)
        assert any("Marigold" in text for text in found(memory, "Which ship?"))
        assert any("puppy" in text for text in found(memory, "Any dog?"))
    with Memory.open(tmp_path / "memory", clock=FixedClock()) as memory:
        assert not any("Marigold" in text for text in found(memory, "Which ship?"))
    with opened(tmp_path, ChromaVectors(tmp_path / "chroma")) as memory:
        assert any("Marigold" in text for text in found(memory, "Which ship?"))


def test_what_is_said_later_is_found_and_what_is_forgotten_is_not(tmp_path: Path) -> None:
    with opened(tmp_path, ChromaVectors(tmp_path / "chroma"), derive="with_write") as memory:
        ids = tell(memory, *SAID)
        assert any("fiddle" in text for text in found(memory, "The violin?"))
        tell(memory, "The physician is called Anselmo.")
        assert any("Anselmo" in text for text in found(memory, "Which doctor?"))
        report = memory.scope(user="ana").forget(ids=[ids[3]])
        assert report.complete
        assert not any("fiddle" in text for text in found(memory, "The violin?"))
        assert any("Anselmo" in text for text in found(memory, "Which doctor?"))


def test_a_session_has_its_own(tmp_path: Path) -> None:
    with opened(tmp_path, ChromaVectors(tmp_path / "chroma", k=4), derive="with_write") as memory:
        tell(memory, *SAID[:3], session="quiet")
        tell(memory, *(f"Boat, ship and yacht {number}." for number in range(30)), session="loud")
        assert any("Marigold" in text for text in found(memory, "Which ship or yacht?", session="quiet"))


def test_owners_are_apart(tmp_path: Path) -> None:
    with opened(tmp_path, ChromaVectors(tmp_path / "chroma"), derive="with_write") as memory:
        tell(memory, *SAID)
        memory.scope(user="bo").add("Nothing happened today.")
        assert not any("Marigold" in item.text for item in memory.scope(user="bo").recall("Which ship?").items)


def test_when_chromadb_cannot_be_used_words_have_to_do(tmp_path: Path) -> None:
    """The folder is another's: a recall says so in its note, and still finds what shares a word."""
    with closing(ChromaVectors(tmp_path / "chroma")) as other, opened(tmp_path, other, derive="with_write") as first:
        tell(first, *SAID)
        assert any("Marigold" in text for text in found(first, "Which ship?"))
        with opened(tmp_path, ChromaVectors(tmp_path / "chroma")) as second:
            evidence = second.scope(user="ana").recall("Where does the puppy sleep?")
            assert any("puppy" in item.text for item in evidence.items)


def test_vectors_without_an_embedder_are_refused(tmp_path: Path) -> None:
    vectors = ChromaVectors(tmp_path / "chroma")
    with pytest.raises(SettingsError, match="embedder"):
        Memory.open(tmp_path / "memory", vectors=vectors)


def test_nothing_that_was_said_stands_in_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path, ChromaVectors(tmp_path / "chroma"), derive="with_write", settings=Settings()) as memory:
        tell(memory, *SAID)
        found(memory, "Which ship?")
    held = b"".join(path.read_bytes() for path in (tmp_path / "chroma").rglob("*") if path.is_file())
    for word in (b"Marigold", b"vessel", b"puppy", b"fiddle"):
        assert word not in held
    with closing(sqlite3.connect(tmp_path / "chroma" / "chroma.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM embeddings").fetchone() == (len(SAID),)
