"""A sealed store: a code for everything that a reader or the guard relies on, and what is checked when it is opened (guard spec, T10).

Each event, record, review, vector, cursor and mark has a code in `seals`; a confirmation has its own in its row. The newest entry of the
hash chain has one too ("head"): since no entry can change without changing the newest, it seals the guard's log, the journal and every
batch. A code covers the owner, so that no row can be given to another, and its place, so that no two can be exchanged. `anchor` keeps the
newest entry outside of the store, and so notices an older copy.

Not covered, because nothing that is returned rests on it: counters of generations, `sqlite_sequence`, and what a purged row of the
journal still names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tierkeep.errors import SettingsError, StoreCorrupt
from tierkeep.ledger import anchors, chain
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.reading import EVENTS, RECORDS, sealed_elevation, sealed_event, sealed_record, sealed_review
from tierkeep.ledger.rows import dumps
from tierkeep.ledger.seal import Seal, StoreKey
from tierkeep.records import Scope

__all__ = ["Sealer", "begin", "check_opening", "is_own", "seal_everything", "sealed_rows", "store_name", "waiting_rows"]

_TAIL = 64  # entries of the chain whose links are checked when a store is opened
_PUT = "INSERT OR REPLACE INTO seals(kind, number, name, mac) VALUES(?, ?, ?, ?)"
_OWNERS = "SELECT id, tenant, user, agent FROM scopes"
_VECTORS = """SELECT v.scope, v.seq, v.embedder, m.identity, m.dimension, v.vector FROM vectors AS v
    JOIN embedders AS m ON m.id = v.embedder"""
_MARKS = """SELECT d.scope, d.embedder, m.identity, m.dimension, d.seq FROM embedded AS d JOIN embedders AS m ON m.id = d.embedder"""
# The store's own code, or any when it has none. Not one ORDER BY: that reads the codes of all events, and each transaction asks this.
_FIRST = """SELECT kind, name, mac FROM (SELECT kind, name, mac FROM seals WHERE kind = 'store' LIMIT 1)
    UNION ALL SELECT kind, name, mac FROM (SELECT kind, name, mac FROM seals LIMIT 1) LIMIT 1"""
_SWAPPED = "It was changed by somebody without the key. Keep it, and restore from a backup."


class Row(NamedTuple):
    """One row that has a code: where the code stands, and what it covers."""

    kind: str
    number: int
    name: str
    values: Sequence[Any]
    blob: bytes = b""


class Waiting(NamedTuple):
    """A confirmation that was issued and not used: what its code covers, and the code."""

    token: bytes
    values: Sequence[Any]
    mac: object


class Sealer:
    """Writes the codes of one transaction. Without a key it does nothing.

    Args:
        connection: Inside a transaction.
        key: The store's key.
    """

    def __init__(self, connection: Connection, key: StoreKey | None) -> None:
        self._connection = connection
        self.key = key

    def put(self, rows: Iterable[Row]) -> None:
        """Write codes, in place of those that stand there."""
        if self.key is not None:
            key = self.key
            self._connection.executemany(_PUT, ((r.kind, r.number, r.name, key.mac(r.kind, r.values, r.blob)) for r in rows))

    def events(self, scope: Scope, stored: Iterable[tuple[int, str, Sequence[Any]]]) -> None:
        """Seal events: each its chain entry, its session, and (seq, position, id, …, meta) as stored."""
        self.put(Row("event", row[0], "", sealed_event(scope, entry, (row[0], session, *row[1:]))) for entry, session, row in stored)

    def record(self, scope: Scope, seq: int, row: Sequence[Any]) -> None:
        """Seal a record as it is stored now."""
        self.put([Row("record", seq, "", sealed_record(scope, seq, row))])

    def review(self, scope: Scope, seq: int, authority: int, entry: int) -> None:
        """Seal a review."""
        self.put([Row("review", seq, "", sealed_review(scope, seq, authority, entry))])

    def elevation(self, scope: Scope, seq: int, entry: int) -> None:
        """Seal an elevation."""
        self.put([Row("elevation", seq, "", sealed_elevation(scope, seq, entry))])

    def cursor(self, scope: Scope, number: int, name: str, seq: int) -> None:
        """Seal a deriver's place."""
        self.put([Row("cursor", number, name, [*scope.partition, name, seq])])

    def vectors_of(self, number: int, embedder: str, seqs: Sequence[int]) -> None:
        """Seal an embedder's vectors of these events, and how far it came."""
        if self.key is None:
            return
        owners = _owners(self._connection)
        these = "WHERE v.scope = ? AND m.identity = ? AND v.seq IN (SELECT value FROM json_each(?))"
        values = (number, embedder, dumps([int(seq) for seq in seqs]))
        self.put(_vector_rows(self._connection.execute(" ".join((_VECTORS, these)), values), owners))
        marks = self._connection.execute(" ".join((_MARKS, "WHERE d.scope = ? AND m.identity = ?")), (number, embedder))
        self.put(_mark_rows(marks, owners))

    def confirmation(self, scope: Scope, token: bytes, subject: bytes, expires: float) -> bytes | None:
        """Return the code of a confirmation, or None without a key."""
        return None if self.key is None else self.key.mac("confirmation", [*scope.partition, token, subject, expires])

    def confirms(self, mac: object, scope: Scope, token: bytes, subject: bytes, expires: float) -> bool:
        """Return whether a confirmation is one that was issued; always True without a key."""
        return self.key is None or self.key.holds(mac, "confirmation", [*scope.partition, token, subject, expires])

    def head(self) -> None:
        """Seal the newest entry of the chain, just before the commit."""
        if self.key is not None:
            tail = chain.tail(self._connection)
            self._connection.execute("DELETE FROM seals WHERE kind = 'head' AND number <> ?", (tail.n,))
            self.put([Row("head", tail.n, "", [tail.n, tail.hash])])


# ------------------------------------------------------------------------------------------------- all that is sealed


def sealed_rows(connection: Connection) -> Iterator[Row]:
    """Yield every row that has a code in `seals`, as it stands in the store."""
    owners = _owners(connection)
    for number, owner in owners.items():
        for *row, entry, reviewed, review, elevated in connection.execute(EVENTS, (number,)):
            yield Row("event", row[0], "", sealed_event(owner, entry, row))
            if review is not None:
                yield Row("review", row[0], "", sealed_review(owner, row[0], reviewed, review))
            if elevated is not None:
                yield Row("elevation", row[0], "", sealed_elevation(owner, row[0], elevated))
        for seq, *row in connection.execute(RECORDS, (number,)):
            yield Row("record", seq, "", sealed_record(owner, seq, row))
        for name, seq in connection.execute("SELECT name, seq FROM cursors WHERE scope = ?", (number,)):
            yield Row("cursor", number, name, [*owner.partition, name, seq])
    yield from _vector_rows(connection.execute(_VECTORS), owners)
    yield from _mark_rows(connection.execute(_MARKS), owners)
    tail = chain.tail(connection)
    yield Row("head", tail.n, "", [tail.n, tail.hash])


def _owners(connection: Connection) -> dict[int, Scope]:
    return {number: Scope(tenant=tenant, user=user, agent=agent) for number, tenant, user, agent in connection.execute(_OWNERS).fetchall()}


def _vector_rows(rows: Iterable[Sequence[Any]], owners: dict[int, Scope]) -> Iterator[Row]:
    for scope, seq, embedder, identity, dimension, vector in rows:
        owner = owners.get(scope)
        values = [*(owner.partition if owner else ("?", scope)), seq, identity, dimension]
        yield Row("vector", seq, str(embedder), values, vector if isinstance(vector, bytes) else b"?")


def _mark_rows(rows: Iterable[Sequence[Any]], owners: dict[int, Scope]) -> Iterator[Row]:
    for scope, embedder, identity, dimension, seq in rows:
        owner = owners.get(scope)
        yield Row("mark", scope, str(embedder), [*(owner.partition if owner else ("?", scope)), identity, dimension, seq])


def waiting_rows(connection: Connection) -> Iterator[Waiting]:
    """Yield the confirmations that were issued and not used."""
    owners = _owners(connection)
    rows = connection.execute("SELECT token, scope, subject, expires, mac FROM confirmations").fetchall()
    for token, scope, subject, expires, mac in rows:
        owner = owners.get(scope)
        yield Waiting(token, [*(owner.partition if owner else ("?", scope)), token, subject, expires], mac)


def seal_everything(connection: Connection, seal: Seal, store: str) -> StoreKey:
    """Write every code anew under a key, inside a transaction; return the store's key."""
    key = seal.of_store(store)
    connection.execute("DELETE FROM seals")
    sealer = Sealer(connection, key)
    sealer.put([Row("store", 0, store, [store])])
    sealer.put(sealed_rows(connection))
    for waiting in list(waiting_rows(connection)):
        mac = key.mac("confirmation", waiting.values)
        connection.execute("UPDATE confirmations SET mac = ? WHERE token = ?", (mac, waiting.token))
    return key


# -------------------------------------------------------------------------------------------------------- opening


def store_name(connection: Connection) -> str | None:
    """Return the name under which the store is sealed, or None when it bears no seal."""
    row = connection.execute(_FIRST).fetchone()
    return None if row is None else str(row[1])


def is_own(connection: Connection, key: StoreKey | None) -> bool:
    """Return whether the store is sealed with this very key, or with none when there is none."""
    row = connection.execute(_FIRST).fetchone()
    if key is None or row is None:
        return key is None and row is None
    return row[0] == "store" and key.holds(row[2], "store", [row[1]])


def begin(connection: Connection, seal: Seal, where: str | None, sound: Callable[[], Sequence[str]]) -> StoreKey:
    """Seal a store that bears no seal, inside a transaction; return its key.

    Args:
        connection: Inside a write transaction.
        seal: The key.
        where: The store's path.
        sound: Verifies the store; returns what is wrong.

    Raises:
        SettingsError: It holds something, and the seal does not say `adopt=True`.
        StoreCorrupt: It does not verify, or there is an anchor, so that it must once have been sealed.
    """
    if seal.anchor is not None and seal.anchor.exists():
        message = f"The store at {where} bears no seal, and its anchor {seal.anchor} says that it had one. {_SWAPPED}"
        raise StoreCorrupt(message, path=where)
    holds = connection.execute("SELECT 1 FROM chain UNION ALL SELECT 1 FROM scopes LIMIT 1").fetchone()
    if holds and not seal.adopt:
        message = (
            f"The store at {where} holds memories and bears no seal. If that is as you know it, open it once with "
            "Seal(…, adopt=True): it is verified and sealed as it is. If it was sealed before, somebody stripped it."
        )
        raise SettingsError(message)
    if holds and (problems := sound()):
        raise StoreCorrupt(f"The store at {where} is not sealed, because it does not verify: {problems[0]}", path=where)
    return seal_everything(connection, seal, os.urandom(16).hex())


def check_opening(connection: Connection, seal: Seal, store: str, where: str | None) -> StoreKey:
    """Check the key, the newest entries of the chain and the anchor of a sealed store; return its key.

    Raises:
        SettingsError: It is sealed with another key, or the anchor is missing and the seal does not say `adopt=True`.
        StoreCorrupt: Its newest entries do not hold, or it is older than its anchor.
    """
    key = seal.of_store(store)
    rows = connection.execute("SELECT number, name, mac FROM seals WHERE kind = 'store'").fetchall()
    if len(rows) != 1 or not key.holds(rows[0][2], "store", [store]):
        message = f"The store at {where} is sealed with another key. Open it with the key that it was sealed with; nothing was read."
        raise SettingsError(message)
    tail = chain.tail(connection)
    heads = connection.execute("SELECT number, mac FROM seals WHERE kind = 'head'").fetchall()
    if len(heads) != 1 or heads[0][0] != tail.n or not key.holds(heads[0][1], "head", [tail.n, tail.hash]):
        raise StoreCorrupt(f"The newest entries of the store at {where} are not those that were sealed. {_SWAPPED}", path=where)
    rows = connection.execute("SELECT n, kind, digest, hash FROM chain ORDER BY n DESC LIMIT ?", (_TAIL,)).fetchall()
    for (_, kind, digest, hash_), before in pairwise(rows):
        if chain.link(before[3], kind, digest) != hash_:
            raise StoreCorrupt(f"The newest entries of the store at {where} do not follow from one another. {_SWAPPED}", path=where)
    if seal.anchor is not None:
        anchors.check(connection, seal, key, where)
    return key
