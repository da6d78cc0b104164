"""Tierkeep as LangGraph's store, for `create_agent(store=…)`, `StateGraph.compile(store=…)` and langmem: on disk, for many processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from langgraph.store import base

from tierkeep import Memory, Origin
from tierkeep.errors import InputError, SettingsError
from tierkeep.items import Item, Items, Write, in_namespace
from tierkeep.scoped import ScopedMemory

__all__ = ["TierkeepStore", "label"]

_Found = Callable[[Mapping[str, Any]], Iterable[str]] | Literal[False] | None


def label(text: str) -> str:
    """Return any text, such as a user's id, as one label of a namespace: "ann@x.com" is "ann@x%2Ecom" (`urllib.parse.unquote` undoes it).

    Raises:
        InputError: It is empty, or no text.
    """
    if not isinstance(text, str) or not text:
        raise InputError("a label of a namespace is a text that is not empty", field="namespace")
    escaped = re.sub(r"[%.\x00]", lambda found: f"%{ord(found.group()):02X}", text)
    return "%6Canggraph" if escaped == "langgraph" else escaped  # that one is LangGraph's own


class TierkeepStore(base.BaseStore):
    """LangGraph's store for one owner of a memory. The owner is fixed here: no namespace reaches what another owner has.

    It behaves as `InMemoryStore` does, except that values are what JSON holds, without the secrets that the guard takes out, and that a
    query also works without an embedder, by words. `score` compares within one search.

    Args:
        memory: The memory, with `tenant=`, `user=` or `agent=`; or what its `scope` returns.
        fields: Paths of what a query looks at in values that are put without `index=`; "$" is all of it.
        origin: Who writes the values; the agent otherwise.
        erase: When deleted values are removed from the files: "later" with `items.purge()` or the owner's `maintain`, or "at_once".
        **owner: tenant, user and agent.

    Attributes:
        items: The items behind it (`tierkeep.items`).

    Raises:
        ScopeError: No owner, or one that is bound to a session.
        SettingsError: `memory` is none.
    """

    def __init__(
        self, memory: Memory | ScopedMemory, *, fields: Sequence[str] = ("$",), origin: Origin | None = None,
        erase: Literal["at_once", "later"] = "later", **owner: str,
    ) -> None:  # fmt: skip
        if isinstance(memory, Memory):
            memory = memory.scope(**owner)
        elif not isinstance(memory, ScopedMemory) or owner:
            raise SettingsError("TierkeepStore takes an open memory with user=, agent= or tenant=, or what its scope() returns")
        self.items = Items(memory, origin=origin, erase=erase)
        self._fields = _reader(fields)

    def batch(self, ops: Iterable[base.Op]) -> list[base.Result]:
        """Do several things: all reads see the store as it was before, and all writes are stored, or none.

        Raises:
            ValueError: A namespace, value or filter cannot be used (`InvalidNamespaceError`: see `label`); nothing was done.
            NotImplementedError: A put has a time to live.
        """
        known = list(ops)
        for op in known:
            _check(op)
        results = [self._read(op) for op in known]
        self.items.write([Write(op.namespace, op.key, op.value, self._found(op)) for op in known if isinstance(op, base.PutOp)])
        return results

    async def abatch(self, ops: Iterable[base.Op]) -> list[base.Result]:
        """Do the same in a thread: the event loop never waits for a disk. Cancelling it stops the waiting, not the work."""
        return await asyncio.to_thread(self.batch, list(ops))

    def _read(self, op: base.Op) -> base.Result:
        if isinstance(op, base.GetOp):
            held = self.items.get(op.namespace, op.key)
            return None if held is None else base.Item(**_fields(held))
        if isinstance(op, base.SearchOp):
            found = self.items.search(op.namespace_prefix, query=op.query, filter=op.filter, limit=op.limit, offset=op.offset)
            return [base.SearchItem(**_fields(held), score=held.score) for held in found]
        if isinstance(op, base.ListNamespacesOp):
            wanted = [(one.path, one.match_type == "suffix") for one in op.match_conditions or ()]
            return self.items.namespaces(
                lambda one: all(in_namespace(one, path, suffix=suffix) for path, suffix in wanted),
                max_depth=op.max_depth, limit=op.limit, offset=op.offset,
            )  # fmt: skip
        return None

    def _found(self, op: base.PutOp) -> _Found:
        return self._fields if op.index is None else False if op.index is False else _reader(op.index)


def _reader(paths: Sequence[str]) -> _Found:
    if "$" in paths:
        return None
    return lambda value: [text for path in paths for text in base.get_text_at_path(value, path)]


def _check(op: base.Op) -> None:
    if not isinstance(op, (base.GetOp, base.SearchOp, base.PutOp, base.ListNamespacesOp)):
        raise ValueError(f"a store has no operation of type {type(op).__name__}")
    base.validate_op_namespace(op)
    if isinstance(op, (base.GetOp, base.PutOp)) and not op.namespace:
        raise base.InvalidNamespaceError("Namespace cannot be empty.")
    if isinstance(op, base.PutOp) and op.ttl is not None:
        raise NotImplementedError("TierkeepStore keeps items until they are deleted: leave ttl out")


def _fields(held: Item) -> dict[str, Any]:
    return {name: value for name, value in held._asdict().items() if name != "score"}
