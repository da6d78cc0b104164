from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.errors import InputError
from tierkeep.models.structured import read_object
from tierkeep.testing.chat import SCHEMA

FITTING = st.fixed_dictionaries({"answer": st.text(st.characters(exclude_categories=["Cs"])), "needs_more": st.booleans()})


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    reading = read_object(text, SCHEMA)
    assert (reading.data is None) is bool(reading.problem)


@given(FITTING, st.text(st.characters(exclude_characters="{}")), st.text(st.characters(exclude_characters="{}")), st.booleans())
def test_the_one_object_amid_text_is_found(data: dict[str, object], before: str, after: str, fenced: bool) -> None:
    text = json.dumps(data)
    text = f"{before}\n```json\n{text}\n```\n{after}" if fenced else f"{before}{text}{after}"
    assert read_object(text, SCHEMA).data == data


@given(FITTING, st.data())
def test_a_part_of_an_object_is_not_taken_for_one(data: dict[str, object], drawn: st.DataObject) -> None:
    text = json.dumps(data)
    cut = drawn.draw(st.integers(0, len(text) - 1))
    assert read_object(text[:cut], {"type": "object"}) == (None, "holds no JSON object", True)


def test_other_objects_around_are_passed_over_up_to_a_limit() -> None:
    fits = '{"answer": "x", "needs_more": true}'
    assert read_object("{1} {} " * 50 + fits, SCHEMA).data == json.loads(fits)
    assert read_object("{} " * 500 + fits, SCHEMA) == (None, "does not fit the schema at required", False)


def test_only_an_object_that_was_not_there_is_bare() -> None:
    assert read_object("[1]", SCHEMA).bare
    assert not read_object("{}", SCHEMA).bare


@pytest.mark.parametrize("schema", [{"type": 7}, {"required": "answer"}])
def test_a_schema_that_is_none(schema: dict[str, object]) -> None:
    with pytest.raises(InputError, match="not a JSON schema"):
        read_object("{}", schema)
