"""A clock that goes backwards by seconds or years, and ahead by years: order, lifetimes, limits and deadlines are as without it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory, Origin, Settings
from tierkeep.errors import ConfirmationError, RateLimited
from tierkeep.items import Items
from tierkeep.settings import GuardSettings, RetentionSettings
from tierkeep.testing.store import snapshot

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: From one operation to the next, in seconds.
JUMPS = (0, -1, -86_400 * 400, 86_400 * 9_000, -86_400 * 9_000, 30, -3_599, 86_400 * 365, -86_400 * 366, 1)


class UnsteadyClock:
    """A wall clock that is set; the seconds of `monotonic` go on as they should."""

    def __init__(self) -> None:
        self.wall = START
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        self.elapsed += 0.001
        return self.elapsed

    def jump(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)


@pytest.fixture
def unsteady() -> UnsteadyClock:
    return UnsteadyClock()


def lives(clock: UnsteadyClock, jumps: tuple[int, ...], folder: Path, preset: str = "auto") -> Iterator[Memory]:
    """Live through a number of writes and reads, with jumps of the clock between them; yield the memory at the end."""
    steps = itertools.cycle(jumps)
    with Memory.open(folder, clock=clock, preset=preset, derive="with_write") as memory:
        ana = memory.scope(user="ana")
        items = Items(ana)
        for number in range(12):
            clock.jump(next(steps))
            ana.add(f"Parcel {number} waits in hall {number}.", id=f"p{number}", session=f"s{number // 5}")
            clock.jump(next(steps))
            items.put(("notes",), f"k{number % 3}", {"version": number})
            clock.jump(next(steps))
            if number % 4 == 3:
                items.delete(("notes",), "k0")
            if number % 6 == 5:
                ana.forget(ids=[f"p{number - 1}"])
            clock.jump(next(steps))
            answer = ana.ask(f"Where does parcel {number} wait?", deadline_s=5)
            assert f"hall {number}" in answer.text and not answer.partial
            assert all(step.usage.ms >= 0 for step in answer.trace)
        ana.maintain(deadline_s=60)
        yield memory


def held(memory: Memory) -> Any:
    """Return what a clock must not change: events, their order and places, and items."""
    ana = memory.scope(user="ana")
    items = Items(ana)
    events = [(event.seq, event.session, event.position, event.text) for event in ana.events()]
    return events, sorted((item.key, item.value["version"]) for item in items.search(("notes",)))


@pytest.mark.parametrize("preset", ["auto", "hymem", "dmem"])
def test_a_life_with_jumps_ends_as_one_without(tmp_path: Path, preset: str) -> None:
    for steady, jumping in zip(
        lives(UnsteadyClock(), (1,), tmp_path / "steady", preset), lives(UnsteadyClock(), JUMPS, tmp_path / "jumping", preset), strict=True
    ):
        assert held(jumping) == held(steady)
        assert jumping.verify().ok
        scope = jumping.scope(user="ana").scope
        with Memory.open(":memory:", preset=preset) as again:
            rows = list(jumping._ledger.export(scope))
            again.scope(user="ana").restore(rows, trusted=True)
            assert snapshot(again._ledger, scope) == snapshot(jumping._ledger, scope)


@pytest.mark.parametrize("step", [-1, -3_599, 0])
def test_a_small_step_back_leaves_the_newer_word_the_newer_one(unsteady: UnsteadyClock, step: int) -> None:
    with Memory.open(":memory:", clock=unsteady) as memory:
        ana = memory.scope(user="ana")
        ana.add("I live in Porto.")
        unsteady.jump(step)
        ana.add("I live in Lisbon.")
        assert [record.text for record in ana.records()] == ["user lives in Lisbon"]


def test_a_clock_that_was_years_ahead_is_believed_when_it_is_set_right(unsteady: UnsteadyClock) -> None:
    """And what was dated by the wrong one counts as said then, until it is said with its time."""
    with Memory.open(":memory:", clock=unsteady) as memory:
        ana = memory.scope(user="ana")
        unsteady.jump(86_400 * 3_650)
        ana.add("I live in Porto.", id="wrong")
        unsteady.jump(-86_400 * 3_650)
        ana.add("I live in Lisbon.")
        assert [event.at[:4] for event in ana.events()] == ["2036", "2026"]
        assert [record.text for record in ana.records()] == ["user lives in Porto"]
        ana.forget(ids=["wrong"])
        assert [record.text for record in ana.records()] == ["user lives in Lisbon"]


def test_what_a_wrong_clock_calls_expired_is_back_when_it_is_right(unsteady: UnsteadyClock) -> None:
    """Only `maintain` removes anything, and what it has removed does not come back."""
    settings = Settings(retention=RetentionSettings(days=30))
    with Memory.open(":memory:", clock=unsteady, settings=settings) as memory:
        ana = memory.scope(user="ana")
        ana.add("The boat lies in the old harbour.")
        for days in (31, 4_000):
            unsteady.jump(86_400 * days)
            assert not ana.recall("Where is the boat?").items
            unsteady.jump(-86_400 * days)
            assert "harbour" in ana.recall("Where is the boat?").text
        unsteady.jump(-86_400 * 4_000)
        assert ana.maintain().expired == 0 and "harbour" in ana.recall("Where is the boat?").text
        unsteady.jump(86_400 * 4_031)
        assert ana.maintain().expired == 1
        unsteady.jump(-86_400 * 31)
        assert not ana.recall("Where is the boat?").items and list(ana.events()) == []


def test_the_rate_of_writes_does_not_follow_the_wall(unsteady: UnsteadyClock) -> None:
    settings = Settings(guard=GuardSettings(rate_burst=20))
    with Memory.open(":memory:", clock=unsteady, settings=settings) as memory:
        ana, page = memory.scope(user="ana"), Origin.web("https://news.example")
        with pytest.raises(RateLimited) as refused:
            for number in range(200):
                ana.add(f"Line {number}.", origin=page)
        assert 0 < refused.value.retry_after_s < 3_600
        for jump in (86_400 * 3_650, -86_400 * 7_300):
            unsteady.jump(jump)
            with pytest.raises(RateLimited):
                for _ in range(50):
                    ana.add("More of it.", origin=page)
        unsteady.elapsed += refused.value.retry_after_s + 3_600
        assert ana.add("Later.", origin=page).ids


def test_an_expired_confirmation_stays_expired(unsteady: UnsteadyClock) -> None:
    with Memory.open(":memory:", clock=unsteady) as memory:
        ana = memory.scope(user="ana")
        ana.add("The code is 4711.", id="m1")
        asked = ana.guard.propose("m1")
        unsteady.jump(86_400)
        with pytest.raises(ConfirmationError):
            ana.guard.confirm(asked.token, id="m1")
        unsteady.jump(-86_400)
        with pytest.raises(ConfirmationError):
            ana.guard.confirm(asked.token, id="m1")
        fresh = ana.guard.propose("m1")
        assert ana.guard.confirm(fresh.token, id="m1").authority.name == "ACT"
        with pytest.raises(ConfirmationError):
            ana.guard.confirm(fresh.token, id="m1")


def test_an_expired_call_stays_expired(unsteady: UnsteadyClock) -> None:
    with Memory.open(":memory:", clock=unsteady) as memory:
        gate = memory.scope(user="ana").guard.gate()
        call = {"to": "eve@example.com"}
        asked = gate.ask("send", call)
        unsteady.jump(86_400)
        assert not gate.check("send", call, request="", confirmation=asked.token)
        unsteady.jump(-86_400)
        assert not gate.check("send", call, request="", confirmation=asked.token)
        assert gate.check("send", call, request="", confirmation=gate.ask("send", call).token)
