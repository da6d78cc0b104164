"""LangChain's models as tierkeep's."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from tierkeep.errors import ModelReplyError, SettingsError
from tierkeep.models.framework import FrameworkChat, FrameworkEmbedder
from tierkeep.protocols import ChatRequest

__all__ = ["LangChainChat", "LangChainEmbedder"]


class LangChainChat(FrameworkChat):
    """Any chat model of LangChain as tierkeep's: `Memory.open(…, chat=LangChainChat(init_chat_model("…")))`.

    An object is asked for with `with_structured_output`, and by the prompt alone of a model that has none. Ceiling and temperature are the
    model's own. Tokens are its count (`usage_metadata`), or an estimate.

    Args:
        model: The model.
        structured: False to ask for objects by the prompt alone, for a server that refuses tools and schemas.
        timeout_s: Seconds that a call may take, unless the request says otherwise.

    Raises:
        SettingsError: It is no chat model of LangChain.
    """

    def __init__(self, model: BaseChatModel, *, structured: bool = True, timeout_s: float = 60.0) -> None:
        if not isinstance(model, BaseChatModel):
            raise SettingsError(f"hand over a chat model of LangChain, such as init_chat_model('…'), not a {type(model).__name__}")
        super().__init__(f"langchain/{_name(model)}", self._ask, timeout_s=timeout_s)
        self._model = model
        self._structured = structured

    def _ask(self, system: str, user: str, request: ChatRequest) -> tuple[str, int | None, int | None]:
        messages: list[BaseMessage] = [kind(text) for kind, text in ((SystemMessage, system), (HumanMessage, user)) if text]
        said: Any = None
        if request.schema is not None and self._structured:
            try:
                asking = self._model.with_structured_output({"title": "reply", **request.schema}, include_raw=True)
            except (NotImplementedError, ValueError):  # it has no tools, or none for such a schema
                self._structured = False
            else:
                said = asking.invoke(messages)
        raw: Any = said["raw"] if said else self._model.invoke(messages)
        text = json.dumps(said["parsed"], ensure_ascii=False) if said and said["parsed"] is not None else str(raw.text)
        ends = [str(raw.response_metadata.get(name)) for name in ("finish_reason", "stop_reason")]
        if {"length", "max_tokens", "MAX_TOKENS"}.intersection(ends):
            raise ModelReplyError(f"the reply of {self.name} was cut off: let the model say more", reply=text)
        usage = raw.usage_metadata or {}
        return text, usage.get("input_tokens"), usage.get("output_tokens")


class LangChainEmbedder(FrameworkEmbedder):
    """Any embeddings of LangChain as tierkeep's embedder; questions are embedded as the model wants questions.

    Args:
        embeddings: The embeddings. They are asked once here, for the length of a vector.
        identity: Which model it is, where its `model` does not say: vectors of different identities never mix.

    Raises:
        ModelError: The model failed.
    """

    def __init__(self, embeddings: Embeddings, identity: str | None = None) -> None:
        label = f"langchain/{type(embeddings).__name__}/{identity or _name(embeddings)}"
        super().__init__(label, embeddings.embed_documents, lambda texts: [embeddings.embed_query(text) for text in texts])


def _name(model: object) -> str:
    named = (getattr(model, name, None) for name in ("model_name", "model", "model_id"))
    return next((name for name in named if isinstance(name, str) and name), type(model).__name__)
