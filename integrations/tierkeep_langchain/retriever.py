"""The memory as a retriever, for chains that take one."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from tierkeep.records import EvidenceItem
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import recalled

__all__ = ["MemoryRetriever"]


class MemoryRetriever(BaseRetriever):
    """Finds one owner's memories: `MemoryRetriever(memory.scope(user="ana"), k=4)`.

    A document's content is the memory's line for a prompt: who said it, how far to trust it, what. Like all documents it stands in a
    prompt without a fence; where it can, an application should use `MemoryMiddleware` or `Evidence.text`.

    Attributes:
        owner: Whose memory.
        k: Documents at most, the most relevant first; all that fit into the budget otherwise. `invoke(query, k=…)` overrules it.
        budget: Tokens of the documents together; by tier otherwise.
        deadline_s: Seconds after which the best so far comes back.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    owner: ScopedMemory = Field(repr=False, exclude=True)
    k: int | None = Field(default=None, ge=1)
    budget: int | None = Field(default=None, ge=1)
    deadline_s: float | None = Field(default=None, gt=0)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun | None = None, k: int | None = None
    ) -> list[Document]:
        evidence = self.owner.recall(query, budget=self.budget, deadline_s=self.deadline_s)
        lines = [one["text"] for one in recalled(evidence)["memories"]]
        found = sorted(zip(evidence.items, lines, strict=True), key=lambda pair: -pair[0].score)
        return [_document(item, text) for item, text in found[: self.k if k is None else k]]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun | None = None, k: int | None = None
    ) -> list[Document]:
        return await asyncio.to_thread(self._get_relevant_documents, query, k=k)


def _document(item: EvidenceItem, text: str) -> Document:
    about: dict[str, Any] = {
        "score": item.score, "at": item.at, "speaker": item.speaker, "origin": item.origin.value, "authority": item.authority.name.lower(),
        "session": item.session, "kind": item.kind, "sources": list(item.sources), "excerpt": item.excerpt, "text": item.text,
    }  # fmt: skip
    return Document(page_content=text, id=item.id, metadata=about)
