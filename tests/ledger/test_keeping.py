"""Quotas and lifetimes of one owner's memory, on a file and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory, Settings
from tierkeep.errors import QuotaExceeded, WriteRejected
from tierkeep.items import Items
from tierkeep.records import Origin
from tierkeep.settings import RetentionSettings
from tierkeep.testing.clock import FixedClock

WEB = Origin.web("https://tram.example")
_DAY_S = 86_400


@pytest.fixture(params=["file", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    if request.param == "postgres":
        address: str = request.getfixturevalue("postgres").fresh()
        return address
    return tmp_path / "store"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 6, 1, tzinfo=UTC))


@pytest.fixture
def opened(where: str | Path, clock: FixedClock) -> Iterator[Any]:
    made: list[Memory] = []

    def make(**retention: Any) -> Memory:
        made.append(Memory.open(where, clock=clock, settings=Settings(retention=RetentionSettings(**retention))))
        return made[-1]

    yield make
    for memory in made:
        assert memory.verify().ok
        memory.close()


def texts(memory: Memory, **owner: str) -> list[str]:
    return [event.text for event in memory.scope(**(owner or {"user": "ana"})).events()]


# -------------------------------------------------------------------------------------------------------------- quotas


def test_a_full_owner_is_refused_with_the_figures(opened: Any) -> None:
    memory = opened(max_events=3, max_chars=20)
    ana = memory.scope(user="ana")
    ana.add(["one", "two"])
    with pytest.raises(QuotaExceeded, match=r"\(user=ana\) would have 4 events, and 3 are allowed") as caught:
        ana.add(["three", "four"])
    assert (caught.value.what, caught.value.limit, caught.value.actual, caught.value.reasons) == ("events", 3, 4, ("quota_events",))
    assert isinstance(caught.value, WriteRejected)
    with pytest.raises(QuotaExceeded, match="max_chars") as caught:
        ana.add("x" * 15)
    assert (caught.value.what, caught.value.limit, caught.value.actual) == ("characters", 20, 21)
    assert texts(memory) == ["one", "two"]
    memory.scope(user="bo").add(["one", "two", "three"])  # each has their own
    kept = ana.add("three", id="given")
    assert ana.add("three", id="given").skipped[0].reason == "duplicate"  # what is there needs no room
    ana.forget(ids=kept.ids)
    ana.add("4")
    with pytest.raises(QuotaExceeded):
        Items(ana).put(("notes",), "a", {"t": 1})


def test_a_restore_counts_too(opened: Any) -> None:
    memory = opened(max_events=3)
    ana, bo = memory.scope(user="ana"), memory.scope(user="bo")
    ana.add(["one", "two", "three"])
    rows = list(ana.export())
    bo.add("mine")
    for trusted in (True, False):
        with pytest.raises(QuotaExceeded):
            bo.restore(rows, trusted=trusted)
    assert texts(memory, user="bo") == ["mine"]
    assert ana.restore(rows, trusted=True) == (0, 0)  # known rows need no room


def test_the_oldest_go_first_and_what_is_from_outside_before_all_else(opened: Any) -> None:
    memory = opened(max_events=4, when_full="oldest_first", slack=0)
    ana = memory.scope(user="ana")
    ana.add("I live in Lisbon.", speaker="Ana", at="2026-01-01")
    ana.add("page one", origin=WEB, at="2026-01-02")
    confirmed = ana.add("page two", origin=WEB, at="2026-01-03").ids[0]
    with memory._ledger.transaction(ana.scope) as transaction:
        transaction.elevate(confirmed)
    ana.add("My cat is Miso.", at="2026-01-04")
    ana.add("I work at Acme.", at="2026-01-05")
    assert texts(memory) == ["I live in Lisbon.", "page two", "My cat is Miso.", "I work at Acme."]
    ana.add("I like trams.", at="2026-01-06")
    assert texts(memory) == ["page two", "My cat is Miso.", "I work at Acme.", "I like trams."]
    assert ana.records(kind="profile", status="active") == [one for one in ana.records() if "Lisbon" not in one.text]
    with pytest.raises(QuotaExceeded):  # alone it is too much, so nothing goes for it
        ana.add([f"{n}" for n in range(5)])
    assert len(texts(memory)) == 4


def test_a_flood_from_outside_pushes_nothing_of_the_user_out(opened: Any) -> None:
    memory = opened(max_events=5, when_full="oldest_first", slack=0.2)
    ana = memory.scope(user="ana")
    own = [f"own {number}" for number in range(3)]
    ana.add(own)
    for number in range(20):
        ana.add(f"flood {number}", origin=WEB)
    assert texts(memory)[:3] == own and texts(memory)[-1] == "flood 19" and len(texts(memory)) <= 5
    ana.forget(ids=[event.id for event in ana.events() if event.text.startswith("flood")])
    ana.add(["own 3", "own 4"])
    with pytest.raises(QuotaExceeded):
        ana.add("flood again", origin=WEB)
    assert len(texts(memory)) == 5


def test_writers_at_once_never_pass_the_limit(opened: Any) -> None:
    memory = opened(max_events=10)
    refused: list[QuotaExceeded] = []

    def write(name: str) -> None:
        for number in range(5):
            try:
                memory.scope(user="ana").add(f"{name} {number}")
            except QuotaExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts(memory)) == 10 == memory.owners()[0].size.events and len(refused) == 10


# ----------------------------------------------------------------------------------------------------------- lifetimes


def test_what_has_expired_is_not_recalled_and_then_gone(opened: Any, clock: FixedClock) -> None:
    memory = opened(days=30, days_untrusted=7)
    ana = memory.scope(user="ana")
    ana.add("I live in Lisbon. The door code is quetzalcoatl.", speaker="Ana", at="2026-05-20")
    page = ana.add("The tram to the old harbour costs 3 euros.", origin=WEB, at="2026-05-28")
    confirmed = ana.add("The museum of the harbour opens at nine.", origin=WEB, at="2026-05-28").ids[0]
    with memory._ledger.transaction(ana.scope) as transaction:
        transaction.elevate(confirmed)
    Items(ana).put(("notes",), "a", {"text": "a note about the harbour"})
    assert "3 euros" in ana.recall("What does the tram cost?").text
    clock.advance(3 * _DAY_S - 1)
    assert "3 euros" in ana.recall("What does the tram cost?").text
    clock.advance(1)  # seven days after May 28, to the second
    assert not ana.recall("What does the tram cost?") and page.ids[0] in {event.id for event in ana.events()}
    assert ana.maintain().expired == 1 and page.ids[0] not in {event.id for event in ana.events()}
    assert "nine" in ana.recall("When does the museum of the harbour open?").text  # confirmed: its owner's own
    assert "Lisbon" in ana.ask("Where do I live?").text
    clock.advance(16 * _DAY_S)  # 2026-06-20: 31 days after what was said on May 20
    assert "quetzalcoatl" not in ana.recall("What is the door code?").text
    assert "Lisbon" not in ana.ask("Where do I live?").text
    assert Items(ana).get(("notes",), "a") is not None
    report = ana.maintain()
    assert report.expired == 1 and memory._ledger.sweep(["quetzalcoatl"]) == []
    clock.advance(30 * _DAY_S)
    assert Items(ana).get(("notes",), "a") is None and Items(ana).search() == [] and Items(ana).namespaces() == []
    assert ana.maintain().expired == 2 and texts(memory) == [] and memory.owners() == []


def test_expired_hits_do_not_crowd_out_the_rest(opened: Any, clock: FixedClock) -> None:
    memory = opened(days=30)
    ana = memory.scope(user="ana")
    ana.add([f"the boat lies in harbour {number}, the boat of the harbour" for number in range(400)], at="2026-01-01")
    ana.add("Somebody said the boat is red.", at="2026-05-30")
    assert [item.text for item in ana.recall("the boat of the harbour").items] == ["Somebody said the boat is red."]


def test_a_moment_of_the_caller_changes_no_lifetime(opened: Any) -> None:
    memory = opened(days=30)
    ana = memory.scope(user="ana")
    ana.add("The door code is 4711.", at="2026-01-01")
    assert not ana.recall("What is the door code?", now="2026-01-02")


def test_without_settings_nothing_expires_and_nothing_is_full(opened: Any, clock: FixedClock) -> None:
    memory = opened()
    ana = memory.scope(user="ana")
    ana.add("The door code is 4711.", at="1970-01-02")
    clock.advance(100_000 * _DAY_S)
    assert "4711" in ana.recall("What is the door code?").text and ana.maintain().expired == 0


@pytest.mark.parametrize("bad", [{"max_events": 0}, {"days": 0}, {"when_full": "newest"}, {"slack": 1}], ids=str)
def test_impossible_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        RetentionSettings(**bad)
