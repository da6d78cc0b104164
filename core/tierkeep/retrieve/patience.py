"""Waiting for somebody else's part only so long: a thread does the work, and who asked goes on without it when time is up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Late", "Patience"]

_T = TypeVar("_T")


class Late(Exception):
    """Time was up before the work was done."""


class Patience(Generic[_T]):
    """Runs work that may hang. Threads may share it, and what is late ends for itself, on its own thread.

    Args:
        at_once: Threads at most. When all of them hang, nobody else's work is begun, and who asks waits for a free one.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._free = threading.BoundedSemaphore(self._at_once)

    def __call__(self, work: Callable[[], _T], seconds: float | None) -> _T:
        """Return what the work returns, or raise what it raises.

        Args:
            work: What to do: on this thread when there is no limit.
            seconds: How long to wait, for a thread and for the work; None for as long as it takes.

        Raises:
            Late: It took longer.
        """
        if seconds is None:
            return work()
        if self._process != os.getpid():
            self._begin()  # the threads of the process that forked are not here
        free = self._free
        if not free.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise Late
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                future.set_exception(error)
            finally:
                free.release()

        threading.Thread(target=run, name="tierkeep-patience", daemon=True).start()
        try:
            return future.result(min(seconds, threading.TIMEOUT_MAX))
        except TimeoutError:
            if not future.done():
                raise Late from None
        return future.result()  # it was done just now, or the error is the work's own
