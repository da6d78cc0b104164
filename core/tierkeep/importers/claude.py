"""The data export of Claude.ai: `conversations.json` with `chat_messages`, or the zip that holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tierkeep.importers.json_values import moment, string, text_of
from tierkeep.importers.reader import ROLES, Found, Place, ReadOptions, Tally
from tierkeep.importers.source import ImportFile

_MESSAGES = re.compile(r'"chat_messages"\s*:\s*\[')


class ClaudeExport:
    """Reads Claude.ai's `conversations.json`."""

    name = "claude"
    about = "Claude.ai's data export: conversations.json, or the .zip that holds it"

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether the file holds conversations with `chat_messages`."""
        return head.lstrip()[:1] in {"[", "{"} and _MESSAGES.search(head) is not None

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the messages of every conversation, in the order of the file."""
        document = source.json()
        conversations = [document] if isinstance(document, Mapping) else document
        if not isinstance(conversations, list):
            source.broken("a Claude.ai export is a list of conversations")
        for number, conversation in enumerate(conversations, start=1):
            place = Place(item=f"conversation {number}")
            messages = conversation.get("chat_messages") if isinstance(conversation, Mapping) else None
            if not isinstance(messages, list):
                source.broken(f"{place.item} has no chat_messages")
            session = string(conversation, "uuid", "id") or f"{source.stem} {place.item}"
            title = string(conversation, "name")
            for index, message in enumerate(messages, start=1):
                where = Place(item=f"{place.item}, message {index}")
                if not isinstance(message, Mapping):
                    source.broken(f"{where.item} is not an object")
                role = ROLES.get(string(message, "sender").lower())
                if role is None:
                    source.broken(f"{where.item}: the sender must be human or assistant")
                text = string(message, "text") or text_of(message.get("content"), tally)
                yield Found(
                    session=session,
                    role=role,
                    text=text or "",
                    place=where,
                    at=moment(message, "created_at") or moment(conversation, "created_at"),
                    own_id=string(message, "uuid", "id"),
                    meta={"title": title[:256]} if title else {},
                )
