"""Owners and their numbers. A number is never given to a second owner, so a stale one finds nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.ledger.engine import Connection
from tierkeep.protocols import Owner, Size
from tierkeep.records import Scope

__all__ = [
    "ENSURE", "GIVE", "NEWEST", "NOBODY", "RAISE", "Growth", "drop_if_empty", "ensure", "find", "generation", "grow", "owners", "size",
    "touch",
]  # fmt: skip

NOBODY = 0
"""Number that no scope has: what is read with it is nothing."""

NEWEST = "SELECT value FROM counters WHERE name = 'generation'"
ENSURE = """INSERT INTO scopes(tenant, "user", agent, generation)
    VALUES(?, ?, ?, (SELECT value FROM counters WHERE name = 'generation'))"""
RAISE = "UPDATE counters SET value = value + 1 WHERE name = 'generation'"
GIVE = "UPDATE scopes SET generation = (SELECT value FROM counters WHERE name = 'generation') WHERE id = ?"
_FIND = 'SELECT id FROM scopes WHERE tenant = ? AND "user" = ? AND agent = ?'
_SIZE = 'SELECT events, chars FROM scopes WHERE tenant = ? AND "user" = ? AND agent = ?'
_GROW = "UPDATE scopes SET events = events + ?, chars = chars + ? WHERE id = ?"
_OWNERS = 'SELECT tenant, "user", agent, events, chars FROM scopes ORDER BY tenant, "user", agent'
_GENERATION = 'SELECT generation FROM scopes WHERE tenant = ? AND "user" = ? AND agent = ?'


def find(connection: Connection, scope: Scope) -> int:
    """Return the scope's number, or `NOBODY` when nothing was ever written for it."""
    row = connection.execute(_FIND, scope.partition).fetchone()
    return int(row[0]) if row else NOBODY


def ensure(connection: Connection, scope: Scope) -> int:
    """Return the scope's number, giving it one at its first write."""
    if number := find(connection, scope):
        return number
    connection.execute(ENSURE, scope.partition)
    return find(connection, scope)


def generation(connection: Connection, scope: Scope) -> int:
    """Return the scope's generation; the store's newest for a scope that is not there, so that dying changes it too."""
    row = connection.execute(_GENERATION, scope.partition).fetchone()
    return int((row or connection.execute(NEWEST).fetchone())[0])


def size(connection: Connection, scope: Scope) -> Size:
    """Return how much the scope holds, from its counters."""
    row = connection.execute(_SIZE, scope.partition).fetchone()
    return Size(int(row[0]), int(row[1])) if row else Size()


def grow(connection: Connection, number: int, by: Size) -> None:
    """Change the scope's counters, in the transaction that changes its events."""
    if by != Size():
        connection.execute(_GROW, (by.events, by.chars, number))


class Growth:
    """What a transaction has appended and not yet counted: a restore would else change the owner's row with each of its events."""

    def __init__(self) -> None:
        self._by = Size()

    def add(self, texts: Sequence[str]) -> None:
        """Note events that were appended."""
        self._by = Size(self._by.events + len(texts), self._by.chars + sum(map(len, texts)))

    def write(self, connection: Connection, number: int) -> None:
        """Bring the scope's counters level with what was noted."""
        by, self._by = self._by, Size()
        grow(connection, number, by)


def owners(connection: Connection) -> list[Owner]:
    """Return every owner that has a number, sorted by name, with what each holds."""
    return [
        Owner(Scope(tenant=tenant, user=user, agent=agent), Size(int(events), int(chars)))
        for tenant, user, agent, events, chars in connection.execute(_OWNERS).fetchall()
    ]


def touch(connection: Connection, number: int) -> None:
    """Give the scope a generation that no scope had before."""
    connection.execute(RAISE)
    connection.execute(GIVE, (number,))


def drop_if_empty(connection: Connection, number: int) -> None:
    """Remove the owner's own name when nothing is left of its memory: the name is personal data too."""
    for question in (
        "SELECT 1 FROM events WHERE scope = ? LIMIT 1",
        "SELECT 1 FROM records WHERE scope = ? LIMIT 1",
        "SELECT 1 FROM journal WHERE scope = ? AND salt IS NOT NULL LIMIT 1",
    ):
        if connection.execute(question, (number,)).fetchone():
            return
    connection.execute("DELETE FROM cursors WHERE scope = ?", (number,))
    connection.execute("DELETE FROM embedded WHERE scope = ?", (number,))
    connection.execute("DELETE FROM confirmations WHERE scope = ?", (number,))
    connection.execute("DELETE FROM sessions WHERE scope = ?", (number,))
    connection.execute("DELETE FROM scopes WHERE id = ?", (number,))
