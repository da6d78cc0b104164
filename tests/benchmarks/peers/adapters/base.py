"""What an adapter does, and the embedder that hands precomputed vectors to every system through that system's own interface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from peers.data import DIMENSION, Item, Question

#: What LlamaIndex's memory block puts around a text before it embeds it.
_WRAPPED = re.compile(r"^<message role='\w+'>(.*)</message>$", re.DOTALL)


class Adapter(Protocol):
    """One system. Opening it is making the object; scopes are owners.

    Attributes:
        batch: Memories that are handed to `add_many` at once.
        modes: Ways of asking, the first is the main one.
    """

    batch: int
    modes: tuple[str, ...]

    def add(self, item: Item) -> None:
        """Store one memory, durably as the system understands it."""
        ...

    def add_many(self, items: Sequence[Item]) -> None:
        """Store several, in the quickest way that the system offers."""
        ...

    def settle(self) -> None:
        """Wait until everything that was added can be found by its vector."""
        ...

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        """Return ids of the owner's memories, best first."""
        ...

    def count(self) -> int:
        """Return how many memories are stored."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


def _bare(text: str) -> str:
    """Return a text without the speaker or the JSON around it."""
    if text.endswith('"}'):
        return str(json.loads(text[text.index("{") :]).get("text", ""))
    return text.partition(": ")[2]


class Known:
    """Vectors that are there already, looked up by text; blanks around it do not count, because mem0 takes them off.

    Attributes:
        unknown: Texts that were asked for and are not there; they get a vector of their own. Anything but a system's own start-up
            sentences here is a mistake of the adapter.
    """

    def __init__(self, texts: Iterable[str], vectors: np.ndarray) -> None:
        self._rows = {text.strip(): place for place, text in enumerate(texts)}
        self._vectors = vectors
        self.dimension = int(vectors.shape[1]) if len(vectors) else DIMENSION
        self.unknown: set[str] = set()

    def row(self, text: str) -> np.ndarray:
        """Return the vector of one text, shape (dimension,)."""
        place = self._rows.get(text.strip())
        if place is None:
            wrapped = _WRAPPED.match(text)
            bare = wrapped.group(1) if wrapped else _bare(text)
            place = self._rows.get(bare.strip())
        if place is None:
            self.unknown.add(text)
            vector = np.random.default_rng(list(text.encode())).standard_normal(self.dimension, np.float32)
            return vector / np.linalg.norm(vector)
        return self._vectors[place]

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """Return vectors, shape (len(texts), dimension)."""
        return np.stack([self.row(text) for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)

    def list(self, text: str) -> list[float]:
        """Return the vector of one text as Python numbers."""
        return self.row(text).tolist()


class Base:
    """What most adapters have in common: a folder, vectors, and nothing to wait for."""

    batch = 500
    modes: tuple[str, ...] = ("search",)

    def __init__(self, folder: Path, known: Known, **options: Any) -> None:
        self.folder, self.known, self.options = folder, known, options
        folder.mkdir(parents=True, exist_ok=True)
        self.open()

    def open(self) -> None:
        """Open the store in `folder`, and make it when there is none."""

    def settle(self) -> None:
        """Do nothing: what was added can be found."""

    def close(self) -> None:
        """Do nothing."""
