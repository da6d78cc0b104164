"""The guard's side of a transaction: its log, released events, confirmations, and events that rest on others (guard spec, section 6).

Nothing here keeps content. A line of the log names an event or record by its id, or what was not stored by its SHA-256; a confirmation is
two hashes and a time.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

from tierkeep.errors import InputError, NotFoundError, OpRefused
from tierkeep.ledger import chain, scopes, vectors
from tierkeep.ledger.connections import translated
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.lexicon import RELEASED, indexed
from tierkeep.ledger.rows import dumps, loads, refuse_nul
from tierkeep.ledger.sealing import Sealer
from tierkeep.protocols import Clock, View
from tierkeep.records import MOST_REASONS, PARENTS, REASON_CODE, Authority, Event, GuardEntry, Scope

__all__ = [
    "GuardSide", "check_parents", "elevate", "entries_of", "issue", "redeem", "release", "write_log",
]  # fmt: skip

_HASH = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(REASON_CODE)
_WHO = re.compile(r"[\w@.:+-]{0,64}")
_TOKEN_BYTES = 32
_INSERT = "INSERT INTO guard_log(entry, scope, at, verb, subject, reasons, by, salt) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
_LOG = """SELECT entry, at, verb, subject, reasons, by FROM guard_log WHERE scope = ? AND entry > ? ORDER BY entry LIMIT ?"""
_KNOWN = """SELECT EXISTS(SELECT 1 FROM events WHERE scope = ?1 AND id = ?2) OR EXISTS(SELECT 1 FROM records WHERE scope = ?1 AND id = ?2)
    OR EXISTS(SELECT 1 FROM guard_log WHERE scope = ?1 AND subject = ?2)"""
_EXPIRED = "DELETE FROM confirmations WHERE expires <= ?"
_ISSUED = "SELECT 1 FROM confirmations WHERE token = ?"
_REVIEW = """INSERT INTO reviews(scope, seq, authority, salt, entry) VALUES(?, ?, ?, ?, ?)
    ON CONFLICT(scope, seq) DO UPDATE SET authority = excluded.authority, salt = excluded.salt, entry = excluded.entry"""
_ELEVATION = """INSERT INTO elevations(scope, seq, salt, entry) VALUES(?, ?, ?, ?)
    ON CONFLICT(scope, seq) DO UPDATE SET salt = excluded.salt, entry = excluded.entry"""


def entries_of(connection: Connection, number: int, after: int, limit: int) -> list[GuardEntry]:
    """Return the next lines of a scope's log."""
    rows = connection.execute(_LOG, (number, after, limit)).fetchall()
    return [
        GuardEntry(n=n, at=at, verb=verb, subject=subject, reasons=tuple(loads(reasons)), by=by)
        for n, at, verb, subject, reasons, by in rows
    ]


def write_log(
    connection: Connection, number: int, at: str, entries: Sequence[GuardEntry], tail: chain.Tail
) -> chain.Tail:
    """Append lines to a scope's log and to the chain; return the new tail.

    Raises:
        InputError: A subject could be content, or a reason is no code, or a name is none. Nothing was written.
    """
    stored = [_checked(connection, number, at, entry) for entry in entries]
    salts = chain.salts(len(stored))
    digests = [chain.guard_digest(salt, row) for salt, row in zip(salts, stored, strict=True)]
    rows = [(tail.n + step, *row, salt) for step, (row, salt) in enumerate(zip(stored, salts, strict=True), start=1)]
    connection.executemany(_INSERT, rows)
    return chain.extend(connection, tail, "guard", digests)


def _checked(connection: Connection, number: int, at: str, entry: GuardEntry) -> tuple[int, str, str, str, str, str]:
    refuse_nul(entry.subject)
    known = _HASH.fullmatch(entry.subject) or connection.execute(_KNOWN, (number, entry.subject)).fetchone()[0]
    if not entry.subject or not known:
        message = (
            "A guard entry is about the id of an event or record of this scope, or about the SHA-256 in hex of what was not stored: "
            "the log never keeps content. Log before you forget."
        )
        raise InputError(message, field="subject")
    if len(entry.reasons) > MOST_REASONS or not all(_CODE.fullmatch(reason) for reason in entry.reasons):
        raise InputError("A guard entry's reasons are short codes in lower case, such as web_origin.", field="reasons")
    if not _WHO.fullmatch(entry.by):
        raise InputError("A guard entry's `by` is the name of a check or person, up to 64 letters without spaces.", field="by")
    return (number, at, entry.verb, entry.subject, dumps(list(entry.reasons)), entry.by)


def release(connection: Connection, number: int, view: View, event_id: str, tail: chain.Tail, sealer: Sealer) -> chain.Tail:
    """Make a quarantined event data, found and embedded; return the chain's new tail.

    Raises:
        NotFoundError: The scope has no such event, or it is not quarantined.
    """
    found = view.events([event_id])
    if not found or found[0].authority != Authority.QUARANTINED:
        raise NotFoundError("This scope has no quarantined event with that id.", ids=(event_id,))
    event, partition = found[0], view.scope.partition
    salt = chain.salts(1)[0]
    digest = chain.review_digest(salt, partition, (event.seq, event.id, int(Authority.DATA)))
    tail = chain.extend(connection, tail, "review", [digest])
    # A review whose seal did not hold was not honoured; this one takes its place.
    connection.execute(_REVIEW, (number, event.seq, int(Authority.DATA), salt, tail.n))
    sealer.review(view.scope, event.seq, int(Authority.DATA), tail.n)
    connection.execute(RELEASED, (*indexed(event.text, hidden=False), number, event.seq))
    if event.text.strip():
        vectors.miss(connection, number, event.seq)
    return tail


def elevate(connection: Connection, number: int, view: View, event_id: str, tail: chain.Tail, sealer: Sealer) -> chain.Tail:
    """Give an event that its owner has confirmed authority to act; return the chain's new tail.

    Raises:
        NotFoundError: The scope has no such event, or it is quarantined.
    """
    found = view.events([event_id])
    if not found or found[0].authority == Authority.QUARANTINED:
        raise NotFoundError("This scope has no event with that id that could be confirmed.", ids=(event_id,))
    event = found[0]
    if event.authority == Authority.ACT:
        return tail
    salt = chain.salts(1)[0]
    digest = chain.review_digest(salt, view.scope.partition, (event.seq, event.id, int(Authority.ACT)))
    tail = chain.extend(connection, tail, "review", [digest])
    # An elevation whose seal did not hold was not honoured; this one takes its place.
    connection.execute(_ELEVATION, (number, event.seq, salt, tail.n))
    sealer.elevation(view.scope, event.seq, tail.n)
    return tail


# ------------------------------------------------------------------------------------------------- confirmations


def issue(
    connection: Connection, scope: Scope, number: int, asked: tuple[bytes, str, float], now: float, sealer: Sealer
) -> None:
    """Keep a confirmation (token's SHA-256, subject, expiry), and drop those of every scope that have expired.

    Raises:
        InputError: The token is not a SHA-256, was issued before, or the expiry is no time.
    """
    token, subject, expires = asked
    if not isinstance(token, bytes) or len(token) != _TOKEN_BYTES:
        raise InputError("A confirmation's token is handed over as its SHA-256: 32 bytes.", field="token")
    if not math.isfinite(expires):
        raise InputError("A confirmation's expiry is not a finite number.", field="expires")
    connection.execute(_EXPIRED, (now,))
    if connection.execute(_ISSUED, (token,)).fetchone():
        raise InputError("This token was issued before; draw a fresh one.", field="token")
    about = hashlib.sha256(subject.encode()).digest()
    mac = sealer.confirmation(scope, token, about, expires + 0.0)
    connection.execute(
        "INSERT INTO confirmations(token, scope, subject, expires, mac) VALUES(?, ?, ?, ?, ?)", (token, number, about, expires + 0.0, mac)
    )


def redeem(connection: Connection, scope: Scope, number: int, asked: tuple[bytes, str, float], sealer: Sealer) -> bool:
    """Use a confirmation (token's SHA-256, subject, now) up; return whether it fitted.

    One that has expired goes for good: a clock that is set back does not bring it back.
    """
    token, subject, now = asked
    about = hashlib.sha256(subject.encode()).digest()
    connection.execute("DELETE FROM confirmations WHERE token = ? AND scope = ? AND expires <= ?", (token, number, now))
    fitting = (token, number, about)
    row = connection.execute("SELECT expires, mac FROM confirmations WHERE token = ? AND scope = ? AND subject = ?", fitting).fetchone()
    if row is None or not sealer.confirms(row[1], scope, token, about, row[0]):
        return False
    return connection.execute("DELETE FROM confirmations WHERE token = ? AND scope = ?", (token, number)).rowcount == 1


# ------------------------------------------------------------------------------------------- a transaction's verbs


class GuardSide:
    """The guard's verbs of a transaction; `TableTransaction` has the rest."""

    view: View
    _connection: Connection
    _scope: Scope
    _clock: Clock
    _where: str | None
    _number: int
    _tail: chain.Tail | None
    _sealer: Sealer

    def _check_open(self) -> None:
        raise NotImplementedError

    def _ensure_scope(self) -> int:
        raise NotImplementedError

    def log(self, entries: Sequence[GuardEntry]) -> None:
        """Append to the guard's log and to the hash chain.

        Raises:
            InputError: A subject could be content, or a reason or name is no code. Nothing of `entries` was written.
        """
        self._check_open()
        if entries:
            with translated(self._where):
                at = self._clock.now().isoformat()
                self._tail = write_log(self._connection, self._ensure_scope(), at, entries, self._end())

    def release(self, event_id: str) -> Event:
        """Lift a quarantine: the event is data from now on, is found by its words, and gets vectors. Return it.

        Raises:
            NotFoundError: The scope has no such event, or it is not quarantined.
        """
        self._check_open()
        with translated(self._where):
            self._tail = release(self._connection, self._number, self.view, event_id, self._end(), self._sealer)
            scopes.touch(self._connection, self._number)
            return self.view.events([event_id])[0]

    def elevate(self, event_id: str) -> Event:
        """Give an event authority to act: its owner has confirmed it. Return it.

        Raises:
            NotFoundError: The scope has no such event, or it is quarantined.
        """
        self._check_open()
        with translated(self._where):
            self._tail = elevate(self._connection, self._number, self.view, event_id, self._end(), self._sealer)
            return self.view.events([event_id])[0]

    def issue(self, token: bytes, subject: str, expires: float) -> None:
        """Keep a confirmation that was asked for, as hashes; those that have expired are dropped.

        Raises:
            InputError: The token is not the SHA-256 of a fresh one, or the expiry is no time.
        """
        self._check_open()
        with translated(self._where):
            now = self._clock.now().timestamp()
            issue(self._connection, self._scope, self._ensure_scope(), (token, subject, expires), now, self._sealer)

    def redeem(self, token: bytes, subject: str, now: float) -> bool:
        """Use a confirmation up; return whether it was this scope's, for this subject, not used before and not expired."""
        self._check_open()
        with translated(self._where):
            return redeem(self._connection, self._scope, self._number, (token, subject, now), self._sealer)

    def _end(self) -> chain.Tail:
        """The newest entry of the chain."""
        return chain.tail(self._connection) if self._tail is None else self._tail


# ------------------------------------------------------------------------------------------- what rests on others


def check_parents(view: View, fresh: Sequence[Event], *, gone: bool = False) -> None:
    """Check that no event has more authority than the events it is derived from, as they stand now (non-malleable propagation).

    Args:
        view: The scope, without the events in question.
        fresh: Events that are about to be stored, in order; one may rest on another that comes before it.
        gone: Whether parents may be missing, because an export was made after they were forgotten.

    Raises:
        InputError: The parents are no list of ids.
        OpRefused: A parent is not in this scope, or has less authority.
    """
    named = {event.id: _parents(event) for event in fresh if PARENTS in event.meta}
    if not any(named.values()):
        return
    wanted = list(dict.fromkeys(id_ for ids in named.values() for id_ in ids))
    known: dict[str, Authority] = {parent.id: parent.authority for parent in view.events(wanted)}
    for event in fresh:
        _refuse_too_much(event, named.get(event.id, ()), known, gone=gone)
        known.setdefault(event.id, event.authority)


def _refuse_too_much(event: Event, parents: Sequence[str], known: Mapping[str, Authority], *, gone: bool) -> None:
    missing = [id_ for id_ in parents if id_ not in known]
    if missing and not gone:
        raise OpRefused(f"{len(missing)} of {len(parents)} events that this one is derived from are not in this scope.")
    least = min((known[id_] for id_ in parents if id_ in known), default=event.authority)
    if event.authority > least:
        raise OpRefused(f"The event claims authority {event.authority.name}; what it is derived from allows {least.name}.")


def _parents(event: Event) -> list[str]:
    given = event.meta[PARENTS]
    if not isinstance(given, list | tuple) or not all(isinstance(id_, str) for id_ in given):
        raise InputError(f"{PARENTS} in an event's meta is a list of the ids of events.", field="meta")
    return list(given)
