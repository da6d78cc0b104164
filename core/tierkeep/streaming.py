"""A reply in pieces, and a result that tells how far it is: from a model's growing JSON to an iterator that an application reads.

What is shown must end up as what is returned. Pieces of a reply are a preview: a model may break off, lack something or be refused, and
then "discard" says that the preview does not count. At the end the `Narration` compares what it has told with the answer and tells the
rest, so that this holds for every model, answerer and validator, streaming or not.
"""

from __future__ import annotations

import contextvars
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from pydantic_core import from_json

from tierkeep import rendering
from tierkeep.allowance import Listener, Progress
from tierkeep.protocols import ChatModel, ChatReply, ChatRequest
from tierkeep.records import Answer

R = TypeVar("R")

#: Unread progress that is kept apart; beyond it, pieces of text are joined, so that a slow reader delays nobody.
_UNREAD = 64
#: Characters of a reply that are shown as they come, for each token it may have. Longer than any token on average, so only a server that
#: ignores the ceiling passes it; the growing reply is parsed anew with every piece, and this bounds it.
_CHARS_A_TOKEN = 16
#: What may follow a text and change how its end reads: nothing, a letter, a blank, the end of a word of our fence.
_TAILS = ("", "x", " x", "mem", "em", "m")
_OBJECT = re.compile(r'\{\s*"')


@runtime_checkable
class ReplyPieces(Protocol):
    """The pieces of a reply as they come.

    Attributes:
        reply: The whole reply, once the last piece was taken: its text is the pieces joined. None before, and after a failure.
    """

    reply: ChatReply | None

    def __iter__(self) -> Iterator[str]:
        """Return itself."""
        ...

    def __next__(self) -> str:
        """Return the next piece.

        Raises:
            ModelReplyError: It was the last one, and the whole reply does not fit the schema.
            ModelError: The model failed; the pieces so far are not a whole reply.
        """
        ...

    def close(self) -> None:
        """Stop listening. A second call does nothing."""
        ...


@runtime_checkable
class StreamingChatModel(ChatModel, Protocol):
    """A chat model that can also give its reply in pieces. A model without this answers in one piece; nothing else changes."""

    def stream(self, request: ChatRequest) -> ReplyPieces:
        """Return the pieces of the reply that `complete` would return.

        Raises:
            ModelError: The model is down, refused, or took too long; also while the pieces are taken.
        """
        ...


class GeneratedPieces(Iterator[str]):
    """The `ReplyPieces` of a generator that yields texts and returns the whole reply.

    Args:
        pieces: The generator.

    Attributes:
        reply: The whole reply, once the last piece was taken.
    """

    def __init__(self, pieces: Generator[str, None, ChatReply]) -> None:
        self.reply: ChatReply | None = None
        self._pieces = pieces

    def __next__(self) -> str:
        """Return the next piece; raises what the generator raises."""
        try:
            return next(self._pieces)
        except StopIteration as end:
            self.reply = self.reply or end.value
            raise StopIteration from None

    def close(self) -> None:
        """End the generator."""
        self._pieces.close()


# ------------------------------------------------------------------------------------------------- a growing reply


def shown(text: str) -> str:
    """Return a model's text as it may be shown: its lines, each without control characters and whatever looks like our fence."""
    return "\n".join(rendering.plain(line) for line in text.strip().splitlines())


class GrowingField:
    """One text field of a JSON object that is still being written.

    Args:
        name: The field, at the object's top.
        max_tokens: Ceiling on the reply; far beyond it nothing more is shown before the end.
    """

    def __init__(self, name: str, max_tokens: int) -> None:
        self._name = name
        self._limit = max_tokens * _CHARS_A_TOKEN
        self._text = ""
        self._told = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown since the last call: nothing that what follows could still change.

        Half an escape, half a character, a blank at the end and the beginning of what could become our fence wait for what follows.
        """
        if len(self._text) + len(piece) > self._limit:
            self._limit = 0
            return ""
        self._text += piece
        value = self._value()
        return self._beyond(_shared([shown(value + tail) for tail in _TAILS])) if value else ""

    def end(self, value: object) -> str | None:
        """Return what is left to show, given the field of the whole reply; None when what was shown is not how it begins."""
        whole = shown(value) if isinstance(value, str) else ""
        return self._beyond(whole) if whole.startswith(self._told) else None

    def _value(self) -> str:
        said = self._text.rpartition("</think>")[2]
        start = None if "<think>" in said else _OBJECT.search(said)
        if start is None:
            return ""
        try:
            found = from_json(said[start.start() :].encode("utf-8", "replace"), allow_partial="trailing-strings")
        except ValueError:  # no JSON, or text after the object: the whole reply will say what it is
            return ""
        value = found.get(self._name) if isinstance(found, dict) else None
        return value if isinstance(value, str) else ""

    def _beyond(self, text: str) -> str:
        if len(text) <= len(self._told) or not text.startswith(self._told):
            return ""
        new = text[len(self._told) :]
        self._told = text
        return new


def _shared(texts: Sequence[str]) -> str:
    """Return what all the texts begin with."""
    first, last = min(texts), max(texts)
    return first[: next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))]


def told_in_pieces(pieces: ReplyPieces, field: str, max_tokens: int, tell: Listener) -> ChatReply | None:
    """Take a reply in pieces and tell each new piece of one field's text; return the whole reply, None when the model gave none.

    Raises:
        ModelReplyError: The whole reply does not fit; what was told does not count.
        ModelError: The model failed; what was told does not count.
    """
    growing = GrowingField(field, max_tokens)
    try:
        for piece in pieces:
            if new := growing.feed(piece):
                tell(Progress("answer", new))
    finally:
        pieces.close()
    reply = pieces.reply
    value = reply.data.get(field) if reply is not None and isinstance(reply.data, Mapping) else None
    rest = growing.end(value)
    if rest is None:
        tell(Progress("discard"))
    elif rest:
        tell(Progress("answer", rest))
    return reply


# ------------------------------------------------------------------------------------------------ a told result


class _Left(BaseException):
    """Nobody reads any more. Not an Exception: no stage may take it for a failure of its own and go on."""


class Narration(Generic[R]):
    """What a piece of work tells while it is under way: unread progress, then the result or the error.

    `tell` is the listener of the work's allowance. It never waits for the reader: what is unread is folded together beyond a bound.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._unread: deque[Progress] = deque()
        self._said = ""
        self._left = False
        self._result: Future[R] = Future()

    def tell(self, progress: Progress) -> None:
        """Keep progress for the reader. A "discard" of nothing is nothing.

        Raises:
            BaseException: The reader has left; it ends the work.
        """
        with self._changed:
            if self._left:
                raise _Left
            if progress.what == "discard":
                if not self._said:
                    return
                self._said = ""
            elif progress.what == "answer":
                self._said += progress.text
            self._keep(progress)
            self._changed.notify_all()

    def _keep(self, progress: Progress) -> None:
        if len(self._unread) >= _UNREAD:
            if progress.what == "discard":
                # The reader may have seen the beginning of it, so the discard itself must stay.
                self._unread = deque(one for one in self._unread if one.what not in ("answer", "discard"))
            else:
                last = self._unread[-1]
                if last.what == progress.what:
                    self._unread.pop()
                    progress = progress._replace(text=last.text + progress.text)
        self._unread.append(progress)

    def work(self, work: Callable[[], R]) -> None:
        """Do the work on this thread; its result or its error waits for the reader."""
        try:
            result = work()
            if isinstance(result, Answer):
                self._settle(result.text)
        except BaseException as error:  # noqa: BLE001 - not swallowed: the reader gets it
            self._result.set_exception(error)
        else:
            self._result.set_result(result)
        with self._changed:
            self._changed.notify_all()

    def _settle(self, text: str) -> None:
        """Tell what is missing, so that what was said since the last discard is the answer's text."""
        if not text.startswith(self._said):
            self.tell(Progress("discard"))
        if rest := text[len(self._said) :]:
            self.tell(Progress("answer", rest))

    def take(self) -> Progress | Future[R] | None:
        """Wait for progress and return it; the finished result when there is no more, None when the reader has left."""
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self._left or self._result.done())
            if self._left:
                return None
            return self._unread.popleft() if self._unread else self._result

    def leave(self) -> None:
        """Stop reading: the work ends with the next thing it tells."""
        with self._changed:
            self._left = True
            self._unread.clear()
            self._changed.notify_all()


class Narrated(Iterator[Progress | R]):
    """Progress as it comes, then the result. The work begins with the first item, on a thread of its own.

    Args:
        narration: What the work tells to.
        work: What is done.
    """

    def __init__(self, narration: Narration[R], work: Callable[[], R]) -> None:
        self._narration = narration
        self._work = work
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._over = False

    def __next__(self) -> Progress | R:
        """Return the next item; raises what the work raises."""
        with self._lock:
            if self._over:
                raise StopIteration
            if self._thread is None:
                run = contextvars.copy_context().run
                # A daemon: a program that ends while somebody still holds this must not wait for a model.
                self._thread = threading.Thread(target=run, args=(self._narration.work, self._work), name="tierkeep-stream", daemon=True)
                self._thread.start()
        item = self._narration.take()
        if item is None:
            raise StopIteration
        if not isinstance(item, Future):
            return item
        self._over = True
        self._thread.join()
        return item.result()

    def close(self) -> None:
        """End the work at its next progress or its end, whichever is first, and wait for that. A second call does nothing."""
        self.leave()
        if self._thread is not None:
            self._thread.join()

    def leave(self) -> None:
        """Do the same as `close` without waiting: the work may go on for a while."""
        with self._lock:
            self._over = True
        self._narration.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self._narration.leave()
