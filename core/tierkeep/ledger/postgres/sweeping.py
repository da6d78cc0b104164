"""The sweep that proves a removal in PostgreSQL: looking for canaries in every column of the tables.

A removal reaches the rows of its scope and no others, so that scope is what is looked through after it. The server's files are out of reach
from here: dead versions of rows stay in them until VACUUM has passed, and in its log and backups for as long as those are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tierkeep.errors import StorageError
from tierkeep.ledger.canaries import MAX_CANARIES, Finder
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.postgres.connections import Connections
from tierkeep.ledger.postgres.dialect import PARTITIONED
from tierkeep.ledger.sweeping import RANDOM, search

__all__ = ["living", "prove", "sweep"]

_UNTELLING = ("vectors", "confirmations")  # nothing but numbers and hashes
_NAMES = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
_WHOLE = ("scopes", "embedders", "counters")


def living(connection: Connection, finder: Finder, number: int) -> set[str]:
    """Terms that something living of a scope holds. Its journal is left out: it is where a removed text would linger."""
    found: set[str] = set()
    for table in PARTITIONED:
        if table != "journal" and table not in _UNTELLING:
            search(connection, " ".join(("SELECT * FROM", table, "WHERE scope = ?")), (number,), finder, found)
    search(connection, "SELECT * FROM scopes WHERE id = ?", (number,), finder, found)
    search(connection, _NAMES, (), finder, found)  # images of records name their fields
    return found


def prove(connections: Connections, words: Sequence[str], number: int) -> tuple[int, list[str], str]:
    """Look for what is left of a removal.

    Returns:
        How many canaries were looked for, where any was found, and why the result is not complete ("" when it is).
    """
    canaries, found, note = list[str](), list[str](), ""
    try:
        with connections.snapshot() as session:
            said = living(session, Finder(words), number)
            canaries = [word for word in words if word not in said][:MAX_CANARIES]
            found = _in_tables(session, Finder(canaries), number)
    except StorageError as error:
        note = f"The removal is done; the sweep after it could not end: {error}"
    return len(canaries), found, note


def sweep(connections: Connections, canaries: Iterable[str]) -> list[str]:
    """Return where any of these terms is found, over every scope: "table.column"."""
    finder = Finder(list(dict.fromkeys(canaries)))
    with connections.snapshot() as session:
        return _in_tables(session, finder, None)


def _in_tables(session: Connection, finder: Finder, number: int | None) -> list[str]:
    """Where terms stand in columns, of one scope or of all."""
    places = []
    for table, column in sorted(session.execute(_NAMES).fetchall()):
        if table not in (*PARTITIONED, *_WHOLE) or f"{table}.{column}" in RANDOM or (number is not None and table in _WHOLE):
            continue
        hits: set[str] = set()
        narrow = () if number is None else ("WHERE scope = ?",)
        question = " ".join(("SELECT", f'"{column}"', "FROM", table, *narrow))
        search(session, question, () if number is None else (number,), finder, hits)
        if hits:
            places.append(f"{table}.{column}")
    return places
