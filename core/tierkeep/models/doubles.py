"""Public doubles for tests and examples: a chat model that follows a script, an embedder that hashes words.

They are ordinary implementations of the protocols and pass the shipped conformance suites. Neither is a model: answers are what the script
says, and vectors only know which words two texts share.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError, ModelReplyError
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.streaming import GeneratedPieces
from tierkeep.terms import analyze

Line: TypeAlias = str | Mapping[str, Any] | Exception
Script: TypeAlias = Sequence[Line] | Callable[[ChatRequest], Line]


class ScriptedChat:
    """A chat model that says what its script says, in order, and fails loudly when the script is over.

    Args:
        script: Replies in order, or a function of the request. A text is replied as it is, a mapping as JSON, and an exception is
            raised.
        name: What the trace calls it.

    Attributes:
        requests: Every request it was given, for a test to look at.
    """

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[ChatRequest] = []
        self._script = script
        self._lock = threading.Lock()

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return the script's next reply.

        Raises:
            ModelError: The script is over, or says so.
            ModelReplyError: A schema was asked for and the reply is not a JSON object with its required keys.
        """
        return _reply(self._next(request), request)

    def stream(self, request: ChatRequest) -> GeneratedPieces:
        """Return the script's next reply word by word; it fails as `complete` does, a reply that does not fit after its last word.

        Raises:
            ModelError: The script is over, or says so.
        """
        return GeneratedPieces(_word_by_word(self._next(request), request))

    def _next(self, request: ChatRequest) -> str:
        with self._lock:
            turn = len(self.requests)
            self.requests.append(request)
        if callable(self._script):
            line = self._script(request)
        elif turn < len(self._script):
            line = self._script[turn]
        else:
            raise ModelError(f"the script has {len(self._script)} replies and was asked for number {turn + 1} (skill {request.skill!r})")
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, str) else json.dumps(line)


def _reply(text: str, request: ChatRequest) -> ChatReply:
    data = None if request.schema is None else _fitting(text, request.schema)
    return ChatReply(text, data, tokens_in=_words(request.system) + _words(request.user), tokens_out=_words(text))


def _word_by_word(text: str, request: ChatRequest) -> Generator[str, None, ChatReply]:
    yield from re.findall(r"\s*\S+|\s+", text)
    return _reply(text, request)


def _fitting(text: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ModelReplyError(f"the reply is not JSON: {error}", reply=text) from error
    missing = [key for key in schema.get("required", ()) if not isinstance(data, dict) or key not in data]
    if not isinstance(data, dict) or missing:
        raise ModelReplyError(f"the reply lacks {', '.join(missing) or 'an object'}", reply=text)
    return data


def _words(text: str) -> int:
    return len(text.split())


class HashEmbedder:
    """Vectors from hashed words: deterministic, instant, and no substitute for a real encoder.

    Args:
        dimension: Length of a vector; words that fall on the same place add up.
    """

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension
        self.identity = f"hash-words/1/{dimension}/unit"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension). A text without words gets the first unit vector."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for term in analyze(text):
                place = zlib.crc32(term.encode("utf-8", "replace"))
                vectors[row, place % self.dimension] += 1.0 if place & 0x8000_0000 else -1.0
            if not vectors[row].any():
                vectors[row, 0] = 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32) if len(texts) else vectors
