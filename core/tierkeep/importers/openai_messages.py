"""OpenAI chat messages: the form in which applications keep, log and fine-tune on conversations.

Read are a JSON list of messages, an object or a list of objects with `messages`, and JSONL with one message or one
conversation a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from tierkeep.importers.json_values import moment, string, text_of
from tierkeep.importers.reader import ROLES, Found, Place, ReadOptions, Tally
from tierkeep.importers.source import ImportFile

_KEYS = re.compile(r'"(?:role|messages)"\s*:')
_AT = ("at", "timestamp", "created_at", "create_time", "created", "time", "date")
_SESSION = ("session", "session_id", "conversation_id", "thread_id", "chat_id")
_TOOL_NAME = 64  # characters; OpenAI allows no longer ones
_LINE_SUFFIXES = frozenset({".jsonl", ".ndjson"})


class OpenAIMessages:
    """Reads OpenAI chat messages, JSON or JSONL."""

    name = "openai"
    about = 'OpenAI chat messages: JSON or JSONL with {"role": …, "content": …} or {"messages": […]}'

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether the file begins as JSON and speaks of roles or messages."""
        return head.lstrip()[:1] in {"[", "{"} and _KEYS.search(head) is not None

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the messages in the order of the file; JSONL streams."""
        if not _is_line_by_line(source):
            yield from _document(source, source.json(), tally)
            return
        conversations = 0
        for line, text in source.lines():
            if not text.strip():
                continue
            value = source.parse_json(text, line)
            place = Place(line=line)
            if isinstance(value, Mapping) and "role" in value:
                yield _message(source, value, place, {}, tally)
                continue
            conversations += 1
            yield from _conversation(source, value, place, f"{source.stem} {conversations}", tally)


def _is_line_by_line(source: ImportFile) -> bool:
    """Return whether this is JSONL: by its suffix, or because its first line is an object and another line follows."""
    if source.path.suffix.lower() in _LINE_SUFFIXES:
        return True
    first = ""
    for _, text in source.lines():
        if not text.strip():
            continue
        if first:
            return True
        if not text.lstrip().startswith("{"):
            return False
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        first = text
    return False


def _document(source: ImportFile, value: Any, tally: Tally) -> Iterator[Found]:
    if isinstance(value, Mapping) and "role" in value:
        value = [value]
    holds_messages = isinstance(value, list) and any(isinstance(v, Mapping) and "role" in v for v in value)
    if isinstance(value, Mapping) or holds_messages:
        yield from _conversation(source, value, Place(), source.stem, tally)
        return
    if not isinstance(value, list):
        source.broken("a list of messages, or an object with messages, is needed")
    for number, item in enumerate(value, start=1):
        yield from _conversation(source, item, Place(item=f"conversation {number}"), f"{source.stem} {number}", tally)


def _conversation(source: ImportFile, value: Any, place: Place, session: str, tally: Tally) -> Iterator[Found]:
    whole: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    messages = whole.get("messages") if whole else value
    if not isinstance(messages, list):
        what = 'this is neither a message with a "role" nor a conversation with "messages"'
        source.broken(f"{place.item}: {what}" if place.item else what, line=place.line)
    defaults = {"session": string(whole, *_SESSION, "id") or session, "at": moment(whole, *_AT)}
    for index, message in enumerate(messages, start=1):
        item = f"{place.item}, message {index}" if place.item else f"message {index}"
        yield _message(source, message, Place(place.line, item), defaults, tally)


def _message(source: ImportFile, value: Any, place: Place, defaults: Mapping[str, Any], tally: Tally) -> Found:
    def fail(what: str) -> NoReturn:
        source.broken(f"{place.item}: {what}" if place.item else what, line=place.line)

    if not isinstance(value, Mapping):
        fail("a message must be an object")
    role = ROLES.get(string(value, "role").lower())
    if role is None:
        fail(
            f"unknown role {string(value, 'role')[:40]!r}; known are user, assistant, system, developer, tool, function"
        )
    text = text_of(value.get("content"), tally)
    if text is None:
        fail("content must be text or a list of parts")
    meta = {"tool_call_id": string(value, "tool_call_id")} if string(value, "tool_call_id") else {}
    return Found(
        session=string(value, *_SESSION) or str(defaults.get("session", "")),
        role=role,
        text=text,
        place=place,
        speaker=string(value, "name", "speaker"),
        at=moment(value, *_AT) or defaults.get("at"),
        own_id=string(value, "id"),
        tool_calls=tuple(_calls(value)),
        meta=meta,
    )


def _calls(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the calls of an assistant's message, in the new form and in the older one with a single function."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else [{"function": message.get("function_call")}]:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not string(function, "name").strip():
            continue
        arguments = function.get("arguments", "")
        yield {
            "name": " ".join(string(function, "name").split())[:_TOOL_NAME],
            "arguments": arguments if isinstance(arguments, str | Mapping) else json.dumps(arguments),
        }
