"""The machine's clock, behind the `Clock` protocol. The only module that asks the machine for the time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from tierkeep.allowance import Clock

#: A clock that was set right by less than this goes on where it was; by more, it was wrong before, and what it says now counts.
_STEP = timedelta(hours=1)


class SystemClock:
    """The time of this machine, in UTC."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()


class ForwardClock:
    """A clock whose small steps back are stood out, so that what is said later is never dated before what was said just now.

    Machines set their clocks back by seconds: after a resume, a leap second, a long time without a network. Two messages around such a
    step would change places for everything that goes by their times, such as which of two addresses is the newer one. Threads may share it.

    Args:
        clock: Where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: datetime | None = None

    def now(self) -> datetime:
        """Return the present moment, or the last one that was returned while the clock is behind it by less than an hour."""
        with self._lock:
            now = self._clock.now()
            if self._last is None or now > self._last or self._last - now >= _STEP:
                self._last = now
            return self._last

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self._clock.monotonic()
