from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tierkeep.errors import ImportFormatError
from tierkeep.records import Source

from .support import load


def _node(id: str, parent: str | None, role: str = "", text: str = "", **message: Any) -> dict[str, Any]:
    body = {
        "id": f"message-{id}-0123456789",
        "author": {"role": role},
        "content": {"content_type": "text", "parts": [text]},
        **message,
    }
    return {"id": id, "parent": parent, "children": [], "message": body if role else None}


def _conversation(*nodes: dict[str, Any], current: str | None, **more: Any) -> str:
    mapping = {node["id"]: node for node in nodes}
    return json.dumps(
        [{"title": "Bikes", "create_time": 1767225600.0, "mapping": mapping, "current_node": current, **more}]
    )


TREE = (
    _node("root", None),
    _node("s", "root", "system", "rules"),
    _node("u1", "s", "user", "Which bike?", create_time=1767225700.0),
    _node("a1", "u1", "assistant", "The red one.", create_time=1767225800.0),
    _node("u2-old", "a1", "user", "a branch that was left"),
    _node("u2", "a1", "user", "And the lock?"),
    _node("a2", "u2", "assistant", "On the shelf."),
)


def test_chatgpt_follows_the_current_branch() -> None:
    messages, tally = load("conversations.json", _conversation(*TREE, current="a2", conversation_id="conv-1"))
    assert [(m.role, m.text) for _, m in messages] == [
        ("user", "Which bike?"),
        ("assistant", "The red one."),
        ("user", "And the lock?"),
        ("assistant", "On the shelf."),
    ]
    assert {s for s, _ in messages} == {"conv-1"}
    assert messages[0].message.id == "message-u1-0123456789"
    assert messages[0].message.at == datetime(2026, 1, 1, 0, 1, 40, tzinfo=UTC)
    assert messages[2].message.at == datetime(2026, 1, 1, tzinfo=UTC), "the conversation's date stands in"
    assert messages[0].message.meta == {"title": "Bikes"}
    assert messages[0].message.origin is not None
    assert messages[0].message.origin.source is Source.USER_DIRECT
    assert tally.skipped == {"hidden or system messages": 1}


def test_chatgpt_without_a_current_node_reads_the_last_leaf() -> None:
    messages, _ = load("conversations.json", _conversation(TREE[0], TREE[2] | {"parent": "root"}, current=None))
    assert [m.text for _, m in messages] == ["Which bike?"]


def test_chatgpt_leaves_out_what_the_person_did_not_see() -> None:
    hidden = _node("h", "root", "user", "hidden", metadata={"is_visually_hidden_from_conversation": True})
    call = _node("c", "h", "assistant", "search()", recipient="browser")
    thought = _node("t", "c", "assistant", "") | {}
    thought["message"]["content"] = {"content_type": "thoughts", "thoughts": []}
    picture = _node("p", "t", "user", "")
    picture["message"]["content"] = {"content_type": "multimodal_text", "parts": [{"asset_pointer": "x"}, "my cat"]}
    text = _conversation(_node("root", None), hidden, call, thought, picture, current="p")
    messages, tally = load("conversations.json", text)
    assert [m.text for _, m in messages] == ["my cat"]
    assert tally.skipped == {"hidden or system messages": 3, "message parts that are not text": 1}


@pytest.mark.parametrize(
    "text",
    [
        _conversation(_node("a", "b", "user", "x"), _node("b", "a", "user", "y"), current="a"),
        _conversation(_node("a", "gone", "user", "x"), current="a"),
        _conversation(_node("a", None, "user", "x"), current="gone"),
    ],
    ids=["cycle", "missing parent", "missing current node"],
)
def test_a_broken_tree_is_an_import_error(text: str) -> None:
    with pytest.raises(ImportFormatError, match="conversation 1: the tree"):
        load("conversations.json", text)


def test_a_conversation_without_messages_to_keep_is_an_import_error() -> None:
    with pytest.raises(ImportFormatError, match="1 hidden or system"):
        load("conversations.json", _conversation(*TREE[:2], current="s"))
    with pytest.raises(ImportFormatError, match="conversation 2 has no mapping"):
        load("conversations.json", '[{"mapping": {}}, {"title": "x"}]')


CLAUDE = [
    {
        "uuid": "11111111-2222-3333-4444-555555555555",
        "name": "Garden",
        "created_at": "2026-05-02T10:00:00Z",
        "chat_messages": [
            {
                "uuid": "aaaaaaaa-0000-0000-0000-000000000001",
                "sender": "human",
                "text": "Roses?",
                "created_at": "2026-05-02T10:01:00.5Z",
            },
            {
                "sender": "assistant",
                "text": "",
                "content": [{"type": "text", "text": "In March."}, {"type": "tool_use"}],
            },
        ],
    }
]


def test_claude_export() -> None:
    messages, tally = load("conversations.json", json.dumps(CLAUDE))
    assert [(m.role, m.text) for _, m in messages] == [("user", "Roses?"), ("assistant", "In March.")]
    assert messages[0].session == CLAUDE[0]["uuid"]
    assert messages[0].message.id == "aaaaaaaa-0000-0000-0000-000000000001"
    assert messages[0].message.at == datetime(2026, 5, 2, 10, 1, 0, 500000, tzinfo=UTC)
    assert messages[1].message.at == datetime(2026, 5, 2, 10, tzinfo=UTC)
    assert tally.skipped == {"message parts that are not text": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sender": "parrot", "text": "x"}, "conversation 1, message 1: the sender"),
        ("text", "conversation 1, message 1 is not an object"),
        ({"sender": "human", "text": "x", "created_at": "the day after"}, "message 1: .*the day after"),
    ],
)
def test_a_broken_claude_message_is_named(change: object, says: str) -> None:
    with pytest.raises(ImportFormatError, match=says):
        load("conversations.json", json.dumps([{"chat_messages": [change]}]))
