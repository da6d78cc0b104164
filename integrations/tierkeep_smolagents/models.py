"""Any smolagents `Model` as our `ChatModel`, so that one client, local or remote, serves the agent and its memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from smolagents import ChatMessage, MessageRole, Model

from tierkeep.errors import ModelReplyError, SettingsError
from tierkeep.models.framework import Accepted, FrameworkChat
from tierkeep.protocols import ChatRequest

__all__ = ["SmolagentsChat"]


class SmolagentsChat(FrameworkChat):
    """A chat model of smolagents.

    An object is asked for in the prompt and with `response_format`; what comes back is checked against the schema. What a model refuses
    of `response_format`, `temperature` and `max_tokens` is not sent to it again. Tokens are the model's own count, or estimated.

    Args:
        model: The model, such as `InferenceClientModel(…)`.
        timeout_s: Seconds that a call may take, unless the request says otherwise.

    Raises:
        SettingsError: It is no smolagents model.
    """

    def __init__(self, model: Model, *, timeout_s: float = 60.0) -> None:
        if not isinstance(model, Model):
            raise SettingsError(f"hand over a smolagents Model, such as InferenceClientModel(), not a {type(model).__name__}")
        super().__init__(f"smolagents/{model.model_id or type(model).__name__}", self._ask, timeout_s=timeout_s)
        self._model = model
        self._accepted = Accepted(self.name)

    def _ask(self, system: str, user: str, request: ChatRequest) -> tuple[str, int | None, int | None]:
        told = [(MessageRole.SYSTEM, system), (MessageRole.USER, user)]
        messages = [ChatMessage(role=role, content=[{"type": "text", "text": text}]) for role, text in told if text]
        sent: dict[str, Any] = {"temperature": request.temperature, "max_tokens": request.max_tokens}
        if request.schema is not None:
            sent["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": dict(request.schema)}}
        message = self._accepted.call(partial(self._model.generate, messages), sent)
        choices = getattr(getattr(message, "raw", None), "choices", None) or [None]
        if getattr(choices[0], "finish_reason", None) == "length":
            raise ModelReplyError(f"the reply of {self.name} was cut off at max_tokens={request.max_tokens}", reply=str(message.content))
        usage = getattr(message, "token_usage", None)
        sent_tokens, received = (usage.input_tokens or None, usage.output_tokens or None) if usage else (None, None)
        return _text(getattr(message, "content", None)), sent_tokens, received


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
