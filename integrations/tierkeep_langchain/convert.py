"""LangChain's messages as tierkeep's, and back; the ids under which they are kept; what a model is shown of the memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from tierkeep import Evidence, Message
from tierkeep.records import Event, Role
from tierkeep.turns import GUIDANCE, in_front

__all__ = ["Named", "as_langchain", "as_message", "event_id", "fronted", "guided", "named", "source_of", "wholly_text"]


class Named(NamedTuple):
    """A message of a thread, the id of its event ("" when it has none of its own), and the tool whose result it is ("" otherwise)."""

    message: BaseMessage
    id: str
    tool: str = ""


def event_id(session: str | None, *ids: str) -> str:
    """Return the id of the event that a message is kept as: the same in every process.

    Args:
        session: The conversation, such as the thread's id.
        *ids: The message's id; for a tool's result that of the calling message, and the call's.
    """
    return "lc-" + hashlib.sha256(json.dumps([session, *ids]).encode()).hexdigest()[:24]


def named(messages: Sequence[BaseMessage], session: str | None) -> list[Named]:
    """Return a thread's messages with their ids. A tool's result goes by its call: it is kept before the thread gives it an id."""
    calls: dict[str, tuple[str, str]] = {}
    found = []
    for message in messages:
        if isinstance(message, ToolMessage):
            caller, tool = calls.get(message.tool_call_id, (message.id or "", message.name or ""))
            found.append(Named(message, event_id(session, caller, message.tool_call_id), tool))
            continue
        found.append(Named(message, event_id(session, message.id) if message.id else ""))
        if isinstance(message, AIMessage):
            calls.update({call["id"] or "": (message.id or "", call["name"]) for call in message.tool_calls})
    return found


def source_of(message: BaseMessage) -> str:
    """Return which part of the application wrote a message in somebody's name, such as "summarization"; "" for what was really said."""
    return str(message.additional_kwargs.get("lc_source") or "")


def wholly_text(message: BaseMessage) -> bool:
    """Return whether a message has nothing but text: nobody keeps what a picture or a file says to a model."""
    blocks = [message.content] if isinstance(message.content, str) else message.content
    return all(isinstance(block, str) or block.get("type") == "text" for block in blocks)


def as_message(one: Named) -> Message | None:
    """Return a message as it may be kept; None for what is nobody's word: prompts, summaries, errors of tools."""
    message = one.message
    kinds: dict[type[BaseMessage], Role] = {HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
    role = next((role for kind, role in kinds.items() if isinstance(message, kind)), None)
    if role is None or source_of(message) or (isinstance(message, ToolMessage) and message.status == "error"):
        return None
    return Message(text=str(message.text), role=role, speaker=one.tool or message.name or "", id=one.id or None)


def as_langchain(said: Message | Event) -> BaseMessage:
    """Return what was kept as LangChain has it."""
    if said.role == "tool":
        return ToolMessage(said.text, tool_call_id=str(said.meta.get("tool_call_id") or said.id or ""), name=said.speaker, id=said.id)
    kind: Any = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}[said.role]
    made: BaseMessage = kind(said.text, name=said.speaker if said.speaker not in ("", said.role) else None, id=said.id)
    return made


def fronted(message: Any, evidence: Evidence) -> Any:
    """Return the message with the evidence in front of it; pictures and other blocks stay as they are."""
    content = message.content
    front = in_front(evidence, content) if isinstance(content, str) else [{"type": "text", "text": in_front(evidence, "")}, *content]
    return message.model_copy(update={"content": front}) if evidence else message


def guided(system: SystemMessage | None) -> SystemMessage:
    """Return the system message with the guidance behind it; its blocks, and what they say of caching, stay as they are."""
    if system is None or not system.content:
        return SystemMessage(GUIDANCE)
    content = system.content
    behind = f"{content}\n\n{GUIDANCE}" if isinstance(content, str) else [*content, {"type": "text", "text": GUIDANCE}]
    return system.model_copy(update={"content": behind})
