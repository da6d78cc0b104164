"""Rows of events: what is read back without being checked again is what checking would give, and damage is found all the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.errors import StoreCorrupt
from tierkeep.ledger.rows import event_from_row
from tierkeep.records import Authority, Event, EvidenceItem, Origin, Source

_OWNER = ("", "ana", "")
_GOOD: tuple[Any, ...] = (
    7, "s1", 0, "e1", "message", "user", "Ana", "Tea at five.", "2026-05-02", 1.5, '{"source":"user_direct"}', 2, '{"a":[1,{"b":null}]}',
)  # fmt: skip
_NAMES = "seq session position id kind role speaker text at ts origin authority meta".split()


def test_an_event_of_a_row_is_the_one_that_checking_gives() -> None:
    read = event_from_row(_OWNER, _GOOD)
    checked = Event(**{name: getattr(read, name) for name in Event.model_fields})
    assert read == checked
    assert hash(read.scope) == hash(checked.scope)
    assert read.model_dump_json() == checked.model_dump_json()
    assert repr(read) == repr(checked)
    assert read.model_fields_set == checked.model_fields_set
    assert type(read.authority) is Authority
    assert pickle.loads(pickle.dumps(read)) == copy.deepcopy(read) == read.model_copy() == read  # noqa: S301  made here
    assert read.model_copy(update={"text": "Coffee."}).text == "Coffee."
    assert read.text == "Tea at five."


@pytest.mark.parametrize(
    ("name", "value"),
    [("seq", None), ("session", b"\xff"), ("position", "x"), ("id", b"\xff"), ("kind", "massage"), ("role", "root"), ("speaker", None),
     ("text", None), ("text", 5), ("at", 3.5), ("ts", "noon"), ("origin", '{"source":"nobody"}'), ("origin", "{"), ("authority", 9),
     ("authority", "high"), ("meta", "[1]"), ("meta", "{")],
)  # fmt: skip
def test_a_row_that_was_not_written_so_is_damaged(name: str, value: Any) -> None:
    row = list(_GOOD)
    row[_NAMES.index(name)] = value
    with pytest.raises(StoreCorrupt):
        event_from_row(_OWNER, row)


def test_cited_events_are_what_checking_gives() -> None:
    with Memory.open(":memory:") as memory:
        ana = memory.scope(user="ana")
        ana.add("I had tea at five with Bo.", speaker="Ana")
        ana.add("Tea shops close at six.", origin=Origin.web("https://example.org"))
        items = ana.recall("Who had tea?").items
    assert {item.origin for item in items} == {Source.USER_DIRECT, Source.WEB}
    for item in items:
        checked = EvidenceItem(**{name: getattr(item, name) for name in EvidenceItem.model_fields})
        assert item == checked
        assert item.model_dump_json() == checked.model_dump_json()
