"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from tierkeep.errors import InputError

_START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FixedClock:
    """A `Clock` whose time moves only when it is told to, so that the same test stores the same bytes on every run.

    Wall time and monotonic seconds are two readings of one clock: what moves one moves the other. Threads may share it.

    Args:
        now: The moment at which it starts, with its offset.
        step: Seconds that pass with each reading of `monotonic`, to let deadlines run out in the middle of some work.

    Raises:
        InputError: `now` has no offset, or `step` is negative.

    Example:
        >>> clock = FixedClock()
        >>> clock.advance(90)
        >>> clock.now().isoformat()
        '2026-01-01T12:01:30+00:00'
    """

    def __init__(self, now: datetime = _START, step: float = 0.0) -> None:
        if now.utcoffset() is None:
            raise InputError("now needs an offset, for example datetime(2026, 1, 1, tzinfo=UTC)", field="now")
        self._start = now
        self._step = _forward(step, "step")
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the moment at which the clock stands."""
        with self._lock:
            return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return seconds since the start, then let `step` seconds pass."""
        with self._lock:
            reading = self._elapsed
            self._elapsed += self._step
            return reading

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            InputError: `seconds` is negative: the clock never runs backwards.
        """
        with self._lock:
            self._elapsed += _forward(seconds, "seconds")


def _forward(seconds: float, field: str) -> float:
    if not seconds >= 0:
        raise InputError(f"{field} must be 0 or more, not {seconds!r}: time does not run backwards", field=field)
    return float(seconds)
