"""The sweep that proves a removal: looking for canaries in every table and every byte of every file (strategies spec, 6.14)."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tierkeep.errors import StorageError
from tierkeep.ledger.canaries import MAX_CANARIES, Finder
from tierkeep.ledger.connections import Connections, translated
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.schema import TABLES

__all__ = ["RANDOM", "living", "prove", "row_bytes", "search", "sweep"]

#: Columns of random bytes, hashes and numbers: a short word that stands in them is chance, and says nothing.
RANDOM = {
    "journal.salt", "journal.digest", "vectors.vector", "seals.mac", "guard_log.salt", "reviews.salt", "confirmations.token",
    "confirmations.subject", "confirmations.mac",
}  # fmt: skip
_BLOCK = 512 << 10
_TELLING = frozenset({str, bytes, float})
_REAL = struct.Struct(">d").pack
_CHECKPOINT_WAIT_MS = 2000  # a reader of another process that holds the log longer makes the report incomplete
_POLITE_TRIES = 25  # times that the log is asked for without locking writers out, 20 ms apart
_POLITE_PAUSE_S = 0.02
_COLUMNS_IN_ORDER_OF_INDEX = "SELECT kind, key, status FROM records"  # neighbours in an index page, not in the table


def prove(connections: Connections, words: Sequence[str], number: int) -> tuple[int, list[str], str]:
    """Look for what is left of a removal; compact the file when something is.

    Args:
        connections: The store.
        words: Words of what was removed, rarest first.
        number: The scope that it was removed from.

    Returns:
        How many canaries were looked for, where any was found, and why the result is not complete ("" when it is).
    """
    canaries, found, note = list[str](), dict[str, set[str]](), ""
    try:
        finder = Finder(words)
        with connections.alone() as connection, translated(connections.where):
            note = _truncate_log(connection)
        with connections.reading() as connection, translated(connections.where):
            # Others write meanwhile. A checkpoint may put a page's next image in place of what was not read yet, but moves no page to
            # where was read before, and the log is read last: what is left of the removal is in what is read, or is gone.
            standing = _in_files(connections, connection, finder)
            # To find what the living say takes longest, so it is asked of what stands in a file alone: nothing else could be mistaken.
            said = living(connection, Finder(sorted(set[str]().union(*standing.values()))), number) if standing else set()
            canaries = [word for word in words if word not in said][:MAX_CANARIES]
            if finder.ambiguous:
                standing = _in_files(connections, connection, Finder(canaries))
            found = _in_tables(connection, Finder(canaries), ("journal",)) | _of(standing, set(canaries))
        if found and not note:
            with connections.alone() as connection, translated(connections.where):
                note, found = _compact(connections, connection, Finder(canaries), number)
    except StorageError as error:
        note = f"The removal is done; the sweep after it could not end: {error}"
    return len(canaries), sorted(found), note


def _of(places: dict[str, set[str]], terms: set[str]) -> dict[str, set[str]]:
    """Return where these of the terms stand."""
    return {place: hits & terms for place, hits in places.items() if hits & terms}


def _compact(
    connections: Connections, connection: sqlite3.Connection, finder: Finder, number: int
) -> tuple[str, dict[str, set[str]]]:
    """Compact the file, because something was found in it, and look again."""
    connection.execute("VACUUM")
    note = _truncate_log(connection)
    found = _in_tables(connection, finder, ("journal",)) | _in_files(connections, connection, finder)
    return note, _real(connection, found, number) if found and not note else found


def _real(connection: Connection, found: dict[str, set[str]], number: int) -> dict[str, set[str]]:
    """What of the terms found in a compacted file is residue.

    A compacted file holds columns and nothing else, so a term that no column holds is where two neighbours meet by chance;
    and one that something living holds was said by somebody since the removal.
    """
    suspects = set[str]().union(*found.values())
    suspects -= living(connection, Finder(sorted(suspects)), number)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    others = [name for (name,) in tables.fetchall() if name not in TABLES]
    columns = _in_tables(connection, Finder(sorted(suspects)), ("journal", *others))
    standing = set[str]().union(*columns.values())
    return columns | _of(found, standing)


def sweep(connections: Connections, canaries: Iterable[str]) -> list[str]:
    """Return where any of these terms is found: "table.column" or "file:name"."""
    finder = Finder(list(dict.fromkeys(canaries)))
    with connections.reading() as connection:
        if not connections.read_only and not connection.in_transaction:
            _truncate_log(connection)
        found = _in_tables(connection, finder, TABLES) | _in_files(connections, connection, finder)
    return sorted(found)


def _truncate_log(connection: Connection) -> str:
    """Move the write-ahead log into the file and empty it; return why that was not possible, or "".

    SQLite waits for readers with every writer locked out. So it is asked a few times without waiting, which is enough where reads are
    short, and waits only then.
    """
    (wait,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        for _ in range(_POLITE_TRIES):
            if not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                return ""
            time.sleep(_POLITE_PAUSE_S)
        connection.execute(f"PRAGMA busy_timeout = {min(wait, _CHECKPOINT_WAIT_MS):d}")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {wait:d}")
    return "Another process is reading the store, so its log cannot be emptied yet; sweep again later." if busy else ""


def row_bytes(row: Iterable[Any]) -> bytes:
    """A row's values as one run of bytes, folded: as they stand beside each other in a page."""
    # By exact type, as the drivers give them: half of the values are numbers, which say nothing, and every row of the store comes by here.
    return b"".join([
        value.casefold().encode("utf-8", "surrogatepass") if type(value) is str else value if type(value) is bytes else _REAL(value)
        for value in row if type(value) in _TELLING
    ])  # fmt: skip


def living(connection: Connection, finder: Finder, number: int) -> set[str]:
    """Terms that something living holds, in any scope: they cannot tell whether a removal was complete.

    The journal of the scope itself is left out: it is where a removed text would linger.
    """
    found: set[str] = set()
    questions: list[tuple[str, tuple[int, ...]]] = [("SELECT sql FROM sqlite_master", ()), (_COLUMNS_IN_ORDER_OF_INDEX, ())]
    for table in TABLES:
        if table == "journal":
            questions.append(("SELECT * FROM journal WHERE scope <> ?", (number,)))
        elif table in ("vectors", "seals", "confirmations"):
            continue  # nothing but numbers and hashes, and by far the largest
        else:
            questions.append((" ".join(("SELECT * FROM", table)), ()))
    for question, values in questions:
        if finder.all_in(found):
            break
        search(connection, question, values, finder, found)
    return found


def search(
    connection: Connection, question: str, values: Sequence[Any], finder: Finder, found: set[str]
) -> None:
    """Add to `found` the terms in the rows of a question; stop when there is no other left to find."""
    block: list[bytes] = []
    size = 0
    for row in connection.execute(question, values):
        block.append(row_bytes(row))
        size += len(block[-1])
        if size > _BLOCK:
            finder.find(b"\n".join(block), found)
            block, size = [], 0
            if finder.all_in(found):
                return
    finder.find(b"\n".join(block), found)


def _in_tables(connection: Connection, finder: Finder, tables: Sequence[str]) -> dict[str, set[str]]:
    """Where terms stand in columns: "table.column" and the terms."""
    places: dict[str, set[str]] = {}
    for table in tables:
        for _, name, *_ in connection.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall():
            if f"{table}.{name}" in RANDOM:
                continue
            hits = places.setdefault(f"{table}.{name}", set())
            search(connection, " ".join(("SELECT", _quoted(name), "FROM", _quoted(table))), (), finder, hits)
    return {place: hits for place, hits in places.items() if hits}


def _quoted(name: str) -> str:
    """An identifier as SQL, for tables that other tools made in our file."""
    return '"' + name.replace('"', '""') + '"'


def _in_files(connections: Connections, connection: sqlite3.Connection, finder: Finder) -> dict[str, set[str]]:
    """Where terms stand in the raw bytes of the store's files: "file:name" and the terms."""
    places: dict[str, set[str]] = {}
    if connections.claim is None:
        finder.find(connection.serialize(), places.setdefault("memory", set()))
    else:
        for path in connections.claim.files():
            for block in connections.claim.blocks(path, finder.overlap):
                finder.find(block, places.setdefault(f"file:{path.name}", set()))
    return {place: hits for place, hits in places.items() if hits}
