"""LlamaIndex: its SimpleVectorStore, and its VectorMemoryBlock on chromadb."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from peers.adapters.base import Base
from peers.data import Item, Question

_MESSAGE = re.compile(r" (\S+)</message>")


class Simple(Base):
    """SimpleVectorStore in memory, and its one way onto the disk: `persist`, which writes all of it anew.

    One memory is durable when all of them have been written once more. A batch is held in memory until `settle` writes it.
    """

    def open(self) -> None:
        from llama_index.core.vector_stores import SimpleVectorStore

        self._path = self.folder / "vectors.json"
        self._store = SimpleVectorStore.from_persist_path(str(self._path)) if self._path.exists() else SimpleVectorStore()
        self._unwritten = False

    def add(self, item: Item) -> None:
        self.add_many([item])
        self.settle()

    def add_many(self, items: Sequence[Item]) -> None:
        from llama_index.core.schema import TextNode

        self._store.add([
            TextNode(id_=item.id, text=item.text, embedding=self.known.list(item.text), metadata={"scope": item.scope, "text": item.text})
            for item in items
        ])  # fmt: skip
        self._unwritten = True

    def settle(self) -> None:
        if self._unwritten:
            self._store.persist(str(self._path))
            self._unwritten = False

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery

        filters = MetadataFilters(filters=[MetadataFilter(key="scope", value=question.scope)])
        query = VectorStoreQuery(query_embedding=self.known.list(question.text), similarity_top_k=k, filters=filters)
        return list(self._store.query(query).ids or [])

    def count(self) -> int:
        return len(self._store.data.embedding_dict)


class Block(Base):
    """VectorMemoryBlock on chromadb: one block for each owner, because a block keeps the first session that it filters by."""

    batch = 50

    def open(self) -> None:
        import chromadb
        from chromadb.config import Settings
        from llama_index.vector_stores.chroma import ChromaVectorStore

        self._client = chromadb.PersistentClient(str(self.folder), settings=Settings(anonymized_telemetry=False))
        self._collection = self._client.get_or_create_collection("memories", metadata={"hnsw:space": "cosine"})
        self._store = ChromaVectorStore(chroma_collection=self._collection)
        self._model = _embedding(self.known)
        self._blocks: dict[tuple[str, int], Any] = {}
        self._loop = asyncio.new_event_loop()

    def _block(self, scope: str, k: int) -> Any:
        from llama_index.core.memory import VectorMemoryBlock

        if (scope, k) not in self._blocks:
            self._blocks[scope, k] = VectorMemoryBlock(
                vector_store=self._store, embed_model=self._model, similarity_top_k=k, retrieval_context_window=1
            )
        return self._blocks[scope, k]

    def add(self, item: Item) -> None:
        from llama_index.core.llms import ChatMessage

        said = ChatMessage(role="user", content=item.text, additional_kwargs={"session_id": item.scope})
        self._loop.run_until_complete(self._block(item.scope, 10).aput([said]))

    def add_many(self, items: Sequence[Item]) -> None:
        for item in items:
            self.add(item)

    def search(self, question: Question, k: int, mode: str) -> list[str]:
        from llama_index.core.llms import ChatMessage

        asked = [ChatMessage(role="user", content=question.text)]
        text = self._loop.run_until_complete(self._block(question.scope, k).aget(asked, session_id=question.scope))
        return _MESSAGE.findall(text)

    def count(self) -> int:
        return int(self._collection.count())

    def close(self) -> None:
        self._loop.close()


def _embedding(known: Any) -> Any:
    from llama_index.core.embeddings import BaseEmbedding

    class Handed(BaseEmbedding):
        """Hands the vectors out, as LlamaIndex's embedding models do."""

        def _get_text_embedding(self, text: str) -> list[float]:
            vector: list[float] = known.list(text)
            return vector

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    return Handed(model_name="handed")
