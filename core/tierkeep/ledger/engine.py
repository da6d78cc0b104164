"""What the modules of the ledger ask of a database: statements in, rows out, whichever engine keeps the tables.

The statements of `tierkeep.ledger` are written in SQLite's dialect: `?` for a value, `json_each(?)` for a list, and a plus before a column
that SQLite's planner must not go by. `sqlite3.Connection` takes them as they are; `tierkeep.ledger.postgres.dialect` says how the same
statements read in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["Connection", "Lend", "Rows", "Store"]


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    @property
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted, where the engine says it."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""
        ...


class Connection(Protocol):
    """One connection to a store."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open: False as well when the engine has taken it back of its own accord."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Rows:
        """Run a statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Rows:
        """Run a statement once for each row of values."""
        ...


Lend = Callable[[], AbstractContextManager[Connection]]
"""Gives a connection for one short read."""


class Store(Protocol):
    """The connections of one store, as an export needs them."""

    @property
    def where(self) -> str | None:
        """What messages call the store; None when it has no place."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Lend a connection for one short read."""
        ...

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Lend a connection whose reads all see the store as it is at the first of them."""
        ...
