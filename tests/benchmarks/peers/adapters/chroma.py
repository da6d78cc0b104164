"""chromadb by itself, embedded: one collection with a filter, or one collection for each owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from peers.adapters.base import Base
from peers.data import Item, Question


class Chroma(Base):
    """chromadb.

    Options: `per_scope`, one collection for each owner instead of a filter on `scope`.
    """

    def open(self) -> None:
        import chromadb
        from chromadb.config import Settings

        self._client = chromadb.PersistentClient(str(self.folder), settings=Settings(anonymized_telemetry=False))
        self._function = _function(self.known)
        self._per_scope = bool(self.options.get("per_scope"))
        self._collections: dict[str, Any] = {}

    def _collection(self, scope: str) -> Any:
        name = f"memories-{scope}" if self._per_scope else "memories"
        if name not in self._collections:
            self._collections[name] = self._client.get_or_create_collection(
                name, embedding_function=self._function, metadata={"hnsw:space": "cosine"}
            )
        return self._collections[name]

    def add(self, item: Item) -> None:
        self._collection(item.scope).add(ids=[item.id], documents=[item.text], metadatas=[{"scope": item.scope}])

    def add_many(self, items: Sequence[Item]) -> None:
        groups: dict[int, list[Item]] = {}
        for item in items:
            groups.setdefault(id(self._collection(item.scope)), []).append(item)
        for group in groups.values():
            self._collection(group[0].scope).add(
                ids=[item.id for item in group],
                documents=[item.text for item in group],
                metadatas=[{"scope": item.scope} for item in group],
            )

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        where = None if self._per_scope else {"scope": question.scope}
        found = self._collection(question.scope).query(query_texts=[question.text], n_results=k, where=where)
        return list(found["ids"][0])

    def count(self) -> int:
        return sum(one.count() for one in self._client.list_collections())


def _function(known: Any) -> Any:
    from chromadb import EmbeddingFunction

    class Handed(EmbeddingFunction):
        """Hands the vectors out, as chromadb wants an embedding function to."""

        def __init__(self) -> None:
            pass

        def __call__(self, input: Any) -> list[np.ndarray]:
            return list(known.rows(list(input)))

        @staticmethod
        def name() -> str:
            return "handed"

        def get_config(self) -> dict[str, Any]:
            return {}

        @staticmethod
        def build_from_config(config: dict[str, Any]) -> Any:
            return Handed()

    return Handed()
