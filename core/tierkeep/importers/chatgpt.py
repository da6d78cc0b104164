"""The data export of ChatGPT: `conversations.json`, or the zip that holds it.

A conversation is a tree (`mapping`): every edit of a message opens a branch. What the person last saw is the path from
`current_node` up to the root, and that is what is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tierkeep.importers.json_values import moment, string, text_of
from tierkeep.importers.reader import ROLES, Found, Place, ReadOptions, Tally
from tierkeep.importers.source import ImportFile

_MAPPING = re.compile(r'"mapping"\s*:\s*\{')
_HIDDEN = "hidden or system messages"
#: Contents that the person saw as conversation; the others are settings, thoughts and errors of the product.
_SHOWN = frozenset({"text", "multimodal_text", "code", "execution_output", "tether_quote", ""})


class ChatGPTExport:
    """Reads ChatGPT's `conversations.json`."""

    name = "chatgpt"
    about = "ChatGPT's data export: conversations.json, or the .zip that holds it"

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether the file holds conversations with a `mapping`."""
        return head.lstrip()[:1] in {"[", "{"} and _MAPPING.search(head) is not None

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the current branch of every conversation, in the order of the file."""
        document = source.json()
        if isinstance(document, Mapping) and "mapping" not in document:
            document = document.get("conversations")
        conversations = [document] if isinstance(document, Mapping) else document
        if not isinstance(conversations, list):
            source.broken("a ChatGPT export is a list of conversations")
        for number, conversation in enumerate(conversations, start=1):
            place = Place(item=f"conversation {number}")
            if not isinstance(conversation, Mapping) or not isinstance(conversation.get("mapping"), Mapping):
                source.broken(f"{place.item} has no mapping of messages")
            yield from _conversation(source, conversation, place, tally)


def _conversation(source: ImportFile, conversation: Mapping[str, Any], place: Place, tally: Tally) -> Iterator[Found]:
    session = string(conversation, "conversation_id", "id") or f"{source.stem} {place.item}"
    title = string(conversation, "title")
    for message in _branch(source, conversation, place):
        author = message.get("author")
        author = author if isinstance(author, Mapping) else {}
        role = ROLES.get(string(author, "role").lower())
        if role in {None, "system"} or _is_hidden(message):
            tally.skipped[_HIDDEN] += 1
            continue
        content = message.get("content")
        content = content if isinstance(content, Mapping) else {}
        if string(content, "content_type") not in _SHOWN:
            tally.skipped[_HIDDEN] += 1
            continue
        text = text_of(content.get("parts", content.get("text")), tally)
        yield Found(
            session=session,
            role=role or "user",
            text=text or "",
            place=place,
            speaker=string(author, "name") if role == "tool" else "",
            at=moment(message, "create_time") or moment(conversation, "create_time"),
            own_id=string(message, "id"),
            meta={"title": title[:256]} if title else {},
        )


def _branch(source: ImportFile, conversation: Mapping[str, Any], place: Place) -> Iterator[Mapping[str, Any]]:
    """Yield the messages from the root to the current node."""
    mapping: Mapping[str, Any] = conversation["mapping"]
    node_id = string(conversation, "current_node") or _last_leaf(mapping)
    path: list[Mapping[str, Any]] = []
    visited: set[str] = set()
    while node_id:
        node = mapping.get(node_id)
        if not isinstance(node, Mapping) or node_id in visited:
            source.broken(f"{place.item}: the tree of messages is broken at node {node_id[:64]!r}")
        visited.add(node_id)
        message = node.get("message")
        if isinstance(message, Mapping):
            path.append(message)
        node_id = string(node, "parent")
    yield from reversed(path)


def _last_leaf(mapping: Mapping[str, Any]) -> str:
    """Return the last node without children, for exports that do not name the current one."""
    leaves = [key for key, node in mapping.items() if isinstance(node, Mapping) and not node.get("children")]
    return leaves[-1] if leaves else ""


def _is_hidden(message: Mapping[str, Any]) -> bool:
    metadata = message.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    recipient = string(message, "recipient")
    return bool(metadata.get("is_visually_hidden_from_conversation")) or recipient not in {"", "all"}
