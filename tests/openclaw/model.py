"""The scripted model behind the gateway: it looks for a cue in the last user message, and plays that cue's lines one after the other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tierkeep.testing.openai_server import Fault, Line, Request

#: A text, a tool call as its name and arguments, or a function that is called when the line is due and returns one of the two.
Cue = str | tuple[str, Mapping[str, Any]] | Callable[[], Any]
#: Begins what the gateway adds as messages of their own.
_INTERNAL = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"


def words(message: Mapping[str, Any]) -> str:
    """Return a message's text."""
    content = message.get("content")
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content or ())


def prompt(request: Request) -> str:
    """Return the last message of the user's, with what was put in front of it."""
    return words(_said(request.body["messages"])[-1])


def _said(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [message for message in messages if message["role"] == "user" and not words(message).startswith(_INTERNAL)]


class Script:
    """What the model says. `cues` maps words of a user message to the lines that answer it; everything else is understood."""

    def __init__(self) -> None:
        self.cues: dict[str, Sequence[Cue]] = {}
        self._numbers = itertools.count(1)

    def __call__(self, request: Request) -> Line:
        """Return the line that is due."""
        messages = request.body["messages"]
        asked = prompt(request)
        # Where the question stands after what is remembered, only the question counts: a memory may hold another cue.
        question = asked.rpartition("</memory-")[2]
        at = next(index for index in reversed(range(len(messages))) if messages[index] is _said(messages)[-1])
        done = sum(message["role"] == "tool" for message in messages[at:])
        for cue, lines in self.cues.items():
            if cue in question and done < len(lines):
                line = lines[done]
                line = line() if callable(line) else line
                return line if isinstance(line, str) else self._call(*line)
        return "Understood."

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Fault:
        """A whole answer in the form of a stream: a tool call, which the server itself does not know."""
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"index": 0, "id": f"call_{next(self._numbers)}", "type": "function", "function": function}
        return Fault(body=_stream([{"role": "assistant", "tool_calls": [call]}, {}]))


def _stream(deltas: Sequence[Mapping[str, Any]]) -> str:
    events = [
        {"id": "reply", "object": "chat.completion.chunk", "created": 0, "model": "scripted",
         "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"}]}
        for delta in deltas
    ]  # fmt: skip
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
