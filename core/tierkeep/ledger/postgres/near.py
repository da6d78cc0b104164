"""Vector search inside of PostgreSQL: pgvector compares every vector of one scope, exactly, and only the nearest leave the server.

For scopes whose vectors no process should hold. Nothing is derived, so nothing lags, is lost or has to be made again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import InputError, SettingsError
from tierkeep.ledger import scopes
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.postgres.failures import Cancelled
from tierkeep.ledger.postgres.vectors import as_text
from tierkeep.ledger.postgres.views import PostgresView
from tierkeep.protocols import Near, View
from tierkeep.records import Scope

__all__ = ["PgVectors"]

_NOTHING = Near(np.zeros(0, np.int64), np.zeros(0, np.float32))
_EMBEDDER = "SELECT id, dimension FROM embedders WHERE identity = ?"
# MATERIALIZED: each vector is compared once, for the best part of its event and for the spread of all.
_NEAREST = """WITH compared AS MATERIALIZED (
        SELECT v.seq, -(v.vector <#> ?::vector) AS similarity FROM vectors AS v WHERE v.scope = ? AND v.embedder = ?),
    events_best AS (SELECT seq, max(similarity) AS similarity FROM compared {of_session} GROUP BY seq),
    whole AS (SELECT count(DISTINCT seq) AS events, avg(similarity) AS mean, stddev_pop(similarity) AS deviation FROM compared)
    SELECT b.seq, b.similarity, w.events, w.mean, w.deviation
    FROM (SELECT * FROM events_best ORDER BY similarity DESC, seq LIMIT ?::bigint) AS b CROSS JOIN whole AS w ORDER BY b.seq"""
_OF_SESSION = """WHERE seq IN (SELECT e.seq FROM events AS e JOIN sessions AS s ON s.scope = e.scope AND s.id = e.session
        WHERE e.scope = ? AND s.name = ?)"""
_ALL: Final = _NEAREST.format(of_session="")
_ONE_SESSION: Final = _NEAREST.format(of_session=_OF_SESSION)
_TIMEOUT = "SELECT set_config('statement_timeout', ?, false)"


class PgVectors:
    """Exact search in the server (`tierkeep.protocols.VectorIndex`), for a memory whose store is PostgreSQL. Threads may share it.

    Args:
        k: Events that a search returns at most. An event that is not among them counts as unlike.

    Raises:
        SettingsError: `k` is below 1.
    """

    name = "pgvector"

    def __init__(self, k: int = 1024) -> None:
        if k < 1:
            raise SettingsError("k must be 1 or more")
        self._k = k

    def near(self, view: View, identity: str, vector: NDArray[np.float32], allowance: Allowance) -> Near:
        """Return the `k` events whose vectors are most similar, in ledger order, and the spread of all vectors when there are more.

        A view that is bound to a session gets the best of that session.

        Raises:
            InputError: The vector does not have the embedder's dimension, or is not finite.
            SettingsError: The view is not of a store in PostgreSQL.
            StoreUnavailable: The server cannot be reached.
        """
        vector = np.asarray(vector, np.float32)
        if not np.isfinite(vector).all():
            raise InputError("the vector of a question has numbers that are not finite")
        lend = _in_postgres(view).lend
        seconds = allowance.seconds_left()
        if seconds is not None and seconds <= 0:
            return _NOTHING._replace(complete=False)
        with lend() as connection:
            made_by = connection.execute(_EMBEDDER, (identity,)).fetchone()
            if made_by is None:
                return _NOTHING
            if vector.shape != (made_by[1],):
                raise InputError(f"vectors of {identity!r} have {made_by[1]} numbers, and the question's shape is {vector.shape}")
            if seconds is None:
                return self._compared(connection, view.scope, int(made_by[0]), vector)
            connection.execute(_TIMEOUT, (str(max(1, int(seconds * 1000))),))
            try:
                return self._compared(connection, view.scope, int(made_by[0]), vector)
            except Cancelled:
                return _NOTHING._replace(complete=False)
            finally:
                connection.execute("RESET statement_timeout")

    def level(self, view: View, identity: str, allowance: Allowance) -> bool:
        """Do nothing and say that it is done: what is searched is the ledger.

        Raises:
            SettingsError: The view is not of a store in PostgreSQL.
        """
        _in_postgres(view)
        return True

    def forget(self, scope: Scope) -> None:
        """Do nothing: vectors go with their events, in one transaction."""

    def close(self) -> None:
        """Do nothing: the connections are the ledger's."""

    def _compared(self, connection: Connection, scope: Scope, made_by: int, vector: NDArray[np.float32]) -> Near:
        number = scopes.find(connection, scope)
        of_session = () if scope.session is None else (number, scope.session)
        values = (as_text(vector), number, made_by, *of_session, self._k)
        rows = connection.execute(_ALL if scope.session is None else _ONE_SESSION, values).fetchall()
        if not rows:
            return _NOTHING
        _, _, events, mean, deviation = rows[0]
        seqs = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        similarities = np.fromiter((row[1] for row in rows), np.float32, len(rows))
        return Near(seqs, similarities, spread=None if len(rows) == events else (float(mean), float(deviation)))


def _in_postgres(view: View) -> PostgresView:
    if not isinstance(view, PostgresView):
        raise SettingsError("PgVectors searches inside of PostgreSQL, and this memory is a file: open postgresql://… or leave vectors= out")
    return view
