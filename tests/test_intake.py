"""What a caller hands over wrongly is an InputError that names the field; what was stored is told by its place in the input."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import Memory, Message
from tierkeep.errors import InputError, TierkeepError
from tierkeep.guard.chain import DefaultGuard
from tierkeep.records import EventDraft, Hit, Query, Scope
from tierkeep.scoped import ScopedMemory

HUGE = 10**400


@pytest.fixture
def mine(memory: Memory) -> ScopedMemory:
    return memory.scope(user="ana")


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


WRONG: list[tuple[str, Callable[[ScopedMemory], object]]] = [
    ("meta", lambda mine: mine.add("x", meta=5)),  # type: ignore[arg-type]
    ("meta", lambda mine: mine.add("x", meta={1: 2})),  # type: ignore[dict-item]
    ("meta", lambda mine: mine.add("x", meta={"a": {1, 2}})),
    ("meta", lambda mine: mine.add("x", meta=nested(100_000))),
    ("meta", lambda mine: mine.add({"text": "x", "meta": 5})),
    ("meta", lambda mine: mine.add({"text": "x", "meta": {1: 2}})),
    ("speaker", lambda mine: mine.add("x", speaker=5)),  # type: ignore[arg-type]
    ("speaker", lambda mine: mine.add({"text": "x", "name": 5})),
    ("session", lambda mine: mine.add("x", session=5)),  # type: ignore[arg-type]
    ("session", lambda mine: mine.add("x", session="")),
    ("session", lambda mine: mine.add(Message(text="x"), session=" ")),
    ("id", lambda mine: mine.add("x", id=5)),  # type: ignore[arg-type]
    ("role", lambda mine: mine.add("x", role=5)),  # type: ignore[arg-type]
    ("at", lambda mine: mine.add("x", at=HUGE)),
    ("at", lambda mine: mine.add("x", at=object())),  # type: ignore[arg-type]
    ("tool_calls", lambda mine: mine.add({"role": "assistant", "tool_calls": 5})),
    ("tool_calls", lambda mine: mine.add({"role": "assistant", "tool_calls": {"name": "f"}})),
    ("tool_calls", lambda mine: mine.add({"role": "assistant", "tool_calls": "abc"})),
    ("tool_calls", lambda mine: mine.add({"role": "assistant", "tool_calls": [{"name": "f", "arguments": nested(100_000)}]})),
    ("ids", lambda mine: mine.forget(ids=5)),  # type: ignore[arg-type]
    ("ids", lambda mine: mine.forget(ids=[5])),  # type: ignore[list-item]
    ("ids", lambda mine: mine.forget(ids=[["x"]])),  # type: ignore[list-item]
    ("ids", lambda mine: mine.forget(ids=[None])),  # type: ignore[list-item]
    ("session", lambda mine: mine.forget(session=5)),  # type: ignore[arg-type]
    ("budget", lambda mine: mine.recall("x", budget=-HUGE)),
    ("budget", lambda mine: mine.recall("x", budget=1.5)),  # type: ignore[arg-type]
    ("deadline_s", lambda mine: mine.recall("x", deadline_s=-HUGE)),
    ("deadline_s", lambda mine: mine.recall("x", deadline_s=float("nan"))),
    ("deadline_s", lambda mine: mine.ask("x", deadline_s="1")),  # type: ignore[arg-type]
    ("now", lambda mine: mine.recall("x", now=HUGE)),
]


@pytest.mark.parametrize(("field", "call"), WRONG)
def test_what_cannot_be_used_is_an_input_error_that_names_the_field(
    mine: ScopedMemory, field: str, call: Callable[[ScopedMemory], object]
) -> None:
    with pytest.raises(InputError) as caught:
        call(mine)
    assert (caught.value.field or "").startswith(field.removesuffix("s"))
    assert list(mine.events()) == []


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-HUGE, HUGE), st.floats(), st.text(max_size=5), st.binary(max_size=3)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from(["role", "content", "name", "at", "id", "origin", "tool_calls", "meta", "tool_call_id", "refusal", "x"])
OPTIONS = st.sampled_from(["role", "speaker", "at", "session", "origin", "id", "meta"])


@given(ANYTHING | st.dictionaries(KEYS, ANYTHING, max_size=4), st.dictionaries(OPTIONS, ANYTHING, max_size=3))
def test_whatever_is_handed_over_is_stored_or_refused_with_an_error_of_ours(what: Any, options: dict[str, Any]) -> None:
    with Memory.open(":memory:") as memory:
        mine = memory.scope(user="ana")
        try:
            receipt = mine.add(what, **options)
        except TierkeepError:
            assert list(mine.events()) == []
        else:
            assert {event.id for event in mine.events()} == set(receipt.ids)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_asked_for_is_answered_or_refused_with_an_error_of_ours(budget: Any, deadline_s: Any, ids: Any) -> None:
    with Memory.open(":memory:") as memory:
        mine = memory.scope(user="ana")
        for call in (lambda: mine.recall("Who?", budget=budget, deadline_s=deadline_s), lambda: mine.forget(ids=ids)):
            try:
                call()
            except TierkeepError:
                continue


@pytest.mark.parametrize("budget", [10**8, HUGE])
def test_a_budget_above_every_window_means_everything(mine: ScopedMemory, budget: int) -> None:
    mine.add(["Tea is green.", "Tea is black."], at="2026-05-02")
    assert len(mine.recall("tea", budget=budget).items) == 2


@pytest.mark.parametrize("deadline", [1e12, HUGE, float("inf")])
def test_a_deadline_beyond_all_time_is_none(mine: ScopedMemory, deadline: float) -> None:
    mine.add("Tea is green.", at="2026-05-02")
    evidence = mine.recall("tea", deadline_s=deadline)
    assert evidence and not evidence.partial


# ------------------------------------------------------------------------------------------------------------ receipts


def test_what_was_skipped_is_named_by_its_place_in_the_input(mine: ScopedMemory) -> None:
    known = mine.add("Old news.", id="m1", at="2026-05-02").ids[0]
    calls = [{"name": "f", "arguments": ""}, {"name": "g", "arguments": ""}]
    receipt = mine.add(
        [
            {"text": "  "},
            {"text": "Fresh.", "role": "assistant", "tool_calls": calls},
            {"text": "Old news.", "id": "m1"},
            {"text": ""},
        ],
        at="2026-05-02",
    )
    assert [(one.index, one.reason, one.id) for one in receipt.skipped] == [(0, "empty", ""), (2, "duplicate", known), (3, "empty", "")]
    assert len(receipt.ids) == 3


def test_a_receipt_names_every_session_it_wrote_to(mine: ScopedMemory) -> None:
    receipt = mine.add([{"text": "One.", "at": "2026-05-02"}, {"text": "Two.", "at": "2026-05-03"}, {"text": "Three.", "at": "2026-05-02"}])
    assert (receipt.session, receipt.sessions) == ("2026-05-02", ("2026-05-02", "2026-05-03"))
    assert [name for name, _ in mine.sessions()] == list(receipt.sessions)
    assert mine.add("Four.", session="talk").sessions == ("talk",)


# ------------------------------------------------------------------------------------------------------------- waiting


class Gate:
    """A guard that lets a write wait, so that it can be cancelled in the middle."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self._guard = DefaultGuard()

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        self.reached.set()
        self.open.wait(60)
        return self._guard.admit(draft, scope)

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        return self._guard.release(hits, query)


def test_cancelling_aadd_stops_the_waiting_and_not_the_write() -> None:
    gate = Gate()

    async def cancelled(mine: ScopedMemory) -> None:
        task = asyncio.create_task(mine.aadd("Kept all the same.", id="m1"))
        await asyncio.to_thread(gate.reached.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open.set()

    with Memory.open(":memory:", guard=gate) as memory:
        mine = memory.scope(user="ana")
        asyncio.run(cancelled(mine))  # the loop waits for its threads before it ends
        assert [event.text for event in mine.events()] == ["Kept all the same."]
        assert mine.add("Kept all the same.", id="m1").skipped[0].reason == "duplicate"
    assert "Cancelling" in (ScopedMemory.aadd.__doc__ or "")
