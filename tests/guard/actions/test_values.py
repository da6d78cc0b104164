"""Which values of a tool call somebody must stand behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.errors import InputError, LimitError
from tierkeep.guard.actions.values import MOST_VALUES, canonical, embedded, subject_of, values_of


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"to": "bo@example.org"}, [("to", "bo@example.org")]),
        ({"to": "Bo Lind <bo@example.org>"}, [("to", "bo@example.org")]),
        ({"to": "a@example.org; b@example.org"}, [("to[0]", "a@example.org"), ("to[1]", "b@example.org")]),
        ({"to": ["a@example.org", "b@example.org"]}, [("to[0]", "a@example.org"), ("to[1]", "b@example.org")]),
        ({"amount": 5000}, [("amount", "5000")]),
        ({"amount": 12.5}, [("amount", "12.5")]),
        ({"amount": 5000.0}, [("amount", "5000")]),
        ({"audit": False}, [("audit", "")]),
        ({"note": None, "memo": "  "}, []),
        ({"items": [{"account": "X-1"}]}, [("items[0].account", "X-1")]),
        ({"name": "Smith, John"}, [("name", "Smith, John")]),
    ],
)
def test_values(arguments: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert [(value.path, value.text) for value in values_of(arguments)] == expected


def test_a_free_wording_is_looked_at_for_what_it_brings_along() -> None:
    body = "Hello, on 2026-05-02 at 10:00 please see https://example.org/x?y=1, pay 5,000 to ACCT-7731 or tell bo@example.org."
    found = values_of({"body": body, "to": "ana@example.org"}, free=["body"])
    assert [(value.text, value.free) for value in found] == [
        ("https://example.org/x?y=1", True), ("ACCT-7731", True), ("bo@example.org", True), ("ana@example.org", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("keys are in ~/.ssh/id_rsa and /etc/passwd", ["~/.ssh/id_rsa", "/etc/passwd"]),
        (r"C:\Users\ana\notes.txt", [r"C:\Users\ana\notes.txt"]),
        ("transfer to DE89 3704 0044 0532 0130 00 today", ["DE89 3704 0044 0532 0130 00"]),
        ("call 01701234567", ["01701234567"]),
        ("visit evil.example.net, @mallory", ["evil.example.net", "@mallory"]),
        ("Thanks for the 3 apples, see you on Friday at 5, e.g. near the bridge", []),
    ],
)
def test_embedded(text: str, expected: list[str]) -> None:
    assert embedded(text) == expected


def test_a_key_of_a_nested_mapping_is_looked_at_too() -> None:
    assert ("headers.evil.example.net", "evil.example.net") in [
        (value.path, value.text) for value in values_of({"headers": {"evil.example.net": "x"}})
    ]


def test_canonical_form_does_not_depend_on_order_and_tells_calls_apart() -> None:
    assert canonical("pay", {"a": 1, "b": [1, "x"]}) == canonical("pay", {"b": [1, "x"], "a": 1})
    assert json.loads(canonical("pay", {"a": "é"})) == {"tool": "pay", "args": {"a": "é"}}
    assert len({subject_of(canonical(tool, args)) for tool, args in [("pay", {"a": 1}), ("pay", {"a": "1"}), ("pays", {"a": 1})]}) == 3


@pytest.mark.parametrize("arguments", [{"a": object()}, {"a": float("nan")}, ["a"], "a", {"a": {1, 2}}])
def test_what_is_no_call_is_refused(arguments: Any) -> None:
    with pytest.raises(InputError):
        canonical("pay", arguments)
    with pytest.raises(InputError, match="name"):
        canonical(" ", {})


def test_too_much_is_refused() -> None:
    deep: Any = "x"
    for _ in range(12):
        deep = [deep]
    with pytest.raises(LimitError, match="deep"):
        values_of({"a": deep})
    with pytest.raises(LimitError, match="256"):
        values_of({"a": list(range(MOST_VALUES + 1))})


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3), max_leaves=8), max_size=4))
def test_nothing_that_is_said_is_passed_over(arguments: dict[str, Any]) -> None:
    """Every leaf that is not empty gives a value, unless it is inside a list of addresses."""
    leaves = 0

    def count(value: Any) -> None:
        nonlocal leaves
        if isinstance(value, list):
            for inner in value:
                count(inner)
        elif value is not None and (not isinstance(value, str) or value.strip()):
            leaves += 1

    for value in arguments.values():
        count(value)
    assert len(values_of(arguments)) >= leaves
