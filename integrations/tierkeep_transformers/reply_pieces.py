"""The pieces of a local model's reply, from the thread on which it runs to the one that reads; and the word that ends it early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Self

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from tierkeep.errors import ModelError
from tierkeep.models.framework import outcome
from tierkeep.protocols import ChatReply

__all__ = ["GeneratedReply", "Stop", "Teller"]


class Stop:
    """Ends a generation that nobody waits for any more: before the next call of the model, whether it reads a prompt or writes.

    A stopping criterion alone would be asked only after the whole prompt was read.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Say that nobody waits."""
        self._event.set()

    def check(self, *_: Any) -> None:
        """Raise when nobody waits; a forward pre-hook of the model.

        Raises:
            ModelError: It was stopped.
        """
        if self._event.is_set():
            raise ModelError("the reply was given up, because nobody waits for it")


class Teller(BaseStreamer):  # type: ignore[misc]
    """Tells text as tokens come, and holds back half a character.

    Args:
        tokenizer: Of transformers.
        tell: Is told each piece.
    """

    def __init__(self, tokenizer: Any, tell: Callable[[str], None]) -> None:
        self.text = ""
        self._tokenizer = tokenizer
        self._tell = tell
        self._ids: list[int] = []
        self._told = self._from = 0  # tokens that are told, and those from which on is decoded anew: a few, since blanks depend on them
        self._prompt = True

    def put(self, value: Tensor) -> None:
        """Take the prompt, which is passed over, and then each new token."""
        if self._prompt:
            self._prompt = False
            return
        self._ids.extend(value.flatten().tolist())
        self._flush(end=False)

    def end(self) -> None:
        """Tell what was held back."""
        self._flush(end=True)

    def _flush(self, *, end: bool) -> None:
        before, after = self._decoded(self._from, self._told), self._decoded(self._from, len(self._ids))
        if len(after) <= len(before) or (after.endswith("\ufffd") and not end):
            return
        piece = after[len(before) :]
        self._from, self._told = self._told, len(self._ids)
        self.text += piece
        self._tell(piece)

    def _decoded(self, start: int, stop: int) -> str:
        ids = self._ids[start:stop]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)) if ids else ""


class GeneratedReply(Iterator[str]):
    """The pieces of a reply as they come. The time limit runs from now, however slowly they are taken.

    Args:
        work: Generates, tells pieces, and returns the whole reply.
        label: What the model is called in an error.
        timeout_s: Seconds after which it is given up.

    Attributes:
        reply: The whole reply with its cost, once the last piece was taken; None before, and after a failure.
    """

    def __init__(self, work: Callable[[Stop, Callable[[str], None]], ChatReply], label: str, timeout_s: float | None) -> None:
        self.reply: ChatReply | None = None
        self._pieces: SimpleQueue[str | ChatReply | ModelError | None] = SimpleQueue()
        self._stop = Stop()
        self._over = False
        threading.Thread(
            target=_run, args=(work, label, timeout_s, self._stop, self._pieces), name="tierkeep-local-model", daemon=True
        ).start()

    def __next__(self) -> str:
        """Return the next piece.

        Raises:
            ModelReplyError: It was the last one, and the whole reply does not fit the schema or was cut off.
            ModelError: The model failed or took too long; the pieces so far are not a whole reply.
        """
        piece = None if self._over else self._pieces.get()
        if isinstance(piece, str):
            return piece
        self._over = True
        if isinstance(piece, ModelError):
            raise piece
        self.reply = self.reply or piece
        raise StopIteration

    def close(self) -> None:
        """Stop listening: the model ends with its next token. A second call does nothing."""
        self._over = True
        self._stop.set()
        self._pieces.put(None)  # for a reader on another thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._stop.set()


def _run(
    work: Callable[[Stop, Callable[[str], None]], ChatReply], label: str, timeout_s: float | None, stop: Stop,
    pieces: SimpleQueue[str | ChatReply | ModelError | None],
) -> None:  # fmt: skip
    try:
        pieces.put(outcome(lambda: work(stop, pieces.put), label, timeout_s))
    except ModelError as error:
        pieces.put(error)
    finally:
        stop.set()
