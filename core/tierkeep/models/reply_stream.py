"""The pieces of a reply, from the thread that waits for a server to the thread that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import NamedTuple, Self

from tierkeep.errors import ModelError
from tierkeep.models.endpoint import Endpoint
from tierkeep.protocols import ChatReply


class Piece(NamedTuple):
    """A piece of a reply, or, at the end, the work's future."""

    text: str = ""
    future: Future[ChatReply] | None = None


class ReplyStream(Iterator[str]):
    """The pieces of a reply as they come.

    Attributes:
        reply: The whole reply with its cost, once the last piece was taken; None before, and after a failure.
    """

    def __init__(self, pieces: SimpleQueue[Piece], future: Future[ChatReply], endpoint: Endpoint, patience_s: float) -> None:
        self.reply: ChatReply | None = None
        self._pieces = pieces
        self._future = future
        self._endpoint = endpoint
        self._patience_s = patience_s
        self._over = False

    def __next__(self) -> str:
        """Return the next piece.

        Raises:
            ModelReplyError: It was the last one, and the whole reply does not fit the schema.
            ModelError: The server failed, took too long, or broke off; the pieces so far are not a whole reply.
        """
        if self._over:
            raise StopIteration
        try:
            piece = self._pieces.get(timeout=self._patience_s)
        except Empty:
            piece = Piece()
        if piece.text:
            return piece.text
        self._over = True
        if piece.future is None or piece.future.cancelled():
            raise ModelError(f"{self._endpoint.label} was closed in the middle of a reply")
        self.reply = piece.future.result()
        raise StopIteration

    def close(self) -> None:
        """Stop listening; the server is told by the closed connection."""
        self._over = True
        self._future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
