"""Models of an agent framework as ours: what each has to see to, whosever it is. Integrations only say how theirs is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError, ModelReplyError
from tierkeep.models.embedding_rows import BLANK, texts_of, unit_rows
from tierkeep.models.structured import read_object, validator_of
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.tokens import EstimateCounter

_T = TypeVar("_T")
#: What a model may refuse, with the words that its refusals have.
_REFUSALS = {
    "response_format": ("response_format", "response format", "structured", "json_schema", "json schema", "grammar"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_new_tokens"),
}
_SHAPE = "Reply with one JSON object and nothing else. It must fit this JSON schema:\n"


def outcome(call: Callable[[], _T], label: str, timeout_s: float | None = None) -> _T:
    """Return what a call to somebody else's client gives. Past the limit it is not waited for, and goes on, because nothing can end it.

    Args:
        call: Somebody else's function, which may raise anything.
        label: What the model is called in an error.
        timeout_s: Seconds after which it is no longer waited for; None for ever.

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

    # A daemon: a client that hangs must not keep the interpreter from ending.
    Thread(target=settle, name="tierkeep-model", daemon=True).start()
    try:
        error = future.exception(timeout_s)
    except TimeoutError:
        raise ModelError(f"{label} took more than {timeout_s:g} seconds") from None
    if isinstance(error, ModelError):
        raise error
    if error is not None:
        raise ModelError(f"{label} failed: {type(error).__name__}: {error}") from error
    return future.result()


class Accepted:
    """Which options a model takes: one that it has refused is not sent to it again.

    Args:
        label: What the model is called in an error.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._refused: frozenset[str] = frozenset()

    def call(self, client: Callable[..., _T], options: Mapping[str, Any]) -> _T:
        """Return what the client gives, called with those of the options that it takes.

        Args:
            client: The call.
            options: Of response_format, temperature and max_tokens.

        Raises:
            ModelError: It failed, and not because of an option.
        """
        while True:
            sent = {name: value for name, value in options.items() if name not in self._refused}
            try:
                return outcome(partial(client, **sent), self._label)
            except ModelError as error:
                words = str(error).lower()
                refused = {name for name in sent if error.__cause__ and any(word in words for word in _REFUSALS.get(name, ()))}
                if not refused:
                    raise
                self._refused |= refused


def system_text(request: ChatRequest) -> str:
    """Return the system text of a request, with the schema of the reply when there is one.

    Raises:
        InputError: The request's schema is not a JSON schema.
    """
    if request.schema is None:
        return request.system
    validator_of(request.schema)
    return f"{request.system}\n\n{_SHAPE}{json.dumps(request.schema, ensure_ascii=False)}".lstrip()


def reply_data(text: str, request: ChatRequest, label: str) -> Mapping[str, Any] | None:
    """Return the object that a reply holds; None when none was asked for.

    Args:
        text: The reply.
        request: What was asked.
        label: What the model is called in an error.

    Raises:
        ModelReplyError: The reply does not fit the schema.
    """
    if request.schema is None:
        return None
    reading = read_object(text, request.schema)
    if reading.data is None:
        raise ModelReplyError(f"the reply of {label} {reading.problem}", reply=text)
    return reading.data


class FrameworkChat:
    """A chat model that a framework calls. An object is asked for in the prompt, and what comes back is checked against its schema.

    Args:
        name: What the trace calls it.
        reply: Asks the model: system text, user text and the request to (text, tokens sent, tokens received); None where it does not say.
        timeout_s: Seconds that a call may take, unless the request says otherwise.
    """

    def __init__(
        self, name: str, reply: Callable[[str, str, ChatRequest], tuple[str, int | None, int | None]], *, timeout_s: float = 60.0
    ) -> None:
        self.name = name
        self._reply = reply
        self._timeout_s = timeout_s

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; with a schema, `data` fits it.

        Raises:
            InputError: The request's schema is not a JSON schema.
            ModelReplyError: The reply does not fit the schema.
            ModelError: The model failed, or took too long.
        """
        system = system_text(request)
        seconds = self._timeout_s if request.timeout_s is None else request.timeout_s
        text, sent, received = outcome(lambda: self._reply(system, request.user, request), self.name, seconds)
        data = reply_data(text, request, self.name)
        count = EstimateCounter().count
        return ChatReply(
            text, data, count(system) + count(request.user) if sent is None else sent, count(text) if received is None else received
        )


class FrameworkEmbedder:
    """An embedder that a framework calls. Rows are normalised here, and a text without a character to read is embedded as "(no text)".

    Args:
        label: Kind and name of the model; with the length of its vectors its identity.
        texts: Embeds texts, one row each.
        queries: Embeds questions.

    Raises:
        ModelError: The model cannot say how long its vectors are.
    """

    def __init__(
        self, label: str, texts: Callable[[list[str]], Sequence[Sequence[float]]], queries: Callable[[list[str]], Sequence[Sequence[float]]]
    ) -> None:
        self._label = label
        self._texts = texts
        self._queries = queries
        self.dimension = int(unit_rows(outcome(lambda: texts([BLANK]), label), 1, label).shape[1])
        self.identity = f"{label}/{self.dimension}/unit"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of texts, shape (len(texts), dimension), in input order.

        Raises:
            InputError: Not a sequence of texts.
            ModelError: The model failed.
        """
        return self._rows(texts, self._texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of questions, to be compared with those of `embed`; shape and errors are those of `embed`."""
        return self._rows(texts, self._queries)

    def _rows(self, texts: Sequence[str], call: Callable[[list[str]], Sequence[Sequence[float]]]) -> NDArray[np.float32]:
        given = [text if text.strip() else BLANK for text in texts_of(texts)]
        if not given:
            return np.empty((0, self.dimension), dtype=np.float32)
        return unit_rows(outcome(lambda: call(given), self._label), len(given), self._label, self.dimension)
