"""LangGraph's SqliteStore with an index (sqlite-vec), and langmem's two tools on top of it."""

from __future__ import annotations

import importlib
import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from peers.adapters.base import Base, Known
from peers.data import Item, Question


def _sqlite() -> None:
    """Put pysqlite3 in the place of sqlite3 where this Python was built without loadable extensions, which sqlite-vec is."""
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        sys.modules["sqlite3"] = importlib.import_module("pysqlite3")


def _index(known: Known, field: str) -> Any:
    """Return an index over one field.

    It is documented as `fields`; version 3.1.2 reads `text_fields`, and embeds the whole value as JSON without it.
    """

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [known.list(text) for text in texts]

    return {"dims": known.dimension, "embed": embed, "fields": [field], "text_fields": [field]}


class SqliteStore(Base):
    """The store by itself: the owner is the namespace."""

    def open(self) -> None:
        _sqlite()
        from langgraph.store.sqlite import SqliteStore as Store

        self._stack = ExitStack()
        self._store = self._stack.enter_context(Store.from_conn_string(str(self.folder / "store.db"), index=_index(self.known, "text")))
        self._store.setup()

    def add(self, item: Item) -> None:
        self._store.put(("memories", item.scope), item.id, {"text": item.text})

    def add_many(self, items: Sequence[Item]) -> None:
        from langgraph.store.base import PutOp

        self._store.batch([PutOp(("memories", item.scope), item.id, {"text": item.text}) for item in items])

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        return [found.key for found in self._store.search(("memories", question.scope), query=question.text, limit=k)]

    def count(self) -> int:
        return sum(
            len(self._store.search(namespace, limit=1_000_000))
            for namespace in self._store.list_namespaces(prefix=("memories",), limit=100_000)
        )

    def close(self) -> None:
        self._stack.close()


class Langmem(SqliteStore):
    """langmem's tools, which give each memory a key of their own; the id stands at the end of the text."""

    batch = 50

    def open(self) -> None:
        _sqlite()
        from langgraph.store.sqlite import SqliteStore as Store
        from langmem import create_manage_memory_tool, create_search_memory_tool

        self._stack = ExitStack()
        self._store = self._stack.enter_context(Store.from_conn_string(str(self.folder / "store.db"), index=_index(self.known, "content")))
        self._store.setup()
        namespace = ("memories", "{langgraph_user_id}")
        self._manage = create_manage_memory_tool(namespace=namespace, store=self._store)
        self._search = create_search_memory_tool(namespace=namespace, store=self._store)

    def add(self, item: Item) -> None:
        self._manage.invoke({"content": item.text, "action": "create"}, config={"configurable": {"langgraph_user_id": item.scope}})

    def add_many(self, items: Sequence[Item]) -> None:
        for item in items:
            self.add(item)

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        said = self._search.invoke({"query": question.text, "limit": k}, config={"configurable": {"langgraph_user_id": question.scope}})
        return [found["value"]["content"].rpartition(" ")[2] for found in (json.loads(said) if isinstance(said, str) else said)]
