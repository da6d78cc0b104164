"""What is too large is refused before it costs anything; a long text from outside comes in parts; nobody floods a memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import Memory
from tierkeep.bounds import excess, portions, weight
from tierkeep.errors import InputError, LimitError, RateLimited, WriteRejected
from tierkeep.guard.chain import DefaultGuard
from tierkeep.guard.rate import RateCheck
from tierkeep.intake import PART
from tierkeep.records import Authority, EventDraft, Origin, Scope, Source
from tierkeep.settings import GuardSettings, Limits, Settings
from tierkeep.testing.clock import FixedClock

SCOPE = Scope(user="ana")


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


HOSTILE_META = {
    "very many keys": lambda: dict.fromkeys(map(str, range(200_000)), 1), "deep": lambda: deep(100_000), "cyclic": cyclic,
    "a long list": lambda: {"a": [0] * 500_000}, "a long text": lambda: {"a": "x" * 64_000_000},
    "many small lists": lambda: {"a": [[]] * 100_000}, "lists in lists": lambda: {"a": [[[[[[[[[1]]]]]]]]]},
    "the same again": lambda: {"a": [{"b": 1}] * 70},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_META)
def test_hostile_meta_is_refused_without_a_copy(memory: Memory, name: str) -> None:
    meta = HOSTILE_META[name]()
    tracemalloc.start()
    try:
        with pytest.raises(LimitError):
            memory.scope(user="ana").add({"content": "hello", "meta": meta})
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    assert not list(memory.scope(user="ana").events())


@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_texts_up_to_the_limit_are_kept(memory: Memory, size: int) -> None:
    assert memory.scope(user="ana").add("x" * size).ids


@pytest.mark.parametrize("unit", ["x", "\u00e9", "ab " * 4, "\n"])
def test_sixty_four_megabytes_are_refused_without_a_copy(memory: Memory, unit: str) -> None:
    text = unit * (64_000_000 // len(unit.encode()))
    parts = [{"type": "text", "text": text[:1_000_000]}] * 64
    tracemalloc.start()
    try:
        for content in (text, parts):
            with pytest.raises((LimitError, InputError)):
                memory.scope(user="ana").add({"role": "tool", "content": content})
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("arguments", [deep(100_000), {"a": [0] * 1_100_000}])
def test_hostile_arguments_of_a_tool_call_are_refused(memory: Memory, arguments: Any) -> None:
    with pytest.raises(LimitError, match="arguments"):
        memory.scope(user="ana").add({"role": "assistant", "tool_calls": [{"name": "f", "arguments": arguments}]})


def test_an_endless_iterable_is_read_no_further_than_the_limit(clock: FixedClock) -> None:
    with Memory.open(":memory:", clock=clock, settings=Settings(limits=Limits(messages=5))) as memory, pytest.raises(LimitError):
        memory.scope(user="ana").add(iter(lambda: "again", None))  # type: ignore[arg-type]


def test_the_bounds_hold_past_the_intake() -> None:
    draft = outside(Origin.tool("t"))
    for change in ({"text": "x" * 1_000_001}, {"meta": deep(20)}, {"meta": dict.fromkeys(map(str, range(1_000)))}):
        with pytest.raises(WriteRejected) as caught:
            DefaultGuard().admit(draft.model_copy(update=change), SCOPE)
        assert caught.value.reasons[0] in ("text_too_long", "meta_too_large")


def test_ordinary_meta_passes(memory: Memory) -> None:
    meta = {"a": {"b": [1, 2, {"c": None}]}, **dict.fromkeys(map(str, range(50)), "x")}
    memory.scope(user="ana").add("hello", meta=meta)
    assert next(memory.scope(user="ana").events()).meta == meta


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.text(max_size=3), inner, max_size=4), max_leaves=20))
def test_excess_says_what_a_plain_walk_says(value: Any) -> None:
    def walk(inner: Any) -> tuple[int, int]:
        if isinstance(inner, dict):
            below = [walk(one) for one in inner.values()]
            return len(inner) + sum(keys for keys, _ in below), 1 + max((depth for _, depth in below), default=0)
        if isinstance(inner, list):
            below = [walk(one) for one in inner]
            return sum(keys for keys, _ in below), 1 + max((depth for _, depth in below), default=0)
        return 0, 0

    keys, depth = walk(value)
    assert (excess(value, keys=3, depth=100, chars=10**6) is not None) == (keys > 3)
    assert (excess(value, keys=100, depth=2, chars=10**6) is not None) == (depth > 2)


# ------------------------------------------------------------------------------------------------------------ in parts


@given(st.text(max_size=400), st.integers(4, 60))
def test_portions_lose_nothing_and_keep_the_size(text: str, most: int) -> None:
    pieces = portions(text, most)
    assert "".join(pieces) == text and all(piece and weight(piece) <= most for piece in pieces)


def test_a_long_page_is_kept_in_parts_that_end_where_paragraphs_do(memory: Memory) -> None:
    mine = memory.scope(user="ana")
    page = "\n\n".join(f"Paragraph {number}. " + "The harbour is quiet today. " * 20 for number in range(100))
    receipt = mine.add({"role": "tool", "name": "browser", "content": page, "id": "p"})
    events = list(mine.events())
    assert "".join(event.text for event in events) == page and len(events) > 3
    assert [event.meta[PART] for event in events] == [[n + 1, len(events)] for n in range(len(events))]
    assert events[0].id == "p" and all(event.text.startswith("Paragraph") for event in events)
    assert any("kept as" in note for note in receipt.notes)
    assert len(mine.add({"role": "tool", "name": "browser", "content": page, "id": "p"}).ids) == 0  # known, every part


def test_what_people_type_is_left_whole(memory: Memory) -> None:
    mine = memory.scope(user="ana")
    mine.add("The harbour is quiet. " * 2_000)
    assert len(list(mine.events())) == 1


def test_more_from_outside_than_one_write_may_hold_is_refused_whole(memory: Memory) -> None:
    mine = memory.scope(user="ana")
    with pytest.raises(LimitError, match="outside_records"):
        mine.add([{"role": "tool", "name": "t", "content": f"line {n}"} for n in range(257)])
    assert not list(mine.events())
    assert len(mine.add([{"role": "tool", "name": "t", "content": f"line {n}"} for n in range(256)]).ids) == 256


# ------------------------------------------------------------------------------------------------------------ how fast


def outside(origin: Origin) -> EventDraft:
    return EventDraft(session="s", role="tool", speaker="t", text="x", at="2026-05-20", ts=0.0, origin=origin, authority=Authority.DATA)


def test_a_flood_is_stopped_and_others_still_write(clock: FixedClock) -> None:
    check = RateCheck(GuardSettings(), clock)
    refused = 0
    for number in range(20_000):
        try:
            check.admit(outside(Origin.web(f"https://flood.example.org/{number}")), SCOPE)
        except RateLimited as error:
            refused += 1
            wait = error.retry_after_s
    assert refused == 20_000 - GuardSettings().rate_burst
    for other in (Origin.web("https://other.example.org/a"), Origin.tool("calendar"), Origin.imported("chat.txt"), Origin.user("ana")):
        assert check.admit(outside(other), SCOPE)
    assert check.admit(outside(Origin.web("https://flood.example.org/x")), Scope(user="bo"))
    clock.advance(wait)
    for _ in range(GuardSettings().outside_records):  # the largest write there is fits after the time that was named
        check.admit(outside(Origin.web("https://flood.example.org/x")), SCOPE)


def test_the_user_and_imports_have_no_rate(clock: FixedClock) -> None:
    check = RateCheck(GuardSettings(rate_burst=1), clock)
    for origin in (Origin.user("ana"), Origin.imported("a.txt"), Origin.agent(), Origin.tool("t", trusted=True)):
        assert all(check.admit(outside(origin), SCOPE) for _ in range(50))


def test_buckets_are_bounded_and_no_address_breaks_them(clock: FixedClock) -> None:
    check = RateCheck(GuardSettings(rate_origins=10), clock)
    for number in range(1_000):
        check.admit(outside(Origin(source=Source.WEB, uri=f"https://{number}.example.org")), SCOPE)
    check.admit(outside(Origin(source=Source.WEB, uri="http://[broken")), SCOPE)
    assert len(check._buckets) == 10


def test_a_refused_write_stores_nothing(clock: FixedClock) -> None:
    with Memory.open(":memory:", clock=clock, settings=Settings(guard=GuardSettings(rate_burst=3))) as memory:
        mine = memory.scope(user="ana")
        with pytest.raises(RateLimited):
            mine.add([{"role": "tool", "name": "t", "content": f"line {n}"} for n in range(5)])
        assert not list(mine.events())
        assert mine.add("my own words").ids
