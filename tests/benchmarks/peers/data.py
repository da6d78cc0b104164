"""What every system is given: made-up memories of many owners, their vectors, and questions. The same numbers give the same data.

Needs nothing but numpy: the workers of all peers read it.

Texts are made of a made-up vocabulary with a natural (Zipf) spread of words. Vectors lie around topics that all owners share, as those of
a sentence encoder do: two memories of one topic have a cosine of about 0.4, and a question one of about 0.75 with the memory that it was
made from. Evenly spread vectors would have no neighbours to speak of, and would make approximate indexes look worse than they are.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DIMENSION = 384
#: Memories of one owner that are added in a row.
BLOCK = 50
_TOPICS = 64
_MOST_WORDS = 60  # a text of more than 1,000 bytes would get several vectors in tierkeep
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro sa te vo wa xi yo zu bra cle dri flo gru ple sta tri".split()


class Item(NamedTuple):
    """One memory.

    Attributes:
        id: Its id, which an adapter may use.
        scope: Whose it is.
        text: What it says; no two say the same.
    """

    id: str
    scope: str
    text: str


class Question(NamedTuple):
    """What is looked for in one owner's memories."""

    scope: str
    text: str


class Data(NamedTuple):
    """Memories and questions.

    Attributes:
        items: Memories, in the order in which they are added.
        vectors: Their unit vectors, shape (items, DIMENSION).
        first: One question to each owner that is asked about: the first touch of an owner may cost more than the next.
        first_vectors: Shape (first, DIMENSION).
        questions: The questions that are measured.
        question_vectors: Shape (questions, DIMENSION).
    """

    items: list[Item]
    vectors: np.ndarray
    first: list[Question]
    first_vectors: np.ndarray
    questions: list[Question]
    question_vectors: np.ndarray


def scopes_of(size: int, per_scope: int, singles: int) -> list[int]:
    """Return the owner of each memory: blocks in turn, and one by one those that are added one by one."""
    count = max(1, round(size / per_scope))
    return [(place // BLOCK if place < size - singles else place) % count for place in range(size)]


def make(size: int, *, per_scope: int = 250, singles: int = 300, questions: int = 300, seed: int = 1) -> Data:
    """Return the data.

    Args:
        size: Memories.
        per_scope: Memories of one owner, about.
        singles: How many of them, the last ones, are to be added one by one.
        questions: Questions that are measured. They ask for memories of the first tenth, which every system gets to store.
        seed: Of everything.
    """
    numbers, words = np.random.default_rng(seed), _Words(seed)
    owners = scopes_of(size, per_scope, singles)
    topics = _unit(numbers.standard_normal((_TOPICS, DIMENSION), np.float32))
    vectors = _near(topics[numbers.integers(0, _TOPICS, size)], 0.63, numbers)
    items = [Item(f"m{place:07d}", f"user{owner}", f"{words.text()} m{place:07d}") for place, owner in enumerate(owners)]
    early = min(size, max(100, size // 10))
    targets = numbers.integers(0, early, questions)
    asked = [Question(items[place].scope, words.question(items[place].text)) for place in targets]
    whose = {items[place].scope: place for place in reversed(range(early)) if items[place].scope in {one.scope for one in asked}}
    first = [Question(scope, words.question(items[place].text)) for scope, place in sorted(whose.items())]
    first_vectors = _near(vectors[[whose[one.scope] for one in first]], 0.75, numbers)
    return Data(items, vectors, first, first_vectors, asked, _near(vectors[targets], 0.75, numbers))


def save(data: Data, folder: Path) -> None:
    """Write the data into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vectors", "first_vectors", "question_vectors"):
        np.save(folder / f"{name}.npy", getattr(data, name))
    for name in ("items", "first", "questions"):
        (folder / f"{name}.json").write_text(json.dumps(getattr(data, name)), encoding="utf-8")


def load(folder: Path, *, items: bool = True) -> Data:
    """Read what `save` wrote; without items and their vectors where only questions are asked: they are not to be in the memory measured."""

    def rows(name: str, kind: Any) -> list[Any]:
        return [kind(*row) for row in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))]

    return Data(
        rows("items", Item) if items else [], np.load(folder / "vectors.npy") if items else np.zeros((0, DIMENSION), np.float32),
        rows("first", Question), np.load(folder / "first_vectors.npy"),
        rows("questions", Question), np.load(folder / "question_vectors.npy"),
    )  # fmt: skip


def nearest(stored: Sequence[int], data: Data, k: int = 10) -> list[set[str]]:
    """Return the ids of the nearest memories of each question's owner, by brute force.

    Args:
        stored: Places of the memories that a system holds.
        data: All of them.
        k: How many; fewer where the owner has fewer.
    """
    by_scope: dict[str, list[int]] = {}
    for place in stored:
        by_scope.setdefault(data.items[place].scope, []).append(place)
    found = []
    for question, vector in zip(data.questions, data.question_vectors, strict=True):
        places = np.asarray(by_scope.get(question.scope, []), np.int64)
        order = np.argsort(-(data.vectors[places] @ vector), kind="stable")[:k] if len(places) else []
        found.append({data.items[places[place]].id for place in order})
    return found


def recall_of(found: Sequence[Sequence[str]], truth: Sequence[set[str]]) -> float | None:
    """Return the mean share of the true neighbours that were found; None when there is nothing to find."""
    shares = [len(wanted.intersection(got)) / len(wanted) for got, wanted in zip(found, truth, strict=False) if wanted]
    return sum(shares) / len(shares) if shares else None


def _near(vectors: np.ndarray, cosine: float, numbers: np.random.Generator) -> np.ndarray:
    """Return unit vectors that have about this cosine with the given ones."""
    noise = _unit(numbers.standard_normal(vectors.shape, np.float32))
    return _unit(np.float32(cosine) * vectors + np.float32((1 - cosine**2) ** 0.5) * noise)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class _Words:
    """Makes texts."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._asked = 0
        self._words = ["".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4))) for _ in range(20_000)]
        self._weights = list(_sums(1 / (rank + 10) for rank in range(len(self._words))))

    def text(self) -> str:
        length = min(_MOST_WORDS, max(3, int(self._random.lognormvariate(2.9, 0.6))))
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=length)).capitalize()

    def question(self, text: str) -> str:
        """Return a question of some words of a text, and a number, so that no two are alike: a vector is looked up by its text."""
        said = text.split()[:-1]
        self._asked += 1
        return "What about " + " ".join(self._random.sample(said, min(4, len(said)))) + f" q{self._asked:05d}?"


def _sums(values: Any) -> Any:
    total = 0.0
    for value in values:
        total += value
        yield total
