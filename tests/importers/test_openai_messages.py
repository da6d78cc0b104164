from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.errors import ImportFormatError, LimitError
from tierkeep.records import Source

from .support import load, spoken

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where is my bike?"},
    {"role": "assistant", "content": "In the cellar."},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(TALK)),
        ("a.json", json.dumps(TALK, indent=2)),
        ("a.json", json.dumps({"messages": TALK}, indent=1)),
        ("a.jsonl", "\n".join(map(json.dumps, TALK)) + "\n\n"),
        ("a.jsonl", json.dumps({"messages": TALK})),
        ("a.log", "\n".join(map(json.dumps, TALK))),
        ("a.json", json.dumps([{"messages": TALK}])),
        ("a.jsonl", json.dumps(TALK)),
    ],
)
def test_every_shape_gives_the_same_messages(name: str, text: str) -> None:
    assert spoken(name, text) == [
        ("system", "Be kind."),
        ("user", "Where is my bike?"),
        ("assistant", "In the cellar."),
    ]


def test_one_conversation_a_line_makes_one_session_a_line() -> None:
    text = "\n".join(json.dumps({"messages": TALK}) for _ in range(3))
    messages, tally = load("tune.jsonl", text)
    assert list(tally.sessions) == ["tune 1", "tune 2", "tune 3"]
    assert len({m.id for _, m in messages}) == 9


def test_parts_calls_and_tool_results() -> None:
    talk = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "x"}}, "there"],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "found"},
        {"role": "assistant", "content": None, "refusal": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "assistant", "content": ""},
    ]
    messages, tally = load("a.json", json.dumps(talk))
    found = [m for _, m in messages]
    assert [m.text for m in found] == ["Look:\nthere", "", "found", ""]
    assert found[1].tool_calls == ({"name": "find", "arguments": '{"q": 1}'},)
    assert found[3].tool_calls == ({"name": "old", "arguments": "{}"},)
    assert found[2].role == "tool"
    assert found[2].meta == {"tool_call_id": "c1"}
    assert found[2].origin is not None
    assert found[2].origin.source is Source.TOOL_UNTRUSTED
    assert tally.skipped == {"message parts that are not text": 1, "messages without text": 1}


def test_sessions_names_and_dates_of_the_file_are_kept() -> None:
    talk = [
        {"role": "user", "name": "ana", "content": "a", "session": "trip", "timestamp": 1767225600},
        {"role": "user", "content": "b", "conversation_id": "home", "created_at": "2026-05-02"},
        {"role": "assistant", "content": "c", "conversation_id": "home"},
        {"role": "user", "content": "d"},
    ]
    messages, tally = load("a.json", json.dumps(talk))
    assert [s for s, _ in messages] == ["trip", "home", "home", "a"]
    assert [m.at for _, m in messages] == [datetime(2026, 1, 1, tzinfo=UTC), date(2026, 5, 2), date(2026, 5, 2), None]
    assert messages[0].message.speaker == "ana"
    assert tally.undated == 1
    dated, _ = load("a.json", json.dumps(talk), at="2026-01-31")
    assert dated[-1].message.at == date(2026, 1, 31)


def test_user_messages_are_the_users_own_unless_somebody_else_is_named_or_made_the_file() -> None:
    talk = [{"role": "user", "name": "ana", "content": "a"}, {"role": "user", "name": "bo", "content": "b"}]

    def sources(**options: Any) -> list[Source]:
        return [m.origin.source for _, m in load("a.json", json.dumps(talk), **options)[0] if m.origin]

    assert sources() == [Source.USER_DIRECT, Source.USER_DIRECT]
    assert sources(me="Ana") == [Source.USER_DIRECT, Source.IMPORTED]
    assert sources(untrusted=True) == [Source.IMPORTED, Source.IMPORTED]
    with pytest.raises(ImportFormatError, match="ana, bo"):
        sources(me="cleo")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"role": "user", "content": ', "not valid JSON"),
        ('{"role": "pirate", "content": "x"}', "unknown role 'pirate'"),
        ('{"content": "x"}', "neither a message"),
        ("[1, 2]", "must be an object"),
        ('"text"', "neither a message"),
        ('{"role": "user", "content": {"a": 1}}', "content must be text"),
        ('{"role": "user", "content": "x", "at": "someday"}', "someday"),
        ('{"messages": 3}', "neither a message"),
    ],
)
def test_a_broken_line_is_named(line: str, says: str) -> None:
    text = '{"role": "user", "content": "fine"}\n\n' + line + "\n"
    with pytest.raises(ImportFormatError, match=says) as caught:
        load("a.jsonl", text)
    assert caught.value.line == 3
    assert "line 3" in str(caught.value)


def test_a_broken_message_of_a_document_is_named() -> None:
    with pytest.raises(ImportFormatError, match="message 2: unknown role"):
        load("a.json", json.dumps([{"role": "user", "content": "a"}, {"role": "x", "content": "b"}]))


@pytest.mark.parametrize(
    "text", ['{"messages": []}', '[{"role": "user", "content": ""}]', '[{"role": "user", "content": " "}]']
)
def test_a_file_without_anything_to_remember_is_an_error(text: str) -> None:
    with pytest.raises(ImportFormatError, match="no message"):
        load("a.json", text)


def test_unstorable_characters_are_replaced_and_counted() -> None:
    text = '[{"role": "user", "name": "a\\u0000\\nb", "content": "x\\ud800y\\u0000"}, {"role": "user", "content": "\\ud83d\\ude00"}]'
    messages, tally = load("a.json", text)
    assert messages[0].message.text == "x\ufffdy\ufffd"
    assert messages[0].message.speaker == "a\ufffd b"
    assert messages[1].message.text == "\U0001f600"
    assert tally.replaced == 3
    assert any("U+FFFD" in line for line in tally.lines())


def test_too_long_messages_are_refused_or_left_out() -> None:
    text = "\n".join(json.dumps({"role": "user", "content": "x" * n}) for n in (5, 50, 6))
    with pytest.raises(LimitError, match=r"line 2.*--skip-long"):
        load("a.jsonl", text, max_text=10)
    messages, tally = load("a.jsonl", text, max_text=10, skip_long=True)
    assert [len(m.text) for _, m in messages] == [5, 6]
    assert sum(tally.skipped.values()) == 1


# ---------------------------------------------------------------------------------------------------------------- ids


def test_long_ids_of_the_export_are_kept_and_short_ones_are_not() -> None:
    own = "chatcmpl-0123456789"
    talk = [{"role": "user", "content": "a", "id": own}, {"role": "user", "content": "b", "id": "1"}]
    messages, _ = load("a.json", json.dumps(talk))
    assert messages[0].message.id == own
    assert messages[1].message.id != "1"


def test_the_same_own_id_on_different_texts_loses_neither() -> None:
    own = "chatcmpl-0123456789"
    talk = [{"role": "user", "content": text, "id": own} for text in ("a", "b", "a")]
    ids = [m.id for _, m in load("a.json", json.dumps(talk))[0]]
    assert ids[0] == ids[2] == own
    assert ids[1] != own


def test_short_ids_of_two_files_do_not_collide() -> None:
    def ids(name: str) -> set[str | None]:
        talk = [{"role": "user", "content": f"{name} {n}", "id": n} for n in range(3)]
        return {m.id for _, m in load(f"{name}.json", json.dumps(talk))[0]}

    assert not ids("one") & ids("two")


_TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=8
)


@given(_TEXTS, _TEXTS)
def test_ids_are_stable_and_a_longer_export_keeps_them(texts: list[str], more: list[str]) -> None:
    def ids(contents: list[str]) -> list[str | None]:
        lines = (json.dumps({"role": "user", "content": text}) for text in contents)
        return [m.id for _, m in load("log.jsonl", "\n".join(lines))[0]]

    first = ids(texts)
    assert first == ids(texts)
    assert ids(texts + more)[: len(first)] == first
    assert len(set(ids(texts + more))) == len([t for t in texts + more if t.replace("\0", "x").strip()])


@given(st.text(max_size=80))
def test_any_text_survives_but_for_what_cannot_be_stored(text: str) -> None:
    data = json.dumps([{"role": "user", "content": "x" + text + "x"}])
    kept = load("a.json", data)[0][0].message.text
    assert len(kept) == len(text) + 2
    assert all(a == b or b == "\ufffd" for a, b in zip(text, kept[1:-1], strict=True))
    assert kept.encode()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "content", "messages", "tool_calls", "function", "name", "at", "id"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused_as_an_import_error(value: object) -> None:
    from tierkeep.importers import ImportFile, OpenAIMessages, ReadOptions, read

    source = ImportFile("any.json", data=json.dumps(value).encode())
    try:
        list(read(source, OpenAIMessages(), ReadOptions()))
    except ImportFormatError:
        return
