"""When deferred derivers run: with the write, in the background, or only when `maintain` is called.

A model takes seconds, and a write must not wait for it. So by default a memory with a chat model derives on one thread of its own; what
it has not come to is found as raw events, and a process that dies in the middle goes on from the ledger's cursors.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from tierkeep import pipelines
from tierkeep.accounts import Accounts
from tierkeep.allowance import Allowance, Clock, Listener
from tierkeep.errors import TierkeepError
from tierkeep.pipelines import WriteStages
from tierkeep.protocols import Ledger
from tierkeep.records import MaintainReport, Scope

__all__ = ["Derive", "Deriving"]

_LOG = logging.getLogger(__name__)

Derive = Literal["with_write", "background", "on_request"]


class _WhileOpen(Allowance):
    """An allowance that is over, too, when the memory is closed."""

    def __init__(self, clock: Clock, closed: Callable[[], bool], seconds: float | None, listener: Listener | None) -> None:
        super().__init__(clock, seconds=seconds, listener=listener)
        self._closed = closed

    def expired(self) -> bool:
        return self._closed() or super().expired()


class Deriving:
    """Runs the deferred derivers of one memory, one scope at a time.

    Args:
        ledger: Where the events are.
        stages: The derivers.
        clock: For deadlines.
        accounts: Where the cost is entered.
        when: "with_write", "background" or "on_request".
    """

    def __init__(self, ledger: Ledger, stages: WriteStages, clock: Clock, accounts: Accounts, when: Derive) -> None:
        self._ledger = ledger
        self._stages = stages
        self._clock = clock
        self._accounts = accounts
        self._when = when if stages.deferred else "on_request"
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()  # one derivation at a time: two of one scope would ask the model the same
        self._changed = threading.Condition()
        self._waiting: OrderedDict[tuple[str, str, str], Scope] = OrderedDict()
        self._worker: threading.Thread | None = None
        self._stop = False

    def _after_fork(self) -> None:
        # A fork has none of the parent's threads, and a lock that one of them held is held for ever.
        if self._process != os.getpid():
            self._start_anew()

    def notice(self, scope: Scope) -> MaintainReport | None:
        """Take note that a scope has changed; return what was derived at once, None when that is done later.

        A derivation that fails is not the write's failure: the events are stored, the log says what went wrong, and the next one goes on.
        """
        if self._when == "with_write":
            try:
                return self.run(scope, final=False)
            except Exception as error:  # noqa: BLE001
                # A model of the caller's own may raise anything, and what was written is stored: who writes again would store it twice.
                _LOG.warning("deriving failed and is tried again with the next write: %s", type(error).__name__)
        elif self._when == "background":
            self._enqueue(scope)
        return None

    def run(self, scope: Scope, *, final: bool, seconds: float | None = None, listener: Listener | None = None) -> MaintainReport:
        """Derive now what is unread in a scope, and return what was done.

        Args:
            scope: Whose memory.
            final: True to read conversations to their end.
            seconds: Time after which the rest is left for later.
            listener: Is told how far it is.

        Raises:
            StorageError: The ledger cannot be read or written.
        """
        if not self._stages.deferred:
            return MaintainReport()
        self._after_fork()
        allowance = _WhileOpen(self._clock, lambda: self._stop, seconds, listener)
        # When it cannot be had in time, time is up, and all that is done is to count what is left.
        held = self._lock.acquire(timeout=-1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        try:
            report = pipelines.derive(scope, self._ledger, self._stages, allowance, self.grant, final=final)
        finally:
            if held:
                self._lock.release()
        self._accounts.wrote(report.usage)
        return report

    def grant(self) -> Allowance:
        """Return what one span may cost."""
        limits = self._stages.limits
        return Allowance(self._clock, calls=limits.calls, tokens=limits.tokens)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the background has nothing more to do; return whether it came to that, in time and before `close`."""
        self._after_fork()
        with self._changed:
            self._changed.wait_for(lambda: self._stop or not self._waiting, timeout_s)
            return not self._waiting

    def close(self) -> None:
        """Stop the background after the span it is at; what is left is on the ledger's cursors."""
        self._after_fork()
        with self._changed:
            self._stop = True
            worker = self._worker
            self._changed.notify_all()
        if worker is not None and worker is not threading.current_thread():
            worker.join()

    def _enqueue(self, scope: Scope) -> None:
        self._after_fork()
        with self._changed:
            self._waiting[scope.partition] = scope.model_copy(update={"session": None})
            if self._worker is None:
                self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        if not self._stop:
            self._worker = threading.Thread(target=self._work, name="tierkeep-derive", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        ended = False
        try:
            self._derive_in_turn()
            ended = True
        finally:
            if not ended:  # a model of the caller's own raised what nobody expects: the others still have their turn
                with self._changed:
                    self._worker = None
                    if self._waiting:
                        self._start()

    def _derive_in_turn(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stop)
                if self._stop:
                    return
                key, scope = next(iter(self._waiting.items()))
                self._waiting[key] = scope
            try:
                self.run(scope, final=False)
            except TierkeepError as error:
                _LOG.warning("deriving failed and is tried again with the next write: %s", type(error).__name__)
            finally:
                with self._changed:
                    # Noticed again meanwhile: the entry is another object, and stays. So does what a close has broken off.
                    if self._waiting.get(key) is scope and not self._stop:
                        del self._waiting[key]
                    self._changed.notify_all()
