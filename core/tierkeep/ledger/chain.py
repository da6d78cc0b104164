"""The hash chain: what an entry covers, and how the whole store is checked against it.

One entry per event, per batch of record changes, per line of the guard's log and per review of a quarantined event.
`hash = sha256(previous hash, kind, digest)`. Digests are salted, and the salt lives in the row it covers: when `forget` removes the row,
the digest that stays says nothing about the text. The chain proves that nothing was changed, dropped or moved inside the file; it cannot
prove who wrote it (that needs a key kept elsewhere: `tierkeep.ledger.seal`; guard spec T10).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tierkeep.ledger.engine import Connection
from tierkeep.ledger.rows import dumps

__all__ = [
    "EXTEND", "SALT_BYTES", "TAIL", "Tail", "batch_digest", "event_digest", "extend", "guard_digest", "link", "review_digest",
    "revision_digest", "salts", "tail",
]  # fmt: skip

SALT_BYTES = 16
TAIL = "SELECT n, hash FROM chain ORDER BY n DESC LIMIT 1"
EXTEND = "INSERT INTO chain(n, kind, digest, hash) VALUES(?, ?, ?, ?)"
_START = b"\x00" * 32


class Tail(NamedTuple):
    """The newest entry: its number and its hash; number 0 before the first."""

    n: int
    hash: bytes


def salts(count: int) -> list[bytes]:
    """Return fresh random salts. They are not observable content, so they may differ from run to run."""
    drawn = os.urandom(SALT_BYTES * count)
    return [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]


def link(previous: bytes, kind: str, digest: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(previous + kind.encode() + digest).digest()


def event_digest(salt: bytes, partition: tuple[str, str, str], session: str, stored: Sequence[Any]) -> bytes:
    """Return the digest of an event: salt, owner, session, and (seq, position, id, kind, …, meta) as stored."""
    return hashlib.sha256(salt + dumps([*partition, session, *stored]).encode()).digest()


def revision_digest(salt: bytes, stored: Sequence[Any]) -> bytes:
    """Return the digest of a journal row: salt and (tx, scope, record, op, before, after, why, by) as stored."""
    return hashlib.sha256(salt + dumps(list(stored)).encode()).digest()


def guard_digest(salt: bytes, stored: Sequence[Any]) -> bytes:
    """Return the digest of a line of the guard's log: salt and (scope, at, verb, subject, reasons, by) as stored."""
    return hashlib.sha256(salt + dumps(list(stored)).encode()).digest()


def review_digest(salt: bytes, partition: tuple[str, str, str], stored: Sequence[Any]) -> bytes:
    """Return the digest of a review: salt, owner and (seq, event id, authority)."""
    return hashlib.sha256(salt + dumps([*partition, *stored]).encode()).digest()


def batch_digest(
    head: Sequence[Any], revisions: Iterable[bytes], events: Iterable[int] = (), purged: Iterable[int] = ()
) -> bytes:
    """Return the digest of a batch.

    Args:
        head: (tx, scope, at, kind, undoes).
        revisions: Digests of its journal rows, in order.
        events: Chain numbers of the events, and of their reviews, that a forget removed, ascending.
        purged: Numbers of the journal rows that a forget purged, ascending.
    """
    content = [*head, [digest.hex() for digest in revisions], list(events), list(purged)]
    return hashlib.sha256(dumps(content).encode()).digest()


def tail(connection: Connection) -> Tail:
    """Return the newest entry."""
    row = connection.execute(TAIL).fetchone()
    return Tail(row[0], row[1]) if row else Tail(0, _START)


def extend(connection: Connection, at: Tail, kind: str, digests: Iterable[bytes]) -> Tail:
    """Write entries of one kind after `at`; return the new tail."""
    number, previous = at
    rows = []
    for digest in digests:
        number, previous = number + 1, link(previous, kind, digest)
        rows.append((number, kind, digest, previous))
    connection.executemany(EXTEND, rows)
    return Tail(number, previous)
