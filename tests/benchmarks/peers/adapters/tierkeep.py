"""tierkeep, through what a user calls: `add`, `recall`, and the vector seam of `tierkeep.protocols`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from peers.adapters.base import Base, Known
from peers.data import Item, Question


class Tierkeep(Base):
    """tierkeep.

    Options: `durability`, and `derive`: vectors in the background, as it does by default, or "with_write" like the peers do.

    Modes: "recall 2048" and "recall 256" give packed, cited evidence for a prompt within so many tokens, found by words and vectors; the
    ids come best first. "nearest" is what the peers do: the ten nearest vectors of an owner, with their texts.
    """

    modes = ("nearest", "recall 2048", "recall 256")

    def open(self) -> None:
        from tierkeep import Memory
        from tierkeep.clock import SystemClock
        from tierkeep.ledger.sqlite import SqliteLedger
        from tierkeep.retrieve.vectors import ExactVectors

        self._embedder = _Handed(self.known)
        self._clock = SystemClock()
        self._ledger = SqliteLedger(self.folder, clock=self._clock, durability=self.options.get("durability", "normal"))
        self._vectors = ExactVectors(512 * 2**20)
        self._memory = Memory.open(self._ledger, embedder=self._embedder, derive=self.options.get("derive"))

    def add(self, item: Item) -> None:
        self._memory.scope(user=item.scope).add(item.text, id=item.id)

    def add_many(self, items: Sequence[Item]) -> None:
        by_scope: dict[str, list[Any]] = {}
        for item in items:
            by_scope.setdefault(item.scope, []).append({"content": item.text, "role": "user", "id": item.id})
        for scope, messages in by_scope.items():
            self._memory.scope(user=scope).add(messages)

    def settle(self) -> None:
        self._memory.settle()

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        if mode == "nearest":
            return self._nearest(question, k)
        evidence = self._memory.scope(user=question.scope).recall(question.text, budget=int(mode.partition(" ")[2]))
        return [item.id for item in sorted(evidence.items, key=lambda item: -item.score)]

    def _nearest(self, question: Question, k: int) -> list[str]:
        from tierkeep import Scope
        from tierkeep.allowance import Allowance

        view = self._ledger.view(Scope(user=question.scope))
        vector = self._embedder.embed([question.text])[0]
        near = self._vectors.near(view, self._memory.describe()["embedder"], vector, Allowance(self._clock))
        best = np.argsort(-near.similarities, kind="stable")[:k]
        return [event.id for event in view.events_at([int(seq) for seq in near.seqs[best]])]

    def count(self) -> int:
        return int(self._memory.stats()["events"])

    def close(self) -> None:
        self._memory.close()


class Items(Base):
    """tierkeep's key-value items (`tierkeep.items`), which its LangGraph store is made of: a search with a query and a limit."""

    modes = ("items",)

    def open(self) -> None:
        from tierkeep import Memory

        self._memory = Memory.open(self.folder, embedder=_Handed(self.known))
        self._owners: dict[str, Any] = {}

    def _items(self, scope: str) -> Any:
        from tierkeep.items import Items as OwnersItems

        if scope not in self._owners:
            self._owners[scope] = OwnersItems(self._memory.scope(user=scope))
        return self._owners[scope]

    def add(self, item: Item) -> None:
        self._items(item.scope).put(("memories",), item.id, {"text": item.text})

    def add_many(self, items: Sequence[Item]) -> None:
        from tierkeep.items import Write

        by_scope: dict[str, list[Write]] = {}
        for item in items:
            by_scope.setdefault(item.scope, []).append(Write(("memories",), item.id, {"text": item.text}))
        for scope, writes in by_scope.items():
            self._items(scope).write(writes)

    def settle(self) -> None:
        self._memory.settle()

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        return [item.key for item in self._items(question.scope).search(query=question.text, limit=k)]

    def count(self) -> int:
        return int(self._memory.stats()["events"])

    def close(self) -> None:
        self._memory.close()


class _Handed:
    """Hands the vectors out (`tierkeep.protocols.Embedder`)."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.identity = f"handed/{known.dimension}"
        self.dimension = known.dimension

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return self._known.rows(texts).astype(np.float32, copy=False)
