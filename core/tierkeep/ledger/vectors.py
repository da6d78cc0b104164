"""Vectors of events: stored beside what they were made of, under the identity of the embedder that made them.

They are derived: whoever has the embedder can make them again, so they are neither exported nor covered by the hash chain. A vector
whose event is gone is never written and never stays: the removal of an event takes its vectors along, in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError
from tierkeep.ledger import scopes
from tierkeep.ledger.rows import dumps
from tierkeep.protocols import VectorPage
from tierkeep.records import Scope

__all__ = ["drop", "mark", "miss", "pages", "put", "remove"]

_BYTES = 8 << 20  # of one page: some five thousand vectors of 384 numbers
_ROWS = 8_192
_PAGE = """SELECT v.seq, v.vector FROM vectors AS v JOIN embedders AS m ON m.id = v.embedder
    WHERE v.scope = ? AND m.identity = ? AND v.seq > ? ORDER BY v.seq LIMIT ?"""
_PUT = """INSERT OR REPLACE INTO vectors(scope, embedder, seq, vector)
    SELECT ?, ?, seq, ? FROM events WHERE scope = ? AND seq = ?"""
_MARK = """INSERT INTO embedded(scope, embedder, seq) VALUES(?, ?, ?)
    ON CONFLICT(scope, embedder) DO UPDATE SET seq = max(seq, excluded.seq)"""
_REACHED = """SELECT min(d.seq, coalesce((SELECT min(u.seq) - 1 FROM unembedded AS u WHERE u.scope = d.scope AND u.embedder = d.embedder),
    d.seq)) FROM embedded AS d JOIN embedders AS m ON m.id = d.embedder WHERE d.scope = ? AND m.identity = ?"""
_MISS = """INSERT OR IGNORE INTO unembedded(scope, embedder, seq, tries)
    SELECT scope, embedder, ?, 0 FROM embedded WHERE scope = ? AND seq >= ?"""
_MOST_TRIES = 3


def put(
    connection: sqlite3.Connection, number: int, embedder: tuple[str, int], rows: Sequence[tuple[int, NDArray[np.float32]]], upto: int
) -> int:
    """Store vectors of events; return of how many. Those of events that are gone, or another owner's, are passed over.

    Args:
        connection: Inside a transaction.
        number: The scope's number.
        embedder: Identity and dimension.
        rows: Places of events, and the vectors of each, shape (parts, dimension), at least one part.
        upto: Up to which event the embedder has been through the scope.

    Raises:
        InputError: The dimension is not the one that this embedder's vectors have here.
    """
    identity = embedder[0]
    made_by, dimension = _embedder(connection, *embedder)
    shapes = [(embedder[1],), *(vectors.shape[1:] for _, vectors in rows)]
    if any(shape != (dimension,) for shape in shapes) or not all(len(vectors) for _, vectors in rows):
        raise InputError(f"vectors of {identity!r} have {dimension} numbers in this store, and each event has at least one")
    values = [(number, made_by, np.ascontiguousarray(vectors, "<f4").tobytes(), number, seq) for seq, vectors in rows]
    stored = connection.executemany(_PUT, values).rowcount if values else 0
    connection.execute(_MARK, (number, made_by, upto))
    if _caught_up(connection, (number, made_by), upto):
        scopes.touch(connection, number)  # a vector came behind some that are cached
    return stored


def miss(connection: sqlite3.Connection, number: int, seq: int) -> None:
    """Have an event embedded that embedders have passed over: they begin again at it, and then go on where they were."""
    connection.execute(_MISS, (seq, number, seq))


def _caught_up(connection: sqlite3.Connection, embedder: tuple[int, int], upto: int) -> bool:
    """Strike from the list what has its vectors now; return whether anything was on it.

    An embedder that read an event just before its release has no vector of it, so it comes back; an event that cannot be read any more
    gets none ever, so it comes back a few times only.
    """
    waiting = (*embedder, upto)
    if not connection.execute("SELECT 1 FROM unembedded WHERE scope = ? AND embedder = ? AND seq <= ?", waiting).fetchone():
        return False
    connection.execute("UPDATE unembedded SET tries = tries + 1 WHERE scope = ? AND embedder = ? AND seq <= ?", waiting)
    connection.execute(
        "DELETE FROM unembedded WHERE scope = ? AND embedder = ? AND seq <= ? AND (tries >= ? OR EXISTS (SELECT 1 FROM vectors AS v "
        "WHERE v.scope = unembedded.scope AND v.embedder = unembedded.embedder AND v.seq = unembedded.seq))",
        (*waiting, _MOST_TRIES),
    )
    return True


def mark(connection: sqlite3.Connection, number: int, identity: str) -> int:
    """Return the place up to which an embedder has been through a scope, without a gap; 0 at first."""
    row = connection.execute(_REACHED, (number, identity)).fetchone()
    return int(row[0]) if row else 0


def _embedder(connection: sqlite3.Connection, identity: str, dimension: int) -> tuple[int, int]:
    """Return an embedder's number and dimension, giving it both when it is new."""
    connection.execute("INSERT OR IGNORE INTO embedders(identity, dimension) VALUES(?, ?)", (identity, dimension))
    row = connection.execute("SELECT id, dimension FROM embedders WHERE identity = ?", (identity,)).fetchone()
    return int(row[0]), int(row[1])


def pages(
    lend: Callable[[], AbstractContextManager[sqlite3.Connection]], scope: Scope, identity: str, after_seq: int
) -> Iterator[VectorPage]:
    """Yield an embedder's vectors of a scope in ledger order, in pages of bounded size."""
    with lend() as connection:
        row = connection.execute("SELECT dimension FROM embedders WHERE identity = ?", (identity,)).fetchone()
    if row is None:
        return
    dimension = int(row[0])
    limit = min(_ROWS, max(1, _BYTES // (4 * dimension)))
    while True:
        with lend() as connection:
            rows = connection.execute(_PAGE, (scopes.find(connection, scope), identity, after_seq, limit)).fetchall()
        if rows:
            seqs = np.asarray([seq for seq, _ in rows], np.int64)
            parts = np.asarray([len(vector) // (4 * dimension) for _, vector in rows], np.int64)
            matrix = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(-1, dimension)
            yield VectorPage(seqs, parts, matrix.astype(np.float32, copy=False))
        if len(rows) < limit:
            return
        after_seq = rows[-1][0]


def remove(connection: sqlite3.Connection, number: int, seqs: Sequence[int]) -> None:
    """Take the vectors of removed events along, whoever made them."""
    connection.execute("DELETE FROM vectors WHERE scope = ? AND seq IN (SELECT value FROM json_each(?))", (number, dumps(list(seqs))))


def drop(connection: sqlite3.Connection, number: int, but: str) -> int:
    """Drop the vectors of a scope that other embedders than `but` made; return of how many events.

    The name of an embedder that no scope uses any more goes too.
    """
    others = "scope = ? AND embedder NOT IN (SELECT id FROM embedders WHERE identity = ?)"
    dropped = connection.execute(f"DELETE FROM vectors WHERE {others}", (number, but)).rowcount  # noqa: S608
    connection.execute(f"DELETE FROM embedded WHERE {others}", (number, but))  # noqa: S608
    connection.execute(
        "DELETE FROM embedders WHERE identity <> ? AND NOT EXISTS (SELECT 1 FROM vectors WHERE embedder = embedders.id) "
        "AND NOT EXISTS (SELECT 1 FROM embedded WHERE embedder = embedders.id)",
        (but,),
    )
    return dropped
