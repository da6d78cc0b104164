"""Moving a memory between stores: every owner's export into the other store, one transaction each, and a proof that both hold the same.

The source is only read. An owner is moved whole or not at all, so a move that was killed is begun again and passes over what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from tierkeep.allowance import Listener, Progress
from tierkeep.errors import InputError, StoreCorrupt, TargetOccupied
from tierkeep.protocols import Ledger
from tierkeep.records import Frozen, Scope

__all__ = ["MoveReport", "MovedOwner", "digest_of", "move"]

#: Events between two words to the listener.
_STEP = 256


class MovedOwner(Frozen):
    """One owner of a move.

    Attributes:
        tenant: Of the owner.
        user: Of the owner.
        agent: Of the owner.
        events: Events that the source has.
        records: Records that the source has.
        state: "moved" now, "there" already and equal, or "waiting" in a dry run.
        digest: SHA-256 of the owner's export, without the guard's log.
    """

    tenant: str
    user: str
    agent: str
    events: int
    records: int
    state: Literal["moved", "there", "waiting"]
    digest: str


class MoveReport(Frozen):
    """What a move did.

    Attributes:
        owners: Every owner of the source that holds anything, sorted by name.
        events: Events that were written to the target.
        dry_run: True when nothing was written on purpose.
        ok: True when every owner is in the target as in the source, and the target verifies (in a dry run: that it can be moved).
        problems: Why not.
    """

    owners: tuple[MovedOwner, ...] = ()
    events: int = 0
    dry_run: bool = False
    ok: bool = True
    problems: tuple[str, ...] = ()


class _Digest:
    """SHA-256 of an export, and what it counts. The guard's log is left out: it says what the guard of one store did, and stays there."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.events = 0
        self.records = 0
        self.rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take the next row of an export in."""
        if "guard" in row and "format" not in row:
            return
        kept = {name: value for name, value in row.items() if name != "guard"}
        self._hash.update(json.dumps(kept, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
        self.rows += 1
        self.events += "event" in kept
        self.records += "record" in kept

    @property
    def empty(self) -> bool:
        """Whether there was nothing but a header."""
        return self.rows <= 1

    def text(self) -> str:
        """Return the digest in hex."""
        return self._hash.hexdigest()


def digest_of(ledger: Ledger, scope: Scope) -> str:
    """Return the SHA-256 of all that a move carries of an owner: equal digests are equal memories."""
    return _digested(ledger.export(scope)).text()


def _digested(rows: Iterable[Mapping[str, Any]]) -> _Digest:
    digest = _Digest()
    for row in rows:
        digest.add(row)
    return digest


def move(source: Ledger, target: Ledger, *, dry_run: bool = False, listener: Listener | None = None) -> MoveReport:
    """Write every owner of one store into another, and check that both hold the same.

    Carried: events with ids, order, sessions, times, origins, meta and the authority that they have now (released, confirmed, quarantined),
    records with their history, how far derivers have read. Not carried: vectors (made again from the events), the guard's log and open
    confirmations (of the other store), numbers of places (the target's own), and `undo` of changes made before.

    Args:
        source: Is only read.
        target: Where to; other owners may be there.
        dry_run: Only say what would be done.
        listener: Is told how far it is: "check", then "move", then "verify".

    Raises:
        InputError: Both are the same store.
        TargetOccupied: The target has an owner whose memory is another there; nothing was written.
        StoreCorrupt: The source does not verify; nothing was written.
        StorageError: A store failed. Begin the move again: what is there already is passed over.
    """
    where = source.stats().get("path")
    if source is target or (where != ":memory:" and where == target.stats().get("path")):
        raise InputError("a memory is moved from one store into another, and these are the same", field="to")
    report = source.verify()
    if not report.ok:
        raise StoreCorrupt(f"The source does not verify, and nothing was moved: {report.problems[0]}", path=str(where))
    owners = _planned(source, target, _Ticker(listener, "check"))
    if dry_run:
        return MoveReport(owners=tuple(owners), dry_run=True)
    ticker = _Ticker(listener, "move", sum(owner.events for owner in owners if owner.state == "waiting"))
    done: list[MovedOwner] = []
    written = 0
    for owner in owners:
        if owner.state == "waiting":
            scope = Scope(tenant=owner.tenant, user=owner.user, agent=owner.agent)
            written += target.restore(scope, ticker.over(source.export(scope)))[0]
            owner = owner.model_copy(update={"state": "moved"})
        done.append(owner)
    problems = _unlike(source, target, done, _Ticker(listener, "verify", len(done)))
    problems += [f"the target does not verify: {problem}" for problem in target.verify().problems]
    return MoveReport(owners=tuple(done), events=written, ok=not problems, problems=tuple(problems))


def _planned(source: Ledger, target: Ledger, ticker: _Ticker) -> list[MovedOwner]:
    """Return what is to be done for each owner.

    Raises:
        TargetOccupied: The target holds something else of one of them.
    """
    there = {owner.scope for owner in target.owners()}
    planned: list[MovedOwner] = []
    occupied: list[str] = []
    for scope, _ in source.owners():
        mine = _digested(source.export(scope))
        ticker.tick()
        if mine.empty:
            continue  # the guard's log knows the name, and nothing else does
        theirs = _digested(target.export(scope)) if scope in there else _Digest()
        equal = theirs.text() == mine.text()
        if not (equal or theirs.empty):
            occupied.append(str(scope))
        planned.append(MovedOwner(
            tenant=scope.tenant, user=scope.user, agent=scope.agent, events=mine.events, records=mine.records,
            state="there" if equal else "waiting", digest=mine.text(),
        ))  # fmt: skip
    if occupied:
        more = f" (and {len(occupied) - 1} more)" if len(occupied) > 1 else ""
        raise TargetOccupied(
            f"the target holds another memory of {occupied[0]}{more}, and nothing was moved: forget it there, or name an empty store",
            owners=tuple(occupied),
        )
    return planned


def _unlike(source: Ledger, target: Ledger, owners: Iterable[MovedOwner], ticker: _Ticker) -> list[str]:
    """Return which owners' memories are not the same on both sides, read again."""
    problems = []
    for owner in owners:
        scope = Scope(tenant=owner.tenant, user=owner.user, agent=owner.agent)
        if digest_of(target, scope) != owner.digest:
            problems.append(f"{scope}: the target does not hold what the source held")
        elif digest_of(source, scope) != owner.digest:
            problems.append(f"{scope}: the source was written to meanwhile; stop its writers, empty the target and move again")
        ticker.tick()
    return problems


class _Ticker:
    """Tells a listener how far one part of the work is."""

    def __init__(self, listener: Listener | None, what: str, total: int = 0) -> None:
        self._listener, self._what, self._total, self._done = listener, what, total, 0

    def tick(self) -> None:
        """Note one unit, and say so."""
        self._done += 1
        self._tell()

    def over(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows, telling of the events among them every now and then."""
        for row in rows:
            yield row
            if "event" in row:
                self._done += 1
                if self._done % _STEP == 0:
                    self._tell()
        self._tell()

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener(Progress(self._what, done=self._done, total=self._total))
