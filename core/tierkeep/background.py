"""One thread that works on scopes in turn, started by the first, and what forks, waiting and closing mean for it."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tierkeep.allowance import Allowance, Clock, Listener
from tierkeep.errors import TierkeepError
from tierkeep.records import Scope

__all__ = ["Background", "WhileOpen"]

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_PAUSES = 20


class WhileOpen(Allowance):
    """An allowance that is over, too, when the memory is closed."""

    def __init__(self, clock: Clock, closed: Callable[[], bool], seconds: float | None, listener: Listener | None) -> None:
        super().__init__(clock, seconds=seconds, listener=listener)
        self._closed = closed

    def expired(self) -> bool:
        """Return whether time is up, or the memory was closed."""
        return self._closed() or super().expired()


class Background:
    """Works on the scopes that it was told of, one at a time, on a thread of its own.

    A scope that is named again while it waits is worked on once. Work that fails is left for the next time the scope is named.

    Args:
        name: Of the thread, and in the log.
        work: What to do for a scope; it looks at `closed` between its steps.
        gather_s: Seconds without a new name after which the work begins, so that it does not come between two writes of a burst; it is put
            off twenty times as long at most. Who waits, or closes, has it begin at once.

    Attributes:
        failed: How often the work failed.
    """

    def __init__(self, name: str, work: Callable[[Scope], object], *, gather_s: float = 0.0) -> None:
        self._name = name
        self._work = work
        self._gather_s = gather_s
        self.failed = 0
        self._last_failure: type[Exception] | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: OrderedDict[tuple[str, str, str], Scope] = OrderedDict()
        self._named = 0
        self._hurry = threading.Event()
        self._worker: threading.Thread | None = None
        self._stop = False

    def _after_fork(self) -> None:
        # A fork has none of the parent's threads, and a lock that one of them held is held for ever.
        if self._process != os.getpid():
            self._start_anew()

    def closed(self) -> bool:
        """Return whether it was told to stop."""
        return self._stop

    def at_once(self, work: Callable[[], _T]) -> _T | None:
        """Return what the work of a write returns; None when it fails, which is not the write's failure.

        A model of the caller's own may raise anything, and what was written is stored: who writes again would store it twice.
        """
        try:
            done = work()
        except Exception as error:  # noqa: BLE001
            self._say(error)
            return None
        self._last_failure = None
        return done

    def _say(self, error: Exception) -> None:
        """Count a failure, and warn of it once: a model that is down for an hour fails with every write of that hour."""
        self._after_fork()
        with self._changed:
            again = self._last_failure is type(error)
            self.failed, self._last_failure = self.failed + 1, type(error)
        level = logging.DEBUG if again else logging.WARNING
        _LOG.log(level, "%s failed and is tried again with the next write: %s", self._name, type(error).__name__)

    @contextmanager
    def turn(self, seconds: float | None = None) -> Iterator[bool]:
        """Wait for whoever is at work, in any thread, and keep others out; False when that took longer than `seconds`."""
        self._after_fork()
        held = self._turn.acquire(timeout=-1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        try:
            yield held
        finally:
            if held:
                self._turn.release()

    def enqueue(self, scope: Scope) -> None:
        """Have the whole of a scope worked on soon."""
        self._after_fork()
        with self._changed:
            self._waiting[scope.partition] = scope.model_copy(update={"session": None})
            self._named += 1
            if self._worker is None:
                self._start()
            self._changed.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there is nothing more to do; return whether it came to that, in time and before `close`."""
        self._after_fork()
        with self._changed:
            if self._waiting:
                self._hurry.set()
            self._changed.wait_for(lambda: self._stop or not self._waiting, timeout_s)
            return not self._waiting

    def close(self) -> None:
        """Stop after the step it is at. What is left is found again by whoever opens the store."""
        self._after_fork()
        with self._changed:
            self._stop = True
            self._hurry.set()
            worker = self._worker
            self._changed.notify_all()
        if worker is not None and worker is not threading.current_thread():
            worker.join()

    def _start(self) -> None:
        if not self._stop:
            self._worker = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._worker.start()

    def _run(self) -> None:
        ended = False
        try:
            self._work_in_turn()
            ended = True
        finally:
            if not ended:  # a model of the caller's own raised what nobody expects: the others still have their turn
                with self._changed:
                    self._worker = None
                    if self._waiting:
                        self._start()

    def _work_in_turn(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._hurry.clear()
                    self._changed.wait_for(lambda: self._waiting or self._stop)
            self._gather()
            with self._changed:
                if self._stop:
                    return
                keys = list(self._waiting)
            for key in keys:
                if self._stop:
                    return
                self._work_on(key)

    def _gather(self) -> None:
        """Wait until nobody has been named for a while, not for `_changed`: every write would wake this thread."""
        for _ in range(_PAUSES if self._gather_s else 0):
            before = self._named
            if self._hurry.wait(self._gather_s) or self._named == before:
                return

    def _work_on(self, key: tuple[str, str, str]) -> None:
        with self._changed:
            scope = self._waiting[key]
        try:
            self._work(scope)
            self._last_failure = None
        except TierkeepError as error:
            self._say(error)
        finally:
            with self._changed:
                # Noticed again meanwhile: the entry is another object, and stays. So does what a close has broken off.
                if self._waiting.get(key) is scope and not self._stop:
                    del self._waiting[key]
                self._changed.notify_all()
