"""Vectors in pgvector's own type: a row for each part of a text, written and read as `tierkeep.ledger.vectors` has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.ledger.engine import Connection
from tierkeep.ledger.rows import dumps
from tierkeep.ledger.vectors import Rows

__all__ = ["as_text", "unpack", "write"]

_HERE = "SELECT seq FROM events WHERE scope = ? AND seq IN (SELECT value FROM json_each(?))"
_OLD = "DELETE FROM vectors WHERE scope = ? AND embedder = ? AND seq IN (SELECT value FROM json_each(?))"
_NEW = "INSERT INTO vectors(scope, embedder, seq, part, vector) VALUES(?, ?, ?, ?, ?::vector)"
_HEAD = 4  # bytes before the numbers of a vector that `vector_send` gives: dimension, and two of no use


def as_text(vector: NDArray[np.float32]) -> str:
    """Return a vector as pgvector reads it, each number so that it comes back as the same float32."""
    return "[" + ",".join(map(repr, vector.astype(np.float32, copy=False).astype(np.float64).tolist())) + "]"


def write(connection: Connection, number: int, made_by: int, rows: Rows) -> int:
    """Write an embedder's vectors of events over those that it made before; return of how many. Those of events that are gone are left."""
    wanted = dumps([int(seq) for seq, _ in rows])
    here = {seq for (seq,) in connection.execute(_HERE, (number, wanted)).fetchall()}
    last = {seq: vectors for seq, vectors in rows if seq in here}
    if last:
        connection.execute(_OLD, (number, made_by, dumps(list(last))))
        parts = ((number, made_by, seq, part, as_text(one)) for seq, vectors in last.items() for part, one in enumerate(vectors))
        connection.executemany(_NEW, parts)
    return len(last)


def unpack(blobs: Sequence[bytes], dimension: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return how many vectors each event has, and all of them; a blob is its vectors as `vector_send` gives them, one behind the other."""
    width = _HEAD + 4 * dimension
    parts = np.asarray([len(blob) // width for blob in blobs], np.int64)
    rows = np.frombuffer(b"".join(blobs), np.uint8).reshape(-1, width)[:, _HEAD:]
    return parts, np.ascontiguousarray(rows).view(">f4").astype(np.float32)
