"""One connection as the modules of the ledger use it (`tierkeep.ledger.engine.Connection`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from tierkeep.ledger.engine import Rows
from tierkeep.ledger.postgres.dialect import Statement, narrowed, translate
from tierkeep.ledger.postgres.failures import ConnectionLost, typed

__all__ = ["Cursor", "Narrowed", "Raw", "Session"]


class Cursor(psycopg.RawCursor[tuple[Any, ...]]):
    """Takes `$1` for values. It has no number of the last row: statements that need one say RETURNING."""

    lastrowid: int | None = None


Raw = psycopg.Connection[tuple[Any, ...]]
"""A connection of the client library, in autocommit: transactions are begun and ended by statements."""


class Session:
    """Statements of the ledger on one connection.

    Args:
        raw: The connection.
        where: The address as it may be shown.
        fresh: Gives another connection when this one is found dead outside of a transaction, once.

    Attributes:
        scope: Number of the scope that statements with `:scope` are about.
    """

    def __init__(self, raw: Raw, where: str, fresh: Callable[[Raw], Raw] | None = None) -> None:
        self.raw = raw
        self.scope = 0
        self._where = where
        self._fresh = fresh

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open on a connection that is alive."""
        return self.raw.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    @property
    def sound(self) -> bool:
        """Whether the open transaction can be committed: after a failed statement a COMMIT would take it back without a word."""
        return self.raw.info.transaction_status == TransactionStatus.INTRANS

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run a statement of the ledger.

        Raises:
            StorageError: The server refuses it, or is gone.
            InputError: A value cannot be stored.
        """
        statement = self._translated(sql)
        values = statement.bind(parameters, self.scope)
        alone = not self.in_transaction
        try:
            return self._run(statement.text, values)
        except ConnectionLost:
            if self._fresh is None or not alone:
                raise
        # A read that stands alone: nothing hangs on the connection that broke.
        self.raw, self._fresh = self._fresh(self.raw), None
        return self._run(statement.text, values)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Rows:
        """Run a statement of the ledger once for each row of values.

        Raises:
            StorageError: The server refuses it, or is gone.
            InputError: A value cannot be stored.
        """
        statement = self._translated(sql)
        rows = [statement.bind(row, self.scope) for row in parameters]
        if len(rows) == 1:
            return self._run(statement.text, rows[0])  # many wait for the server themselves, even inside of `together`
        cursor = Cursor(self.raw)
        try:
            cursor.executemany(statement.text.encode(), rows)
        except psycopg.Error as error:
            raise typed(error, self._where, broken=self.raw.broken or self.raw.closed) from None
        return cursor

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send the statements of the block one behind the other, and wait once, at its end: for those whose results nobody needs.

        Raises:
            StorageError: The server refuses one of them, or is gone; those behind it were not done either.
        """
        try:
            with self.raw.pipeline():
                yield
        except psycopg.Error as error:
            raise typed(error, self._where, broken=self.raw.broken or self.raw.closed) from None

    def _translated(self, sql: str) -> Statement:
        return translate(sql)

    def _run(self, text: str, values: Sequence[Any]) -> Rows:
        cursor = Cursor(self.raw)
        try:
            cursor.execute(text.encode(), values)
        except psycopg.Error as error:
            # No cause: what the server says in detail names values.
            raise typed(error, self._where, broken=self.raw.broken or self.raw.closed) from None
        return cursor


class Narrowed(Session):
    """Statements that read the whole store, read as about the session's scope alone; rows come as they are asked for."""

    def _translated(self, sql: str) -> Statement:
        return narrowed(sql)
