"""Any smolagents `Model` as our `ChatModel`, so that one client, local or remote, serves the agent and its memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from smolagents import ChatMessage, MessageRole, Model

from tierkeep.errors import ModelReplyError, SettingsError
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.replies import Accepted, read_reply, system_of

__all__ = ["SmolagentsChat"]


class SmolagentsChat:
    """A chat model of smolagents.

    An object is asked for in the prompt and with `response_format`; what comes back is checked against the schema. What a model refuses
    of `response_format`, `temperature` and `max_tokens` is not sent to it again. Tokens are the model's own count, or estimated.

    Args:
        model: The model, such as `InferenceClientModel(…)`.

    Raises:
        SettingsError: It is no smolagents model.
    """

    def __init__(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise SettingsError(f"hand over a smolagents Model, such as InferenceClientModel(), not a {type(model).__name__}")
        self.name = f"smolagents/{model.model_id or type(model).__name__}"
        self._model = model
        self._accepted = Accepted()

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; with a schema, `data` fits it.

        Raises:
            InputError: The request's schema is not a JSON schema.
            ModelReplyError: The reply does not fit the schema, or was cut off at `max_tokens`.
            ModelError: The model failed or took too long.
        """
        told = [(MessageRole.SYSTEM, system_of(request)), (MessageRole.USER, request.user)]
        messages = [ChatMessage(role=role, content=[{"type": "text", "text": text}]) for role, text in told if text]
        sent: dict[str, Any] = {"temperature": request.temperature, "max_tokens": request.max_tokens}
        if request.schema is not None:
            sent["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": dict(request.schema)}}
        message = self._accepted.call(partial(self._model.generate, messages), sent, seconds=request.timeout_s, label=self.name)
        choices = getattr(getattr(message, "raw", None), "choices", None) or [None]
        if getattr(choices[0], "finish_reason", None) == "length":
            raise ModelReplyError(f"the reply of {self.name} was cut off at max_tokens={request.max_tokens}", reply=str(message.content))
        usage = getattr(message, "token_usage", None)
        counts = {"tokens_in": usage.input_tokens, "tokens_out": usage.output_tokens} if usage else {}
        return read_reply(getattr(message, "content", None), request, label=self.name, **counts)
