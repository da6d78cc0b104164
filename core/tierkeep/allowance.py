"""What one question may still spend, and what it has spent: seconds, model calls, tokens."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Protocol

from tierkeep.records import SkillCall

#: Why evidence is missing or partial when time was up; the same words wherever it is noticed.
NOT_FOUND_IN_TIME = "the deadline passed before anything was found"
NOT_ALL_IN_TIME = "the deadline passed before everything was looked at"


class Clock(Protocol):
    """Where time comes from. Nothing else in tierkeep asks the machine for the time."""

    def now(self) -> datetime:
        """Return the present moment, with its offset."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, for deadlines and durations."""
        ...


class Allowance:
    """The hard ceiling of one question, handed through every stage of it. Several threads may draw on one.

    Args:
        clock: Where time comes from.
        seconds: Time until the best so far must come back; None for no limit.
        calls: Model calls that may be made; None for no limit.
        tokens: Tokens that may be sent to and received from models; None for no limit.
    """

    def __init__(self, clock: Clock, *, seconds: float | None = None, calls: int | None = None, tokens: int | None = None) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._end = None if seconds is None else self._began + seconds
        self._calls_left = calls
        self._tokens_left = tokens
        self._made: list[SkillCall] = []
        self._lock = threading.Lock()

    def expired(self) -> bool:
        """Return whether time is up."""
        return self._end is not None and self._clock.monotonic() >= self._end

    def ms(self) -> float:
        """Return the milliseconds since it was granted."""
        return (self._clock.monotonic() - self._began) * 1000

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - self._clock.monotonic())

    def admit(self, tokens: int, calls: int = 1) -> bool:
        """Return whether that many calls of that many tokens in all may be made, and set them aside when they may.

        Args:
            tokens: Tokens that will be sent, plus the most that may come back.
            calls: Calls to be made.
        """
        with self._lock:
            if self.expired():
                return False
            if self._calls_left is not None and calls > self._calls_left:
                return False
            if self._tokens_left is not None and tokens > self._tokens_left:
                return False
            self._calls_left = None if self._calls_left is None else self._calls_left - calls
            self._tokens_left = None if self._tokens_left is None else self._tokens_left - tokens
            return True

    def book(self, call: SkillCall, admitted: int = 0) -> None:
        """Enter a call that was made; tokens that were set aside and not used come back.

        Args:
            call: What was asked, who answered, what it cost.
            admitted: Tokens that `admit` set aside for it.
        """
        with self._lock:
            self._made.append(call)
            if self._tokens_left is not None:
                self._tokens_left += admitted - call.tokens_in - call.tokens_out

    def made(self, since: int = 0) -> tuple[SkillCall, ...]:
        """Return the calls that were made, in order of completion, from number `since` on."""
        with self._lock:
            return tuple(self._made[since:])
