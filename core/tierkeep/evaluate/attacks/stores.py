"""Plain memories of the kinds that agents have: a list, full text, vectors, extracted facts, a window, a file. None knows of guards."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tierkeep.protocols import Embedder
from tierkeep.records import Authority, Origin
from tierkeep.terms import analyze

_WORD = re.compile(r"\w+")


class Entry(NamedTuple):
    """One memory of a plain store, with what the harness knows about it.

    Attributes:
        id: Its id; later ones sort later.
        text: What it says.
        origin: Who it says it comes from.
        authority: What it may cause, where a guard has bound that.
        roots: Ids of the writes from outside that it goes back to; its own when it goes back to none.
        poison: Whether an attacker's text is among those.
    """

    id: str
    text: str
    origin: Origin
    authority: Authority
    roots: frozenset[str]
    poison: bool


class Store(Protocol):
    """A memory as agents without a guard have it.

    Attributes:
        name: As the table has it.
    """

    name: str

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        ...

    def search(self, question: str, k: int) -> list[Entry]:
        """Return what comes into the agent's window, best or newest first."""
        ...

    def entries(self) -> Sequence[Entry]:
        """Return everything that is kept."""
        ...


@functools.lru_cache(maxsize=100_000)
def _terms(text: str) -> frozenset[str]:
    return frozenset(analyze(text))


class ListStore:
    """A list, searched by the words that question and entry share; of equals the newest."""

    name = "dict"

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        self._entries.append(entry)

    def search(self, question: str, k: int) -> list[Entry]:
        """Return the entries that share most words with the question; none that shares none."""
        wanted = _terms(question)
        scored = [(len(wanted & _terms(entry.text)), place) for place, entry in enumerate(self._entries)]
        best = sorted((one for one in scored if one[0]), reverse=True)[:k]
        return [self._entries[place] for _, place in best]

    def entries(self) -> Sequence[Entry]:
        """Return everything that is kept."""
        return self._entries


class SqliteStore:
    """A plain FTS5 table, ranked by its BM25."""

    name = "sqlite"

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute("CREATE VIRTUAL TABLE memory USING fts5(text)")

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        self._entries.append(entry)
        self._connection.execute("INSERT INTO memory(rowid, text) VALUES (?, ?)", (len(self._entries), entry.text))

    def search(self, question: str, k: int) -> list[Entry]:
        """Return the best matches of any of the question's words."""
        words = " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(question)))
        if not words:
            return []
        query = "SELECT rowid FROM memory WHERE memory MATCH ? ORDER BY bm25(memory), rowid DESC LIMIT ?"
        rows = self._connection.execute(query, (words, k))
        return [self._entries[row - 1] for (row,) in rows]

    def entries(self) -> Sequence[Entry]:
        """Return everything that is kept."""
        return self._entries


class RememberingEmbedder:
    """An embedder that embeds no text twice: trials share most of their texts."""

    def __init__(self, embedder: Embedder) -> None:
        self.dimension = embedder.dimension
        self.identity = embedder.identity
        self._embedder = embedder
        self._rows: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension)."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if missing:
            self._rows.update(zip(missing, self._embedder.embed(missing), strict=True))
        return np.stack([self._rows[text] for text in texts]) if len(texts) else np.zeros((0, self.dimension), np.float32)


class VectorStore:
    """Dense vectors, searched exactly by cosine."""

    name = "vector"

    def __init__(self, embedder: Embedder) -> None:
        self._entries: list[Entry] = []
        self._embedder = embedder
        self._rows: NDArray[np.float32] = np.zeros((0, embedder.dimension), np.float32)
        self._new: list[str] = []

    def add(self, entry: Entry) -> None:
        """Keep an entry; its vector is made with the next search."""
        self._entries.append(entry)
        self._new.append(entry.text)

    def search(self, question: str, k: int) -> list[Entry]:
        """Return the nearest entries; of equals the newest."""
        if self._new:
            self._rows = np.concatenate([self._rows, self._embedder.embed(self._new)])
            self._new = []
        scores = self._rows @ self._embedder.embed([question])[0]
        order = np.lexsort((-np.arange(len(scores)), -np.round(scores, 6)))
        return [self._entries[place] for place in order[:k]]

    def entries(self) -> Sequence[Entry]:
        """Return everything that is kept."""
        return self._entries


class FactStore(VectorStore):
    """One-sentence facts in vectors, each kept once, as memories that extract facts have them."""

    name = "extractor"

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder)
        self._known: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Keep a fact that is not yet known."""
        if entry.text not in self._known:
            self._known.add(entry.text)
            super().add(entry)


class WindowStore:
    """A sliding window: the last so many entries, whatever is asked."""

    name = "window"

    def __init__(self, size: int) -> None:
        self._entries: list[Entry] = []
        self._size = size

    def add(self, entry: Entry) -> None:
        """Keep an entry, and let the oldest go."""
        self._entries = [*self._entries, entry][-self._size :]

    def search(self, question: str, k: int) -> list[Entry]:
        """Return the window."""
        return list(self._entries)

    def entries(self) -> Sequence[Entry]:
        """Return everything that is kept."""
        return self._entries


class FileStore:
    """A file of notes, such as MEMORY.md, that is read whole at the start of a session."""

    name = "file"

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Append a line."""
        self._entries.append(entry)

    def search(self, question: str, k: int) -> list[Entry]:
        """Return the whole file."""
        return list(self._entries)

    def entries(self) -> Sequence[Entry]:
        """Return everything that is kept."""
        return self._entries
