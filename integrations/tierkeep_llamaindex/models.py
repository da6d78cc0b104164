"""LlamaIndex's models as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import LLM, ChatMessage, MessageRole

from tierkeep.models.framework import FrameworkChat, FrameworkEmbedder
from tierkeep.protocols import ChatRequest


class LlamaIndexChat(FrameworkChat):
    """Any LLM of LlamaIndex as tierkeep's chat model: `Memory.open(…, chat=LlamaIndexChat(llm))`.

    Ceiling and temperature are the LLM's own, because not every LLM takes them with a call; name in `extra` what yours takes.

    Args:
        llm: The LLM.
        extra: Arguments of each call, such as `{"temperature": 0.0}`.
        timeout_s: Seconds that a call may take, unless the request says otherwise.
    """

    def __init__(self, llm: LLM, *, extra: Mapping[str, Any] | None = None, timeout_s: float = 60.0) -> None:
        super().__init__(f"llama-index/{llm.metadata.model_name}", self._ask, timeout_s=timeout_s)
        self._llm = llm
        self._extra = dict(extra or {})

    def _ask(self, system: str, user: str, request: ChatRequest) -> tuple[str, int | None, int | None]:
        told = ((self._llm.metadata.system_role, system), (MessageRole.USER, user))
        response = self._llm.chat([ChatMessage(role=role, content=text) for role, text in told if text], **self._extra)
        sent, received = (response.additional_kwargs.get(name) for name in ("prompt_tokens", "completion_tokens"))
        return response.message.content or "", sent if isinstance(sent, int) else None, received if isinstance(received, int) else None


class LlamaIndexEmbedder(FrameworkEmbedder):
    """Any embedding model of LlamaIndex as tierkeep's embedder; questions are embedded as the model wants questions.

    Args:
        embed_model: The model. It is asked once here, for the length of its vectors.
        name: Which model it is, where its `model_name` does not say: vectors of different names never mix.

    Raises:
        ModelError: The model failed.
    """

    def __init__(self, embed_model: BaseEmbedding, *, name: str = "") -> None:
        label = f"llama-index/{embed_model.class_name()}/{name or embed_model.model_name}"
        super().__init__(label, embed_model.get_text_embedding_batch, lambda texts: [embed_model.get_query_embedding(one) for one in texts])
