"""Export and restore as a property: whatever a scope holds, nothing is lost and nothing changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierkeep.errors import ImportFormatError, InputError, StoreUnavailable
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Authority, Op, Origin, Scope, Source
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft, record, snapshot

ANA = Scope(user="ana")
BOB = Scope(tenant="t", user="bob", agent="a")

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
META = st.dictionaries(TEXT, JSON, max_size=3)
ORIGIN = st.builds(Origin, source=st.sampled_from(Source), principal=TEXT, channel=TEXT, uri=TEXT, trust_domain=TEXT)
EVENT = st.fixed_dictionaries(
    {
        "text": TEXT,
        "session": TEXT,
        "speaker": TEXT,
        "role": st.sampled_from(["user", "assistant", "system", "tool"]),
        "kind": st.sampled_from(["message", "tool_call", "tool_result"]),
        "at": st.sampled_from(["2026-05-02", "2026-05-02T10:00:00+01:00", "1999-12-31T23:59:59.123456+00:00"]),
        "ts": st.floats(allow_nan=False, allow_infinity=False),
        "origin": ORIGIN,
        "meta": META,
    }
)
RECORD = st.fixed_dictionaries(
    {
        "text": TEXT,
        "key": TEXT,
        "kind": TEXT,
        "attrs": META,
        "stats": st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
        "links": st.lists(st.tuples(TEXT, TEXT, st.floats(allow_nan=False, allow_infinity=False)), max_size=2),
        "status": st.sampled_from(["active", "quarantined"]),
        "observed_at": TEXT,
        "valid_from": st.none() | TEXT,
        "origin": ORIGIN,
        "authority": st.sampled_from([Authority.QUARANTINED, Authority.DATA, Authority.ADVISE]),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(EVENT, min_size=1, max_size=6),
    st.lists(st.tuples(RECORD, st.integers(0, 99)), max_size=4),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_restoring_an_export_gives_the_same_export(events: list[dict[str, Any]], records: list[Any], changes: list[int]) -> None:
    with SqliteLedger(":memory:", clock=FixedClock()) as ledger, SqliteLedger(":memory:", clock=FixedClock()) as other:
        with ledger.transaction(ANA) as tx:
            ids = [a.event.id for a in tx.append([draft(**event) for event in events])]
        authority = Authority.ADVISE
        for number, (fields, pick) in enumerate(records):
            source = ids[pick % len(ids)]
            found = ledger.view(ANA).get([source])
            authority = min(fields["authority"], found[0].authority if found else Authority.ADVISE)
            with ledger.transaction(ANA) as tx:
                tx.apply([Op(op="add", record=record(f"record {number}", source, **{**fields, "authority": authority}))])
            ids.append(f"record {number}")
        for change in changes:
            target = ids[change % len(ids)]
            with ledger.transaction(ANA) as tx:
                if tx.view.get([target]):
                    tx.apply([Op(op="update", target=target, patch={"sources": [ids[0]] if target != ids[0] else [], "valid_to": "x"})])
        exported = snapshot(ledger, ANA)
        rows = [json.loads(line) for line in exported.split("\n")]
        assert other.restore(BOB, rows)[0] == len(events)
        assert snapshot(other, BOB) == exported
        assert other.restore(BOB, rows) == (0, 0)
        assert snapshot(other, BOB) == exported
        assert ledger.verify().ok and other.verify().ok


def test_an_import_whose_authority_was_capped_keeps_its_records(ledger: SqliteLedger) -> None:
    """The front door rewrites what an unknown file claims; its history then ends in what was really stored."""
    with ledger.transaction(ANA) as tx:
        event = tx.append([draft("x")])[0].event
        tx.apply([Op(op="add", record=record("r", event.id))])
    rows = json.loads(json.dumps(list(ledger.export(ANA))))
    for row in rows:
        for kind in ("event", "record"):
            if kind in row:
                row[kind]["authority"] = 1
    assert ledger.restore(BOB, rows) == (1, 1)
    (found,) = ledger.view(BOB).records()
    assert found.authority == Authority.DATA
    last = ledger.history(BOB, "r")[-1]
    assert (last.op, last.after) == ("restore", found)
    assert ledger.verify().ok


def test_the_error_of_a_broken_file_says_the_row_and_not_what_it_holds(ledger: SqliteLedger) -> None:
    with ledger.transaction(ANA) as tx:
        tx.append([draft("one"), draft("two")])
    rows = json.loads(json.dumps(list(ledger.export(ANA))))
    rows[2]["event"]["role"] = "my secret"
    with pytest.raises(ImportFormatError) as caught:
        ledger.restore(BOB, rows)
    assert caught.value.line == 3 and "Row 3" in str(caught.value)
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None
    assert list(ledger.view(BOB).scan()) == []


def test_an_export_is_of_one_moment(ledger: SqliteLedger) -> None:
    with ledger.transaction(ANA) as tx:
        ids = [a.event.id for a in tx.append([draft(str(i)) for i in range(3)])]
    rows = ledger.export(ANA)
    next(rows)
    ledger.forget(ANA, ids[1:2])
    assert [row["event"]["id"] for row in rows] == ids


def test_a_large_export_notices_that_something_was_forgotten_meanwhile(ledger: SqliteLedger) -> None:
    with ledger.transaction(ANA) as tx:
        ids = [a.event.id for a in tx.append([draft(str(i) * 2_000_000) for i in range(3)])]
    rows = ledger.export(ANA)
    next(rows)
    ledger.forget(ANA, ids[1:2])
    with pytest.raises(StoreUnavailable, match="export it again"):
        list(rows)


def test_what_is_added_while_an_export_runs_is_not_in_it(ledger: SqliteLedger) -> None:
    with ledger.transaction(ANA) as tx:
        tx.append([draft("before")])
    rows = ledger.export(ANA)
    first = next(rows)
    with ledger.transaction(ANA) as tx:
        event = tx.append([draft("after")])[0].event
        tx.apply([Op(op="add", record=record("r", event.id))])
    rest = list(rows)
    assert first["events"] == 1 and [row["event"]["text"] for row in rest] == ["before"]
    assert ledger.restore(BOB, [first, *rest]) == (1, 0)


def test_values_too_deep_for_json_are_refused(ledger: SqliteLedger) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputError), ledger.transaction(ANA) as tx:
        tx.append([draft("x", meta={"deep": deep})])
    while deep:  # taken apart by hand: the interpreter's own way is recursive
        deep = deep[0]


@pytest.fixture
def ledger() -> Iterator[SqliteLedger]:
    with SqliteLedger(":memory:", clock=FixedClock()) as opened:
        yield opened
