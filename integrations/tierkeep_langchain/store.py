"""Tierkeep as LangGraph's store: `create_agent(store=…)`, `StateGraph.compile(store=…)`, langmem.

Semantics are those of `langgraph.store.memory.InMemoryStore`, on disk and for several processes; where they differ it is said here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote

from langgraph.store.base import (
    BaseStore, GetOp, InvalidNamespaceError, Item, ListNamespacesOp, MatchCondition, Op, PutOp, Result, SearchItem, SearchOp,
    get_text_at_path, tokenize_path, validate_op_namespace,
)  # fmt: skip

from tierkeep import Memory, Origin
from tierkeep.errors import InputError, SettingsError
from tierkeep.items import Items, Write
from tierkeep.items import Item as Held
from tierkeep.records import ForgetReport
from tierkeep.scoped import ScopedMemory

__all__ = ["TierkeepStore", "label", "unlabel"]

_NOT_IN_LABELS = re.compile(r"[%.\x00]")


def label(text: str) -> str:
    """Return any text, such as a user's id, as one label of a namespace: "ann@x.com" is "ann@x%2Ecom". `unlabel` gives it back.

    Raises:
        InputError: It is empty, or no text.
    """
    if not isinstance(text, str) or not text:
        raise InputError("a label of a namespace is a text that is not empty", field="namespace")
    if text == "langgraph":  # reserved as the first label
        return "%6Canggraph"
    return _NOT_IN_LABELS.sub(lambda found: f"%{ord(found.group()):02X}", text)


def unlabel(text: str) -> str:
    """Return the text that `label` was given."""
    return unquote(text)


class TierkeepStore(BaseStore):
    """A LangGraph store for one owner of a tierkeep memory.

    The owner is fixed here and no namespace reaches another's: two stores with different owners never see each other. Inside, namespaces
    keep users apart as in any LangGraph store; a store of one user's owner keeps them apart whatever the namespace says.

    Values are what JSON holds. A secret that the guard takes out of a value stays out: what is read back has a mark in its place. With a
    query, items are ranked by words and, when the memory has an embedder, by meaning; `score` compares within one search only.

    Args:
        memory: The memory with `tenant=`, `user=`, `agent=`, or an owner's, such as `memory.scope(agent="support")`.
        fields: Paths of what a query looks at in values that are put without `index=`; "$" is all of it.
        origin: Who writes the values; the agent otherwise.
        erase: When deleted values are physically removed: "at_once", which costs a sweep of the store for each batch with deletes, or
            "later", with `purge`.
        **owner: tenant, user and agent, with a memory.

    Raises:
        ScopeError: No owner, or one that is bound to a session.
        SettingsError: `memory` is none.
    """

    def __init__(
        self, memory: Memory | ScopedMemory, *, fields: Sequence[str] = ("$",), origin: Origin | None = None,
        erase: Literal["at_once", "later"] = "at_once", **owner: str,
    ) -> None:  # fmt: skip
        if isinstance(memory, Memory):
            memory = memory.scope(**owner)
        elif not isinstance(memory, ScopedMemory) or owner:
            raise SettingsError("TierkeepStore takes an open memory with user=, agent= or tenant=, or the object that scope() returns")
        self._items = Items(memory, origin=origin, erase=erase)
        self._fields = _reader(fields)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do several things at once: all reads see the store before the batch, and all writes are stored, or none.

        Raises:
            InvalidNamespaceError: A label is empty, no text, or has "." or NUL in it (see `label`); nothing was done.
            ValueError: A value or filter cannot be used; nothing was done.
            NotImplementedError: A put has a time to live.
        """
        known = list(ops)
        for op in known:
            _check(op)
        results = [self._read(op) for op in known]
        self._items.write([Write(op.namespace, op.key, op.value, self._found(op)) for op in known if isinstance(op, PutOp)])
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do the same as `batch`, in a thread: the event loop never waits for a disk. Cancelling it stops the waiting, not the work."""
        return await asyncio.to_thread(self.batch, list(ops))

    def purge(self) -> ForgetReport:
        """Remove physically what was deleted with erase="later"."""
        return self._items.purge()

    async def apurge(self) -> ForgetReport:
        """Do the same as `purge`, without blocking the event loop."""
        return await self._items.apurge()

    def _read(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            held = self._items.get(op.namespace, op.key)
            return None if held is None else Item(**_fields(held))
        if isinstance(op, SearchOp):
            found = self._items.search(op.namespace_prefix, query=op.query, filter=op.filter, limit=op.limit, offset=op.offset)
            return [SearchItem(**_fields(held), score=held.score) for held in found]
        if isinstance(op, ListNamespacesOp):
            wanted = op.match_conditions or ()
            return self._items.namespaces(
                lambda namespace: all(_matches(condition, namespace) for condition in wanted),
                max_depth=op.max_depth, limit=op.limit, offset=op.offset,
            )  # fmt: skip
        return None

    def _found(self, op: PutOp) -> Callable[[Mapping[str, Any]], Iterable[str]] | Literal[False] | None:
        if op.index is None:
            return self._fields
        return False if op.index is False else _reader(op.index)


def _reader(paths: Sequence[str]) -> Callable[[Mapping[str, Any]], Iterable[str]] | None:
    """Return what gives a value's texts at these paths; None for all of it."""
    if "$" in paths:
        return None
    tokens = [tokenize_path(path) for path in paths]
    return lambda value: [text for path in tokens for text in get_text_at_path(value, path)]


def _check(op: Op) -> None:
    if not isinstance(op, (GetOp, SearchOp, PutOp, ListNamespacesOp)):
        raise ValueError(f"a store has no operation of type {type(op).__name__}")
    validate_op_namespace(op)
    if isinstance(op, (GetOp, PutOp)) and not op.namespace:
        raise InvalidNamespaceError("Namespace cannot be empty.")
    if isinstance(op, PutOp) and op.ttl is not None:
        raise NotImplementedError("TierkeepStore keeps items until they are deleted: leave ttl out")
    for condition in (op.match_conditions or ()) if isinstance(op, ListNamespacesOp) else ():
        if condition.match_type not in ("prefix", "suffix"):
            raise ValueError(f"namespaces are matched by prefix or suffix, not by {condition.match_type!r}")


def _matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    wanted = tuple(condition.path)
    if len(namespace) < len(wanted):
        return False
    part = namespace[: len(wanted)] if condition.match_type == "prefix" else namespace[len(namespace) - len(wanted) :]
    return all(asked in ("*", there) for asked, there in zip(wanted, part, strict=True))


def _fields(held: Held) -> dict[str, Any]:
    return {
        "namespace": held.namespace, "key": held.key, "value": held.value, "created_at": held.created_at, "updated_at": held.updated_at,
    }  # fmt: skip
