"""`TierkeepStore` against LangGraph's own `InMemoryStore`: the same random batches, the same results.

Two things of the reference are left out: namespaces that hold nothing, because an item was only asked for or
deleted there, have a place of their own in it, and it leaves `created_at` new
with each update.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, Op, PutOp, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

from tierkeep import Memory
from tierkeep_langchain.store import TierkeepStore

LABELS = ["mem", "a", "b", "a%2E", "a/b", "a:", "ä", "用户"]
KEYS = ["k0", "k1", "k2", "k3", "k/4", "k:5", "k.6", "k%7"]
WORDS = ["tea", "bread", "Lisbon", 'quote "x"', "line\nbreak", "", "12", "ü"]


class Reference(InMemoryStore):
    """The reference, without the entries that it leaves behind for namespaces that hold nothing."""

    def batch(self, ops: Any) -> list[Any]:
        known = list(ops)
        results = [None if isinstance(op, PutOp) else self._alone([op])[0] for op in known]
        last = {(op.namespace, op.key): op for op in known if isinstance(op, PutOp)}
        self._alone([op for op in last.values() if op.value is not None or op.key in self._data.get(op.namespace, {})])
        return results

    def _alone(self, ops: Sequence[Op]) -> list[Any]:
        results = super().batch(ops)
        for namespace in [namespace for namespace, items in self._data.items() if not items]:
            del self._data[namespace]
        return results


class Batches:
    """Random batches of operations over a few namespaces and keys, so that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def batch(self) -> list[Op]:
        return [self.random.choices([self.put, self.delete, self.get, self.search, self.namespaces], [5, 2, 3, 3, 1])[0]()
                for _ in range(self.random.randint(1, 6))]

    def namespace(self, least: int = 1) -> tuple[str, ...]:
        return tuple(self.random.choice(LABELS[: self.random.choice([3, len(LABELS)])]) for _ in range(self.random.randint(least, 3)))

    def value(self, depth: int = 0) -> Any:
        kind = self.random.randrange(7 if depth < 2 else 5)
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.random.randrange(3))]
        if kind == 6:
            return self.mapping(depth + 1)
        return [self.random.choice(WORDS), self.random.randint(-3, 20), self.random.random(), None, self.random.random() < 0.5][kind]

    def mapping(self, depth: int = 0) -> dict[str, Any]:
        return {name: self.value(depth) for name in self.random.sample(["kind", "n", "text", "of"], self.random.randint(0, 4))}

    def put(self) -> Op:
        return PutOp(self.namespace(), self.random.choice(KEYS), {"n": self.random.randint(0, 9), **self.mapping()})

    def delete(self) -> Op:
        return PutOp(self.namespace(), self.random.choice(KEYS), None)

    def get(self) -> Op:
        return GetOp(self.namespace(), self.random.choice(KEYS))

    def filter(self) -> dict[str, Any] | None:
        kind = self.random.randrange(6)
        if kind == 0:
            # Numbers only: the reference raises where there is none.
            return {"kind": {self.random.choice(["$eq", "$ne"]): self.value(2)}}
        if kind == 1:
            return {"kind": self.value(1)}
        if kind == 2:
            return {"of": {"n": self.random.randint(0, 3)}, "text": self.random.choice(WORDS)}
        return None

    def search(self) -> Op:
        return SearchOp(self.namespace(0)[: self.random.randint(0, 2)], self.filter(), self.random.choice([0, 1, 2, 10, 100]),
                        self.random.choice([0, 0, 1, 3]))

    def namespaces(self) -> Op:
        conditions = tuple(
            MatchCondition(self.random.choice(["prefix", "suffix"]), tuple(self.random.choice([*LABELS[:4], "*"]) for _ in
                                                                         range(self.random.randint(1, 2))))  # type: ignore[arg-type]
            for _ in range(self.random.randrange(3))
        )  # fmt: skip
        return ListNamespacesOp(conditions or None, self.random.choice([None, 1, 2]), self.random.choice([1, 5, 100]),
                                self.random.choice([0, 0, 2]))


def plain(result: Any) -> Any:
    """A result without its times."""
    if isinstance(result, SearchItem):
        return (result.namespace, result.key, result.value, result.score)
    if isinstance(result, Item):
        return (result.namespace, result.key, result.value)
    return [plain(one) for one in result] if isinstance(result, list) else result


def agree(ours: TierkeepStore, reference: Reference, batch: Sequence[Op], number: int) -> None:
    found, wanted = ours.batch(batch), reference.batch(batch)
    for op, one, other in zip(batch, found, wanted, strict=True):
        assert plain(one) == plain(other), f"batch {number}: {op}"


@pytest.mark.parametrize("seed", range(4))
def test_same_results_as_in_memory(seed: int, tmp_path: Path) -> None:
    batches, reference = Batches(seed), Reference()
    for part in range(3):  # a store that is opened again goes on where it was
        with Memory.open(tmp_path) as memory:
            ours = TierkeepStore(memory, user="ann", erase="later")
            for number in range(part * 100, part * 100 + 100):
                agree(ours, reference, batches.batch(), number)
            ours.items.purge()
            agree(ours, reference, [SearchOp((), None, 1000, 0), ListNamespacesOp(None, None, 1000, 0)], number)
            assert memory.verify().ok


def test_same_results_when_deletes_are_erased_at_once(tmp_path: Path) -> None:
    batches, reference = Batches(99), Reference()
    with Memory.open(tmp_path) as memory:
        ours = TierkeepStore(memory, user="ann")
        for number in range(60):
            agree(ours, reference, batches.batch(), number)
        assert memory.verify().ok


def test_the_comparison_can_fail() -> None:
    with Memory.open(":memory:") as memory:
        ours, reference = TierkeepStore(memory, user="ann"), Reference()
        ours.put(("a",), "k", {"n": 1})
        with pytest.raises(AssertionError):
            agree(ours, reference, [GetOp(("a",), "k")], 0)
