"""What one server takes of OpenAI's protocol, how a request is written for it, and how its replies are read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tierkeep.models.endpoint import whole_text
from tierkeep.protocols import ChatRequest

_SHAPE = "Reply with one JSON object and nothing else. It must fit this JSON schema:\n"
_WEAKER = {"json_schema": "json_object", "json_object": "prompt"}
#: Servers word it differently; each of these stood in a refusal of `response_format`.
_FORMAT_WORDS = ("response_format", "response format", "json_schema", "json_object", "json schema", "json mode", "grammar", "structured")
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests to a server are written. Each step to a plainer dialect is one that cannot come back, so the steps end.

    Attributes:
        form: How an object is asked for: json_schema, json_object or prompt.
        fixed: Whether `form` is kept to, whatever the server says.
        ceiling: Name of the field with the ceiling on the reply's tokens.
        temperature: Whether the temperature is sent.
        usage: Whether a stream is asked to say what it cost.
    """

    form: str
    fixed: bool = False
    ceiling: str = "max_tokens"
    temperature: bool = True
    usage: bool = True

    def without(self, said: str) -> Dialect | None:
        """Return the dialect without the field that the server complains of, or None when it is none of those.

        Args:
            said: The server's refusal, lower case.
        """
        if "max_completion_tokens" in said and self.ceiling == "max_tokens":
            return replace(self, ceiling="max_completion_tokens")
        if "temperature" in said and self.temperature:
            return replace(self, temperature=False)
        if "stream_options" in said and self.usage:
            return replace(self, usage=False)
        return self.looser() if any(word in said for word in _FORMAT_WORDS) else None

    def looser(self) -> Dialect | None:
        """Return the dialect with the next weaker way of asking for an object, or None when there is none."""
        weaker = _WEAKER.get(self.form)
        return None if weaker is None or self.fixed else replace(self, form=weaker)

    def body(self, model: str, request: ChatRequest, extra: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the arguments of the client's `create`. The system text stands first and depends on the skill alone."""
        system, schema = request.system, request.schema
        body: dict[str, Any] = {"model": model, "extra_body": {self.ceiling: request.max_tokens, **extra}}
        if self.temperature:
            body["temperature"] = request.temperature
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}} if self.usage else {"stream": True}
        if schema is not None and self.form == "json_schema":
            described = {"name": _NOT_A_NAME.sub("_", request.skill)[:64] or "reply", "schema": schema, "strict": _strict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        elif schema is not None:
            system = f"{system}\n\n{_SHAPE}{json.dumps(schema, ensure_ascii=False)}".lstrip()
            if self.form == "json_object":
                body["response_format"] = {"type": "json_object"}
        told = [("system", system), ("user", request.user)]
        body["messages"] = [{"role": role, "content": whole_text(text)} for role, text in told if text]
        return body


def first_choice(choices: Any) -> Mapping[str, Any]:
    """Return the first choice of a reply or of a piece of one; empty when there is none."""
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}


def content_text(content: Any) -> str:
    """Return the text of a message; some servers send it in parts, and some send none."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def token_count(count: Any) -> int | None:
    """Return a count of tokens as the server gives it, or None when it is none."""
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _strict(schema: Any) -> bool:
    """Return whether a server can take the schema strictly: every object closed, and every property of it required."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        closed = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties or ())
        return (closed or (properties is None and schema.get("type") != "object")) and all(map(_strict, schema.values()))
    return all(map(_strict, schema)) if isinstance(schema, list | tuple) else True
