"""Hermes' turns and tool schemas as tierkeep's, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tierkeep import Message, Origin
from tierkeep.records import Source
from tierkeep.toolbox import MemoryTool

#: Hermes' own tools that give back what was remembered or written down: keeping it would remember it once more.
_REPEATS = frozenset({"memory", "session_search", "todo", "clarify"})
#: Where the results of Hermes' tools come from; every other is an untrusted tool.
ORIGINS: Mapping[str, Origin] = {
    "web_search": Origin.web(),
    "web_extract": Origin.web(),
    "browser_navigate": Origin.web(),
    "browser_snapshot": Origin.web(),
    "delegate_task": Origin(source=Source.PEER_AGENT, principal="subagent", channel="tool"),
}
_TEXT: Mapping[str, Any] = {"type": "string"}
_TYPES: Mapping[str, Mapping[str, Any]] = {"ids": {"type": "array", "items": _TEXT}}


def schema(tool: MemoryTool) -> dict[str, Any]:
    """Return a tool's schema in the form that Hermes wraps."""
    properties = {name: {**_TYPES.get(name, _TEXT), "description": meaning} for name, meaning in tool.parameters.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def turn(user: str, assistant: str, session: str, messages: Sequence[Mapping[str, Any]] | None) -> list[Message]:
    """Return what a finished turn brought: the user's message as Hermes has cleaned it, the results of tools, and the answer.

    Only the results of tools are taken from `messages`: what else they hold was kept before, or is what a model was told.
    """
    messages = messages or []
    start = max((place for place, one in enumerate(messages) if one.get("role") == "user"), default=len(messages))
    said = [Message(text=user, role="user"), *_results(messages[start:]), Message(text=assistant, role="assistant")]
    if not messages:
        return said  # nothing tells this turn from another with the same words
    return [one.model_copy(update={"id": _id(session, start + place, one)}) for place, one in enumerate(said)]


def _results(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the results of tools. Which tool it was stands in the result, or in the call that it answers."""
    called: dict[str, str] = {}
    found = []
    for one in messages:
        for call in one.get("tool_calls") or ():
            if isinstance(call, Mapping):
                called[str(call.get("id", ""))] = str((call.get("function") or {}).get("name", ""))
        if one.get("role") == "tool":
            tool = str(one.get("tool_name") or one.get("name") or called.get(str(one.get("tool_call_id", "")), "")) or "tool"
            if tool not in _REPEATS:
                found.append(Message(text=_text(one.get("content")), role="tool", speaker=tool))
    return found


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str))


def _id(session: str, place: int, message: Message) -> str:
    """Return the id of a message: a turn that is handed over twice is stored once."""
    said = f"{session}\0{place}\0{message.role}\0{message.speaker}\0{message.text}"
    return "hermes-" + hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:26]
