from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.cli.call import exit_code
from tierkeep.cli.output import clean, counted, one_line, to_json
from tierkeep.errors import (
    InputError,
    ModelError,
    NotFoundError,
    ScopeError,
    SettingsError,
    StoreUnavailable,
    TierkeepError,
    WriteRejected,
)

_ANY = st.text(st.characters(exclude_categories=[]), max_size=60)


@given(_ANY)
def test_clean_text_has_line_feeds_and_no_other_control(text: str) -> None:
    assert not [c for c in clean(text) if c != "\n" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]


@given(st.text("abc \u00e9\u4e2d\n", max_size=40))
def test_clean_leaves_honest_text_alone(text: str) -> None:
    assert clean(text) == text


@given(_ANY, st.integers(1, 30))
def test_one_line_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit).plain
    assert "\n" not in line
    assert len(line) <= limit + 2
    assert line.endswith("\u2026") or line == " ".join(clean(text).split())


@given(
    st.recursive(
        _ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(_ANY, inner), max_leaves=8
    )
)
def test_json_reads_back_as_it_was_and_drives_no_terminal(value: object) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("x"), 1),
        (InputError("x"), 2),
        (ScopeError("x"), 2),
        (SettingsError("x"), 2),
        (WriteRejected("x"), 2),
        (StoreUnavailable("x"), 3),
        (ModelError("x"), 3),
    ],
)
def test_exit_codes(error: TierkeepError, code: int) -> None:
    assert exit_code(error) == code


def test_counts_have_their_noun() -> None:
    assert [counted(1, "event"), counted(2, "event"), counted(0, "memory", "memories")] == [
        "1 event",
        "2 events",
        "0 memories",
    ]
