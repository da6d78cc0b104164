"""mem0 with infer=False, so that no model is asked: on its default store, qdrant in this process, or on chromadb."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from peers.adapters.base import Base
from peers.data import Item, Question


class Mem0(Base):
    """mem0. It has no batch: several memories are added one after the other.

    Options: `store`, "qdrant" or "chroma".
    """

    batch = 50

    def open(self) -> None:
        # The default model and embedder want a key when they are made; neither is ever asked.
        os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=str(self.folder / "home"), OPENAI_API_KEY="none", ANONYMIZED_TELEMETRY="False")
        from mem0 import Memory

        path, dimension = str(self.folder / "vectors"), self.known.dimension
        if self.options.get("store") == "chroma":
            store: dict[str, Any] = {"provider": "chroma", "config": {"collection_name": "mem0", "path": path}}
        else:
            config = {"collection_name": "mem0", "path": path, "embedding_model_dims": dimension}
            store = {"provider": "qdrant", "config": config}
        self._memory = Memory.from_config({"vector_store": store, "history_db_path": str(self.folder / "history.db")})
        self._memory.embedding_model = _Handed(self.known)

    def add(self, item: Item) -> None:
        self._memory.add(item.text, user_id=item.scope, metadata={"key": item.id}, infer=False)

    def add_many(self, items: Sequence[Item]) -> None:
        for item in items:
            self.add(item)

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        found = self._memory.search(question.text, top_k=k, filters={"user_id": question.scope}, threshold=0.0)
        return [one["metadata"]["key"] for one in found["results"]]

    def count(self) -> int:
        if self.options.get("store") == "chroma":
            return int(self._memory.vector_store.collection.count())
        return int(self._memory.vector_store.client.count("mem0").count)

    def close(self) -> None:
        if self.options.get("store") != "chroma":
            self._memory.vector_store.client.close()
        self._memory.close()


class _Handed:
    """Hands the vectors out, as mem0's embedders do."""

    def __init__(self, known: Any) -> None:
        self._known = known

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        vector: list[float] = self._known.list(text)
        return vector

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:
        return [self.embed(text) for text in texts]
