"""Chat models and embedders behind any server that speaks OpenAI's protocol, remote or on this machine.

`openai` is imported with the first request. It logs request bodies at level DEBUG in some versions; whoever lowers the level of its
logger decides that conversations may stand in the log. Nothing is logged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError, ModelReplyError, SettingsError
from tierkeep.models.dialect import Dialect, content_text, first_choice, token_count
from tierkeep.models.endpoint import GRACE_S, Endpoint, Refusal, stream_errors, whole_text
from tierkeep.models.reply_stream import Piece, ReplyStream
from tierkeep.models.structured import read_object, validator_of
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.tokens import EstimateCounter

Structured: TypeAlias = Literal["auto", "json_schema", "json_object", "prompt"]

_OURS = {"model", "messages", "stream", "stream_options", "response_format"}
_BLANK = "(no text)"


class _Said(NamedTuple):
    """One choice of the server's reply, and the tokens it cost."""

    text: str
    tokens_in: int
    tokens_out: int


class OpenAIChat:
    """A chat model behind an OpenAI-compatible server.

    An object is asked for with `response_format: json_schema`. A server that refuses this, or replies with plain text, is asked with
    `json_object` and then by the prompt alone; what worked is remembered. So is a server that wants `max_completion_tokens` or
    takes no `temperature`. The system text stands first and is the same in every request, for the server's prompt cache.

    Tokens are the server's own count; where it gives none, they are estimated (`EstimateCounter`).

    Args:
        model: Name of the model, as the server knows it.
        base_url: Address up to and including `/v1`; None for OPENAI_BASE_URL, or OpenAI itself.
        api_key: Key; None for OPENAI_API_KEY, or for no key when `base_url` is given.
        timeout_s: Seconds that a call may take, retries included, unless the request says otherwise.
        retries: Further tries after a lost connection, 408, 409, 429 or 5xx; honours Retry-After.
        structured: How to ask for an object; anything but "auto" is kept to, whatever the server says.
        extra: Further fields of the request, such as `seed` or `reasoning_effort`; they win over ours.

    Raises:
        MissingExtraError: `openai` is not installed.
        SettingsError: There is no key for a server that needs one, or another argument cannot hold.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 2,
        structured: Structured = "auto",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if structured not in get_args(Structured):
            raise SettingsError(f"structured must be one of {', '.join(get_args(Structured))}, not {structured!r}")
        self.name = f"openai/{model}"
        self._model = model
        self._extra = _sendable(extra or {})
        self._endpoint = Endpoint(f"chat model {model!r}", base_url=base_url, api_key=api_key, timeout_s=timeout_s, retries=retries)
        self._dialect = Dialect("json_schema" if structured == "auto" else structured, fixed=structured != "auto")
        self._keeps_form = False

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; with a schema, `data` fits it.

        Raises:
            InputError: The request's schema is not a JSON schema.
            ModelReplyError: The reply does not fit the schema, or was cut off at `max_tokens`. It is not asked for again.
            ModelError: The model is down, refused, or took too long.
        """
        if request.schema is not None:
            validator_of(request.schema)
        return self._endpoint.run(lambda: self._complete(request), request.timeout_s)

    def stream(self, request: ChatRequest) -> ReplyStream:
        """Return an iterator over the pieces of a reply, as they come; it has the whole reply and its cost at the end.

        With a schema the pieces are those of the JSON text; whether it fits shows when it is whole, and then `data` is there. The time
        limit runs from now, however slowly the pieces are taken.

        Raises:
            InputError: The request's schema is not a JSON schema.
            ModelError: The client cannot be set up. What fails later is raised by the iterator.
        """
        if request.schema is not None:
            validator_of(request.schema)
        pieces: SimpleQueue[Piece] = SimpleQueue()
        future = self._endpoint.start(lambda: self._stream(request, pieces), request.timeout_s)
        # The callback runs however the work ends: done, failed, cut off or closed.
        future.add_done_callback(lambda done: pieces.put(Piece(future=done)))
        return ReplyStream(pieces, future, self._endpoint, self._endpoint.limit(request.timeout_s) + GRACE_S)

    def close(self) -> None:
        """End the connection and what is under way. A later call opens it again."""
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _complete(self, request: ChatRequest) -> ChatReply:
        tokens_in = tokens_out = 0
        while True:
            dialect, body = await self._agree(request, lambda client: client.chat.completions.with_raw_response.create)
            said = self._read(body, request)
            tokens_in += said.tokens_in
            tokens_out += said.tokens_out
            reply = self._fitting(said, request, dialect)
            if reply is not None:
                return reply._replace(tokens_in=tokens_in, tokens_out=tokens_out)

    def _fitting(self, said: _Said, request: ChatRequest, dialect: Dialect) -> ChatReply | None:
        """Return the reply when it fits, None when a looser dialect, which is now the one to speak, may do better."""
        if request.schema is None:
            return ChatReply(said.text, None, said.tokens_in, said.tokens_out)
        reading = read_object(said.text, request.schema)
        if reading.data is not None:
            self._keeps_form = True
            return ChatReply(said.text, reading.data, said.tokens_in, said.tokens_out)
        looser = dialect.looser() if reading.bare and self._unproven(dialect) else None
        if looser is None:
            raise ModelReplyError(f"the reply of {self._endpoint.label} {reading.problem}", reply=said.text)
        self._dialect = looser
        return None

    def _unproven(self, dialect: Dialect) -> bool:
        """Return whether plain text may mean that the server does not know the field for a schema, and says nothing."""
        return dialect.form == "json_schema" and not self._keeps_form

    async def _agree(self, request: ChatRequest, method: Callable[[Any], Any], *, stream: bool = False) -> tuple[Dialect, Any]:
        """Make the request in a dialect that the server takes; return it with what it replied."""
        first = dialect = self._dialect
        while True:
            body = dialect.body(self._model, request, self._extra, stream=stream)

            async def send(client: Any, body: dict[str, Any] = body) -> Any:
                return await method(client)(**body)

            reply = await (self._endpoint.attempt(send) if stream else self._endpoint.post(send))
            if not isinstance(reply, Refusal):
                if dialect is not first:
                    self._dialect = dialect
                return dialect, reply
            lower = dialect.without(reply.said)
            if lower is None:
                raise reply.error
            dialect = lower

    def _read(self, body: Mapping[str, Any], request: ChatRequest) -> _Said:
        choice = first_choice(body.get("choices"))
        message = choice.get("message")
        if not isinstance(message, Mapping):
            raise ModelError(f"{self._endpoint.label} replied without a message")
        text = content_text(message.get("content"))
        self._check_end(choice.get("finish_reason"), message.get("refusal"), text, request)
        return self._said(text, body.get("usage"), request)

    def _said(self, text: str, usage: Any, request: ChatRequest) -> _Said:
        usage = usage if isinstance(usage, Mapping) else {}
        count = EstimateCounter().count
        tokens_in, tokens_out = token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))
        return _Said(
            text,
            count(request.system) + count(request.user) if tokens_in is None else tokens_in,
            count(text) if tokens_out is None else tokens_out,
        )

    def _check_end(self, reason: Any, refusal: Any, text: str, request: ChatRequest) -> None:
        if refusal:
            raise ModelError(f"{self._endpoint.label} refused to answer")
        if reason == "content_filter":
            raise ModelError(f"the content filter of {self._endpoint.label} stopped the reply")
        if reason == "length":
            raise ModelReplyError(f"the reply of {self._endpoint.label} was cut off at max_tokens={request.max_tokens}", reply=text)

    async def _stream(self, request: ChatRequest, pieces: SimpleQueue[Piece]) -> ChatReply:
        tokens_in = tokens_out = 0
        while True:
            dialect, chunks = await self._agree(request, lambda client: client.chat.completions.create, stream=True)
            # Text that may have to be asked for again in another dialect is kept back until it has begun an object.
            held = request.schema is not None and self._unproven(dialect) and dialect.looser() is not None
            said = await self._listen(chunks, request, pieces, held=held)
            tokens_in += said.tokens_in
            tokens_out += said.tokens_out
            reply = self._fitting(said, request, dialect)
            if reply is not None:
                return reply._replace(tokens_in=tokens_in, tokens_out=tokens_out)
            if "{" in said.text:
                raise ModelReplyError(f"the reply of {self._endpoint.label} holds no JSON object", reply=said.text)

    async def _listen(self, chunks: Any, request: ChatRequest, pieces: SimpleQueue[Piece], *, held: bool) -> _Said:
        texts: list[str] = []
        usage = reason = refusal = None
        try:
            async with chunks:
                async for chunk in chunks:
                    shown = chunk.model_dump(warnings=False) if hasattr(chunk, "model_dump") else {}
                    usage = shown.get("usage") or usage
                    choice = first_choice(shown.get("choices"))
                    reason = choice.get("finish_reason") or reason
                    delta = choice.get("delta")
                    delta = delta if isinstance(delta, Mapping) else {}
                    refusal = refusal or delta.get("refusal")
                    if piece := content_text(delta.get("content")):
                        texts.append(piece)
                        if held and "{" in piece:
                            held, piece = False, "".join(texts)
                        if not held:
                            pieces.put(Piece(piece))
            broken = reason is None
        except stream_errors():
            broken = True
        if broken:
            raise ModelError(f"the reply of {self._endpoint.label} broke off")
        self._check_end(reason, refusal, "".join(texts), request)
        return self._said("".join(texts), usage, request)


class OpenAIEmbedder:
    """An embedder behind an OpenAI-compatible server. Rows are normalised here, whatever the server does.

    Servers refuse texts that are empty or too long. A text without a character to read is embedded as "(no text)", and of a text
    beyond `max_chars` the beginning is embedded.

    Args:
        model: Name of the model, as the server knows it.
        base_url: Address up to and including `/v1`; None for OPENAI_BASE_URL, or OpenAI itself.
        api_key: Key; None for OPENAI_API_KEY, or for no key when `base_url` is given.
        dimension: Length of a vector, asked of servers that can shorten theirs; None asks the server once, at first use.
        batch: Texts in one request.
        timeout_s: Seconds that one request may take, retries included.
        retries: Further tries after a lost connection, 408, 409, 429 or 5xx; honours Retry-After.
        max_chars: Characters of a text that are embedded; 8,000 stay below OpenAI's 8,191 tokens in any script we know.

    Raises:
        MissingExtraError: `openai` is not installed.
        SettingsError: There is no key for a server that needs one, or another argument cannot hold.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dimension: int | None = None,
        batch: int = 128,
        timeout_s: float = 60.0,
        retries: int = 2,
        max_chars: int = 8_000,
    ) -> None:
        if batch < 1 or max_chars < 1 or (dimension is not None and dimension < 1):
            raise SettingsError("dimension, batch and max_chars must be at least 1")
        self._model = model
        self._dimension = dimension
        self._asks_dimension = dimension is not None
        self._batch = batch
        self._max_chars = max_chars
        self._endpoint = Endpoint(f"embedder {model!r}", base_url=base_url, api_key=api_key, timeout_s=timeout_s, retries=retries)

    @property
    def dimension(self) -> int:
        """Length of a vector; asks the server when it was not given.

        Raises:
            ModelError: It has to be asked for, and the server failed.
        """
        if self._dimension is None:
            self._dimension = len(self._request([_BLANK])[0])
        return self._dimension

    @property
    def identity(self) -> str:
        """Model, dimension and normalisation; the server is left out, so that it may move."""
        return f"openai/{self._model}/{self.dimension}/unit"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension), in input order.

        Raises:
            ModelError: The server is down or replied with something that is not vectors of this dimension.
        """
        sent = [whole_text(text[: self._max_chars]) if text.strip() else _BLANK for text in texts]
        rows = np.empty((len(sent), self.dimension), dtype=np.float32)
        for start in range(0, len(sent), self._batch):
            found = self._request(sent[start : start + self._batch])
            if found.shape[1] != self.dimension:
                raise ModelError(f"{self._endpoint.label} gives vectors of length {found.shape[1]}, not {self.dimension}")
            rows[start : start + len(found)] = found
        return rows

    def close(self) -> None:
        """End the connection and what is under way. A later call opens it again."""
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, texts: list[str]) -> NDArray[np.float32]:
        body = self._endpoint.run(lambda: self._ask(texts), None)
        try:
            data = sorted(enumerate(body["data"]), key=lambda pair: pair[1].get("index", pair[0]))
            rows = np.array([one["embedding"] for _, one in data], dtype=np.float64)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            rows = np.empty(0)
        if rows.ndim != 2 or len(rows) != len(texts) or not rows.shape[1]:
            raise ModelError(f"{self._endpoint.label} did not reply with one vector for each of {len(texts)} texts")
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ModelError(f"{self._endpoint.label} replied with a vector that has no finite length above 0")
        return np.asarray(rows / lengths, dtype=np.float32)

    async def _ask(self, texts: list[str]) -> Mapping[str, Any]:
        while True:
            shorter = {"dimensions": self._dimension} if self._asks_dimension else {}

            async def send(client: Any, shorter: dict[str, Any] = shorter) -> Any:
                create = client.embeddings.with_raw_response.create
                return await create(model=self._model, input=texts, encoding_format="float", **shorter)

            reply = await self._endpoint.post(send)
            if not isinstance(reply, Refusal):
                return reply
            if not shorter or "dimension" not in reply.said:
                raise reply.error
            self._asks_dimension = False  # its only length may still be the one that is wanted


def _sendable(extra: Mapping[str, Any]) -> dict[str, Any]:
    if taken := sorted(_OURS & set(extra)):
        raise SettingsError(f"extra may not set {', '.join(taken)}: tierkeep does")
    try:
        json.dumps(dict(extra))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"extra must be JSON: {error}") from None
    return dict(extra)
