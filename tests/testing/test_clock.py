from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from tierkeep.allowance import Allowance
from tierkeep.errors import InputError
from tierkeep.testing.clock import FixedClock


def test_it_stands_still_until_it_is_moved(clock: FixedClock) -> None:
    before = clock.now(), clock.monotonic()
    assert (clock.now(), clock.monotonic()) == before == (datetime(2026, 1, 1, 12, tzinfo=UTC), 0.0)
    clock.advance(1.5)
    assert clock.now() - before[0] == timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5


def test_each_reading_of_a_stepping_clock_is_later() -> None:
    clock = FixedClock(step=2.0)
    assert [clock.monotonic(), clock.monotonic(), clock.monotonic()] == [0.0, 2.0, 4.0]
    assert clock.now() == datetime(2026, 1, 1, 12, 0, 6, tzinfo=UTC)


def test_a_deadline_runs_out_in_the_middle_of_some_work() -> None:
    deadline = Allowance(FixedClock(step=1.0), seconds=2.0)
    assert [deadline.expired(), deadline.expired()] == [False, True]


def test_threads_share_one_time() -> None:
    clock = FixedClock(step=1.0)
    threads = [Thread(target=lambda: [clock.monotonic() for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() == 800.0


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_it_never_runs_backwards(clock: FixedClock, seconds: float) -> None:
    with pytest.raises(InputError, match="backwards"):
        clock.advance(seconds)
    with pytest.raises(InputError, match="step"):
        FixedClock(step=seconds)


def test_a_start_without_offset_is_refused() -> None:
    with pytest.raises(InputError, match="offset"):
        FixedClock(datetime(2026, 1, 1))
