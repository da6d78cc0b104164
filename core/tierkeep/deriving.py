"""When deferred derivers run: with the write, in the background, or only when `maintain` is called.

A model takes seconds, and a write must not wait for it. So by default a memory with a chat model derives on one thread of its own; what
it has not come to is found as raw events, and a process that dies in the middle goes on from the ledger's cursors.
"""

from __future__ import annotations

from typing import Literal

from tierkeep import pipelines
from tierkeep.accounts import Accounts
from tierkeep.allowance import Allowance, Clock, Listener
from tierkeep.background import Background, WhileOpen
from tierkeep.pipelines import WriteStages
from tierkeep.protocols import Ledger
from tierkeep.records import MaintainReport, Scope

__all__ = ["Derive", "Deriving"]

Derive = Literal["with_write", "background", "on_request"]


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
        self._background = Background("tierkeep-derive", lambda scope: self.run(scope, final=False))

    @property
    def failed(self) -> int:
        """How often the background, or a write, could not derive."""
        return self._background.failed

    def notice(self, scope: Scope) -> MaintainReport | None:
        """Take note that a scope has changed; return what was derived at once, None when that is done later.

        A derivation that fails is not the write's failure: the events are stored, the log says what went wrong, and the next one goes on.
        """
        if self._when == "with_write":
            return self._background.at_once(lambda: self.run(scope, final=False))
        if self._when == "background":
            self._background.enqueue(scope)
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
        allowance = WhileOpen(self._clock, self._background.closed, seconds, listener)
        # One derivation at a time: two of one scope would ask the model the same. When the turn cannot be had in time, time is up, and all
        # that is done is to count what is left.
        with self._background.turn(seconds):
            report = pipelines.derive(scope, self._ledger, self._stages, allowance, self.grant, final=final)
        self._accounts.wrote(report.usage)
        return report

    def grant(self) -> Allowance:
        """Return what one span may cost."""
        limits = self._stages.limits
        return Allowance(self._clock, calls=limits.calls, tokens=limits.tokens)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the background has nothing more to do; return whether it came to that, in time and before `close`."""
        return self._background.wait(timeout_s)

    def close(self) -> None:
        """Stop the background after the span it is at; what is left is on the ledger's cursors."""
        self._background.close()
