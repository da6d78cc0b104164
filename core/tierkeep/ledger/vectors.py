"""Vectors of events: stored beside what they were made of, under the identity of the embedder that made them.

They are derived: whoever has the embedder can make them again, so they are neither exported nor covered by the hash chain. A vector
whose event is gone is never written and never stays: the removal of an event takes its vectors along, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError
from tierkeep.ledger import scopes
from tierkeep.ledger.engine import Connection, Lend
from tierkeep.ledger.rows import dumps
from tierkeep.protocols import VectorPage
from tierkeep.records import Scope

__all__ = ["DROP", "PAGE", "UNUSED", "drop", "mark", "miss", "pages", "put", "remove"]

_BYTES = 8 << 20  # of one page: some five thousand vectors of 384 numbers
_ROWS = 8_192
PAGE = """SELECT v.seq, v.vector FROM vectors AS v JOIN embedders AS m ON m.id = v.embedder
    WHERE v.scope = ? AND m.identity = ? AND v.seq > ? ORDER BY v.seq LIMIT ?"""
_PUT = """INSERT OR REPLACE INTO vectors(scope, embedder, seq, vector)
    SELECT ?, ?, seq, ? FROM events WHERE scope = ? AND seq = ?"""
_MARK = """INSERT INTO embedded(scope, embedder, seq) VALUES(?, ?, ?)
    ON CONFLICT(scope, embedder) DO UPDATE SET seq = CASE WHEN excluded.seq > embedded.seq THEN excluded.seq ELSE embedded.seq END"""
_REACHED = """SELECT d.seq, (SELECT min(u.seq) - 1 FROM unembedded AS u WHERE u.scope = d.scope AND u.embedder = d.embedder)
    FROM embedded AS d JOIN embedders AS m ON m.id = d.embedder WHERE d.scope = ? AND m.identity = ?"""
_MISS = """INSERT INTO unembedded(scope, embedder, seq, tries)
    SELECT scope, embedder, ?, 0 FROM embedded WHERE scope = ? AND seq >= ? ON CONFLICT DO NOTHING"""
DROP = "DELETE FROM vectors WHERE scope = ? AND embedder NOT IN (SELECT id FROM embedders WHERE identity = ?)"
UNUSED = """DELETE FROM embedders WHERE identity <> ? AND NOT EXISTS (SELECT 1 FROM vectors WHERE embedder = embedders.id)
    AND NOT EXISTS (SELECT 1 FROM embedded WHERE embedder = embedders.id)"""
_DROP_MARKS = "DELETE FROM embedded WHERE scope = ? AND embedder NOT IN (SELECT id FROM embedders WHERE identity = ?)"
_MOST_TRIES = 3

Rows = Sequence[tuple[int, NDArray[np.float32]]]
"""Places of events, and the vectors of each, shape (parts, dimension)."""


def _write(connection: Connection, number: int, made_by: int, rows: Rows) -> int:
    """Write an embedder's vectors of events over those that it made before; return of how many."""
    values = [(number, made_by, np.ascontiguousarray(vectors, "<f4").tobytes(), number, seq) for seq, vectors in rows]
    return connection.executemany(_PUT, values).rowcount if values else 0


def _unpack(blobs: Sequence[bytes], dimension: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return how many vectors each event has, and all of them."""
    parts = np.asarray([len(blob) // (4 * dimension) for blob in blobs], np.int64)
    return parts, np.frombuffer(b"".join(blobs), "<f4").reshape(-1, dimension).astype(np.float32, copy=False)


def put(
    connection: Connection,
    number: int,
    embedder: tuple[str, int],
    rows: Rows,
    upto: int,
    write: Callable[[Connection, int, int, Rows], int] = _write,
) -> int:
    """Store vectors of events; return of how many. Those of events that are gone, or another owner's, are passed over.

    Args:
        connection: Inside a transaction.
        number: The scope's number.
        embedder: Identity and dimension.
        rows: Places of events, and the vectors of each, shape (parts, dimension), at least one part.
        upto: Up to which event the embedder has been through the scope.
        write: How the engine keeps vectors.

    Raises:
        InputError: The dimension is not the one that this embedder's vectors have here.
    """
    identity = embedder[0]
    made_by, dimension = _embedder(connection, *embedder)
    shapes = [(embedder[1],), *(vectors.shape[1:] for _, vectors in rows)]
    if any(shape != (dimension,) for shape in shapes) or not all(len(vectors) for _, vectors in rows):
        raise InputError(f"vectors of {identity!r} have {dimension} numbers in this store, and each event has at least one")
    stored = write(connection, number, made_by, rows)
    connection.execute(_MARK, (number, made_by, upto))
    if _caught_up(connection, (number, made_by), upto):
        scopes.touch(connection, number)  # a vector came behind some that are cached
    return stored


def miss(connection: Connection, number: int, seq: int) -> None:
    """Have an event embedded that embedders have passed over: they begin again at it, and then go on where they were."""
    connection.execute(_MISS, (seq, number, seq))


def _caught_up(connection: Connection, embedder: tuple[int, int], upto: int) -> bool:
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


def mark(connection: Connection, number: int, identity: str) -> int:
    """Return the place up to which an embedder has been through a scope, without a gap; 0 at first."""
    row = connection.execute(_REACHED, (number, identity)).fetchone()
    return 0 if row is None else int(row[0]) if row[1] is None else min(int(row[0]), int(row[1]))


def _embedder(connection: Connection, identity: str, dimension: int) -> tuple[int, int]:
    """Return an embedder's number and dimension, giving it both when it is new."""
    connection.execute("INSERT INTO embedders(identity, dimension) VALUES(?, ?) ON CONFLICT DO NOTHING", (identity, dimension))
    row = connection.execute("SELECT id, dimension FROM embedders WHERE identity = ?", (identity,)).fetchone()
    return int(row[0]), int(row[1])


def pages(
    lend: Lend,
    scope: Scope,
    identity: str,
    after_seq: int,
    unpack: Callable[[Sequence[bytes], int], tuple[NDArray[np.int64], NDArray[np.float32]]] = _unpack,
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
            rows = connection.execute(PAGE, (scopes.find(connection, scope), identity, after_seq, limit)).fetchall()
        if rows:
            seqs = np.asarray([seq for seq, _ in rows], np.int64)
            yield VectorPage(seqs, *unpack([vector for _, vector in rows], dimension))
        if len(rows) < limit:
            return
        after_seq = rows[-1][0]


def remove(connection: Connection, number: int, seqs: Sequence[int]) -> None:
    """Take the vectors of removed events along, whoever made them."""
    connection.execute("DELETE FROM vectors WHERE scope = ? AND seq IN (SELECT value FROM json_each(?))", (number, dumps(list(seqs))))


def drop(connection: Connection, number: int, but: str) -> int:
    """Drop the vectors of a scope that other embedders than `but` made; return of how many events.

    The name of an embedder that no scope uses any more goes too.
    """
    dropped = connection.execute(DROP, (number, but)).rowcount
    connection.execute(_DROP_MARKS, (number, but))
    connection.execute(UNUSED, (but,))
    return dropped
