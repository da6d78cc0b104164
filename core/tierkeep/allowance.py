"""What one question (or one derivation) may still spend, what it has spent, and whom it tells how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

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


class Progress(NamedTuple):
    """How far a question or a derivation is.

    Attributes:
        what: "answer" (a piece of the answer's text), "discard" (what was said of the answer so far does not count), or the name of a
            longer work: "scan", "derive".
        text: The piece of text.
        done: Units done.
        total: Units in all; 0 when it is not known.
    """

    what: str
    text: str = ""
    done: int = 0
    total: int = 0


Listener = Callable[[Progress], None]


class Allowance:
    """The hard ceiling of one question, handed through every stage of it. Several threads may draw on one.

    Args:
        clock: Where time comes from.
        seconds: Time until the best so far must come back; None for no limit.
        calls: Model calls that may be made; None for no limit.
        tokens: Tokens that may be sent to and received from models; None for no limit.
        listener: Is told how far the work is; None when nobody listens.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seconds: float | None = None,
        calls: int | None = None,
        tokens: int | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._end = None if seconds is None else self._began + seconds
        self._calls_left = calls
        self._tokens_left = tokens
        self._made: list[SkillCall] = []
        self._listener = listener
        self._lock = threading.Lock()
        self._told = threading.Lock()

    def expired(self) -> bool:
        """Return whether time is up."""
        return self._end is not None and self._clock.monotonic() >= self._end

    def ms(self) -> float:
        """Return the milliseconds since it was granted."""
        return (self._clock.monotonic() - self._began) * 1000

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - self._clock.monotonic())

    @property
    def heard(self) -> bool:
        """Whether anybody listens: a text is asked for in pieces only then."""
        return self._listener is not None

    def tell(self, progress: Progress) -> None:
        """Tell the listener, one at a time, how far the work is. The listener must be quick; what it raises ends the work."""
        if self._listener is not None:
            with self._told:
                self._listener(progress)

    def affords(self, tokens: int, calls: int = 1) -> bool:
        """Return whether that many calls of that many tokens in all could be made now; sets nothing aside."""
        with self._lock:
            return self._fits(tokens, calls)

    def _fits(self, tokens: int, calls: int) -> bool:
        enough_calls = self._calls_left is None or calls <= self._calls_left
        enough_tokens = self._tokens_left is None or tokens <= self._tokens_left
        return enough_calls and enough_tokens and not self.expired()

    def admit(self, tokens: int, calls: int = 1) -> bool:
        """Return whether that many calls of that many tokens in all may be made, and set them aside when they may.

        Args:
            tokens: Tokens that will be sent, plus the most that may come back.
            calls: Calls to be made.
        """
        with self._lock:
            if not self._fits(tokens, calls):
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
