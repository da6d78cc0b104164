"""The guard's side of the front door: quarantine, confirmations, the log, and the gate on tool calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tierkeep.records import ActionDecision, Confirmation, Event, Evidence, ForgetReport, GuardEntry, Receipt

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory


class ToolPolicy(NamedTuple):
    """What the application says of one of its tools. A tool that nobody speaks for counts as one with side effects.

    Attributes:
        side_effects: False for tools that only read: they pass.
        free: Arguments whose wording may be the model's own, such as a subject line; addresses, links, paths, numbers and accounts
            inside are looked at all the same.
    """

    side_effects: bool = True
    free: tuple[str, ...] = ()


class ActionGate:
    """Decides whether a tool call may be made (guard spec, section 6): its values must come from the user or the operator."""

    def check(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        request: str,
        context: Evidence | Iterable[Event | str] | None = None,
        confirmation: str | None = None,
    ) -> ActionDecision:
        """Return whether the call may be made, and why.

        Args:
            tool: The tool's name.
            arguments: As the model gave them.
            request: What the user asks for right now, in their own words.
            context: What of the memory was in the model's window: evidence, events or their ids; None when nobody knows.
            confirmation: The token of `ask`, after the user has said yes.
        """
        raise NotImplementedError

    def enforce(self, tool: str, arguments: Mapping[str, Any], **how: Any) -> ActionDecision:
        """Do the same as `check`, and raise when the call may not be made.

        Raises:
            ActionDenied: It may not.
        """
        raise NotImplementedError

    def ask(self, tool: str, arguments: Mapping[str, Any]) -> Confirmation:
        """Return a question for the user about exactly this call; its token, handed to `check`, lets it pass once."""
        raise NotImplementedError


class ScopedGuard:
    """What the guard has done to one owner's memory, and what can be done about it. Every verb has an async twin."""

    def __init__(self, scoped: ScopedMemory) -> None:
        raise NotImplementedError

    def list(self) -> list[Event]:
        """Return what is quarantined, oldest first."""
        raise NotImplementedError

    def show(self, id: str) -> Event:
        """Return one quarantined event, with the signals that it gave in its `meta`."""
        raise NotImplementedError

    def release(self, id: str, *, by: str = "operator") -> Event:
        """Lift a quarantine: the event is data again, and found."""
        raise NotImplementedError

    def reject(self, id: str, *, by: str = "operator") -> ForgetReport:
        """Remove a quarantined event for good. The log keeps its id and reasons."""
        raise NotImplementedError

    def log(self, after: int = 0) -> Iterable[GuardEntry]:
        """Return the guard's entries about this owner, oldest first."""
        raise NotImplementedError

    def propose(self, id: str) -> Confirmation:
        """Return a question for the user whether a memory is true."""
        raise NotImplementedError

    def confirm(self, confirmation: Confirmation | str, *, id: str) -> Receipt:
        """Store the user's yes: the memory again, as confirmed by the user, with authority to act."""
        raise NotImplementedError

    def gate(self, tools: Mapping[str, ToolPolicy] | None = None) -> ActionGate:
        """Return the gate on tool calls."""
        raise NotImplementedError


_Twin = Callable[..., Any]
