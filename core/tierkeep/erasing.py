"""Erasing a person: everything that a store has of one user, under every agent, and a report of what went and what it cannot prove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tierkeep.protocols import Clock, Ledger
from tierkeep.records import ForgetReport, Frozen

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

__all__ = ["EraseReport", "ErasedOwner", "erase"]

#: A shorter name is part of too many words for a look through the store to say anything.
_TELLING_NAME = 5
_LEFT = (
    "backups, exports and copies of this store that were made before: delete them, or let them run out",
    "what others have said about this person in their own memories",
    "prompts, logs, an agent framework's checkpoints, and what a model's or embedder's provider keeps",
)
_SERVER = "what the server keeps of deleted rows: until VACUUM has passed, and in its log, replicas and backups (docs/guides/postgresql.md)"
_GUARD = "{lines} lines of the guard's log stay, because the hash chain covers them: ids, hashes and reason codes, no text and no name"


class ErasedOwner(Frozen):
    """What was erased of one user under one agent.

    Attributes:
        agent: The agent; "" for what belongs to none.
        guard_lines: Lines of the guard's log about it, which stay.
        forgotten: What `forget` says of it.
    """

    agent: str
    guard_lines: int
    forgotten: ForgetReport


class EraseReport(Frozen):
    """What an erasure did. It names the person: keep it as long as you have to prove it, and no longer.

    Attributes:
        tenant: The organisation.
        user: The person.
        at: When, by the memory's clock.
        owners: What went, by agent; empty when the store had nothing of this user.
        events: Events that were removed in all.
        records: Derived records that were removed in all.
        complete: True when no trace was found of anything that was removed, and the store has no owner of this name any more.
        named_in: Where the name itself still stands ("table.column", "file:…"), because others say it; not looked for when it is short.
        left: What this report says nothing about.
    """

    tenant: str
    user: str
    at: str
    owners: tuple[ErasedOwner, ...] = ()
    events: int = 0
    records: int = 0
    complete: bool = True
    named_in: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def erase(mine: Sequence[ScopedMemory], name: tuple[str, str], ledger: Ledger, clock: Clock) -> EraseReport:
    """Forget everything of these owners, look for what is left, and report.

    Args:
        mine: The memories of one user, under each agent.
        name: Tenant and user.
        ledger: The store.
        clock: Dates the report.

    Raises:
        StorageError: The store cannot write; what was erased before stays erased.
    """
    erased = []
    for owner in mine:
        lines = sum(1 for _ in ledger.view(owner.scope).guard_log())
        erased.append(ErasedOwner(agent=owner.scope.agent, guard_lines=lines, forgotten=owner.forget(everything=True)))
    again = any(owner.scope.partition[:2] == name for owner in ledger.owners())
    named_in = ledger.sweep([name[1].casefold()]) if erased and len(name[1]) >= _TELLING_NAME else []
    return EraseReport(
        tenant=name[0], user=name[1], at=clock.now().isoformat(), owners=tuple(erased),
        events=sum(one.forgotten.events for one in erased), records=sum(one.forgotten.records for one in erased),
        complete=not again and all(one.forgotten.complete for one in erased), named_in=tuple(named_in),
        left=_left(ledger, sum(one.guard_lines for one in erased)),
    )  # fmt: skip


def _left(ledger: Ledger, lines: int) -> tuple[str, ...]:
    """Return what an erasure does not reach."""
    server = (_SERVER,) if str(ledger.stats().get("journal_mode", "")).startswith("postgresql") else ()
    return (*_LEFT, *server, *((_GUARD.format(lines=lines),) if lines else ()))
