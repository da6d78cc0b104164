"""What a chat model of another library said, as a `ChatReply`: for integrations that make such a model ours.

Those libraries differ in how a reply is asked for; how it is read is the same everywhere and stands here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from tierkeep.errors import ModelError, ModelReplyError, TierkeepError
from tierkeep.models.structured import read_object, validator_of
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.tokens import EstimateCounter

__all__ = ["Accepted", "read_reply", "system_of", "within"]

_T = TypeVar("_T")
#: What a model may refuse, with the words that its refusals have.
_REFUSALS = {
    "response_format": ("response_format", "response format", "structured", "json_schema", "json schema", "grammar"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_new_tokens"),
}
_SHAPE = "Reply with one JSON object and nothing else. It must fit this JSON schema:\n"


def system_of(request: ChatRequest) -> str:
    """Return the system text of a request, with the shape of the reply where one is asked for.

    Raises:
        InputError: The request's schema is not a JSON schema.
        MissingExtraError: There is a schema, and `jsonschema` is not installed.
    """
    if request.schema is None:
        return request.system
    validator_of(request.schema)
    return f"{request.system}\n\n{_SHAPE}{json.dumps(request.schema, ensure_ascii=False)}".lstrip()


def read_reply(content: Any, request: ChatRequest, *, label: str, tokens_in: int | None = None, tokens_out: int | None = None) -> ChatReply:
    """Return the reply; with a schema, `data` fits it.

    Args:
        content: What the model said: a text, or a list of parts of which those with a text count.
        request: What was asked for.
        label: Names the model in errors.
        tokens_in: Tokens sent, as the model counted them; None or 0 are estimated.
        tokens_out: Tokens received, in the same way.

    Raises:
        ModelReplyError: The reply does not fit the schema.
    """
    text = _text(content)
    count = EstimateCounter().count
    sent = tokens_in or count(system_of(request)) + count(request.user)
    reply = ChatReply(text, None, sent, tokens_out or count(text))
    if request.schema is None:
        return reply
    reading = read_object(text, request.schema)
    if reading.data is None:
        raise ModelReplyError(f"the reply of {label} {reading.problem}", reply=text)
    return reply._replace(data=reading.data)


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return str(content) if isinstance(content, str) else ""


def within(seconds: float | None, call: Callable[[], _T], *, label: str) -> _T:
    """Return what a call to somebody else's client gives. Past the limit it is not waited for, and goes on, because nothing can end it.

    Args:
        seconds: The limit; None for none.
        call: The call.
        label: Names the model in errors.

    Raises:
        ModelError: It failed, or took too long.
    """
    future: Future[_T] = Future()
    context = copy_context()  # tracers of the other library keep theirs in it

    def settle() -> None:
        try:
            future.set_result(context.run(call))
        except Exception as error:  # noqa: BLE001 - it is raised again on the caller's thread
            future.set_exception(error)

    Thread(target=settle, name=label, daemon=True).start()
    try:
        return future.result(seconds)
    except TierkeepError:
        raise
    except Exception as error:
        if not future.done():
            raise ModelError(f"{label} did not answer within {seconds} s") from None
        raise ModelError(f"{label} failed: {type(error).__name__}: {error}") from error


class Accepted:
    """Which options a model takes: one that it has refused is not sent to it again."""

    def __init__(self) -> None:
        self._refused: frozenset[str] = frozenset()

    def call(self, client: Callable[..., _T], options: Mapping[str, Any], *, seconds: float | None, label: str) -> _T:
        """Return what the client gives (`within`), called with those of the options that it takes.

        Args:
            client: The call.
            options: Of response_format, temperature and max_tokens.
            seconds: The limit of each try; None for none.
            label: Names the model in errors.

        Raises:
            ModelError: It failed, or took too long.
        """
        while True:
            sent = {name: value for name, value in options.items() if name not in self._refused}
            try:
                return within(seconds, partial(client, **sent), label=label)
            except ModelError as error:
                words = str(error).lower()
                refused = {name for name in sent if error.__cause__ and any(word in words for word in _REFUSALS.get(name, ()))}
                if not refused:
                    raise
                self._refused |= refused
