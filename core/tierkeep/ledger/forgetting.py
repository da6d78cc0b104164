"""Forgetting: closure over provenance, purge, and the sweep that proves it (strategies spec, 3.4 and 6.14).

A record whose sources are all gone dies. One that lost a source, or rests on one that did, is blanked and quarantined until
it is derived again. What is left of the dead in links and in the journal goes in the same transaction. After the commit the
log is truncated and the removed text's rare terms are looked for in every table and every byte of every file.
"""

from __future__ import annotations

import sqlite3
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tierkeep.errors import StorageError
from tierkeep.ledger import scopes
from tierkeep.ledger.canaries import MAX_CANARIES, Finder, spoken, words
from tierkeep.ledger.connections import Connections, translated
from tierkeep.ledger.ops import Change, RecordTable
from tierkeep.ledger.rows import dumps, loads
from tierkeep.ledger.schema import TABLES
from tierkeep.ledger.transactions import SqliteTransaction
from tierkeep.records import Origin, Record

__all__ = ["Removal", "remove", "sweep", "sweep_after"]

_BLOCK = 4 << 20
_CHECKPOINT_WAIT_MS = 2000  # a reader of another process that holds the log longer makes the report incomplete
_COLUMNS_IN_ORDER_OF_INDEX = "SELECT kind, key, status FROM records"  # neighbours in an index page, not in the table


class Removal(NamedTuple):
    """What a forget took out of the tables.

    Attributes:
        scope: Number of the scope.
        events: How many events.
        records: How many records, because all their sources were gone.
        survivors: Records that were blanked, in order of creation.
        words: Words of everything that was removed, rarest first.
    """

    scope: int
    events: int
    records: int
    survivors: tuple[Record, ...]
    words: list[str]


# ---------------------------------------------------------------------------------------------------- the tables


def remove(transaction: SqliteTransaction, connection: sqlite3.Connection, event_ids: Sequence[str]) -> Removal | None:
    """Remove events and everything derived from them; return what went, or None when none of them is there."""
    number = scopes.find(connection, transaction.view.scope)
    wanted = (number, dumps(list(event_ids)))
    rows = connection.execute(
        "SELECT seq, entry, id, speaker, text, meta, origin FROM events "
        "WHERE scope = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY seq",
        wanted,
    ).fetchall()
    if not rows:
        return None
    table = transaction.table()
    gone = {row[2] for row in rows}
    dead, tainted = _closure(connection, table, [row[2] for row in rows])
    said = [*sorted(gone | dead)]  # their very ids must not linger either
    for _, _, _, speaker, text, meta, origin in rows:
        said += [speaker, text, *spoken(loads(meta)), loads(origin)["principal"], loads(origin)["uri"]]
    said += _remove_records(connection, table, dead)
    connection.execute("DELETE FROM events WHERE scope = ? AND id IN (SELECT value FROM json_each(?))", wanted)
    seqs = dumps([row[0] for row in rows])
    connection.execute("DELETE FROM lexicon WHERE scope = ? AND seq IN (SELECT value FROM json_each(?))", (number, seqs))
    said += _drop_empty_sessions(connection, number)
    survivors = [_blank(connection, table, record, gone | dead, said) for record in _in_order(connection, table, tainted)]
    rewritten = survivors + _unlink(table, connection, gone | dead, tainted)
    purged = _purge_journal(connection, number, gone | dead, dead | tainted, said)
    removed = words(said)
    purged |= _purge_by_words(connection, number, removed)
    vanished = {record for record in purged.values() if table.place(record) is None}
    purged |= _rows_of(connection, number, vanished)
    _blank_revisions(connection, vanished, purged)
    _write_states(transaction, table, rewritten, set(purged.values()) - vanished)
    entries = [row[1] for row in rows]
    entry = transaction.finish_batch("forget", events=sorted(entries), purged=sorted(purged))
    what = [("event", n, entry) for n in entries] + [("revision", row, entry) for row in purged]
    connection.executemany("INSERT INTO forgotten(what, number, entry) VALUES(?, ?, ?)", what)
    scopes.touch(connection, number)
    scopes.drop_if_empty(connection, number)
    return Removal(number, len(rows), len(dead), tuple(survivors), removed)


def _drop_empty_sessions(connection: sqlite3.Connection, number: int) -> list[str]:
    """Remove the names of conversations that have no event left; return them."""
    rows = connection.execute(
        "SELECT id, name FROM sessions WHERE scope = ? AND NOT EXISTS (SELECT 1 FROM events WHERE session = sessions.id)",
        (number,),
    ).fetchall()
    connection.executemany("DELETE FROM sessions WHERE id = ?", [(row[0],) for row in rows])
    return [row[1] for row in rows]


def _closure(connection: sqlite3.Connection, table: RecordTable, ids: Sequence[str]) -> tuple[set[str], set[str]]:
    """Ids of the records that die with these events, and of those that lose a part of what they rest on."""
    gone, dead, tainted = set(ids), set[str](), set[str]()
    waiting = deque(ids)
    while waiting:
        for record in table.dependents(waiting.popleft()):
            if record in dead:
                continue
            sources = connection.execute(
                "SELECT source FROM provenance WHERE scope = ? AND record = ?", (table.number, record)
            )
            if all(source in gone for (source,) in sources):
                dead.add(record)
                gone.add(record)
                tainted.discard(record)
                waiting.append(record)
            elif record not in tainted:
                tainted.add(record)
                waiting.append(record)
    return dead, tainted


def _in_order(connection: sqlite3.Connection, table: RecordTable, ids: set[str]) -> list[Record]:
    """The records with these ids in order of creation."""
    rows = connection.execute(
        "SELECT id FROM records WHERE scope = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY seq",
        (table.number, dumps(sorted(ids))),
    ).fetchall()
    return [record for (id_,) in rows if (record := table.load(id_)) is not None]


def _words_of(record: Record) -> Iterator[str]:
    yield record.text
    yield record.key
    yield from spoken(record.attrs)


def _remove_records(connection: sqlite3.Connection, table: RecordTable, dead: set[str]) -> list[str]:
    said: list[str] = []
    for record in _in_order(connection, table, dead):
        said.extend(_words_of(record))
        table.remove(record.id)
    return said


def _blank(
    connection: sqlite3.Connection, table: RecordTable, record: Record, gone: set[str], said: list[str]
) -> Record:
    """Empty a record of what it said, and of the sources that are gone; its authority stays and so never rises."""
    said.extend(_words_of(record))
    sources = tuple(source for source in record.sources if source not in gone)
    least = min(table.sources(sources), key=lambda source: source.authority)
    roots = tuple(root for root in record.roots if root not in gone)
    newest = connection.execute(
        "SELECT at FROM events WHERE scope = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY ts DESC, seq DESC LIMIT 1",
        (table.number, dumps(list(roots))),
    ).fetchone()
    blanked = record.model_copy(
        update={
            "key": "",
            "text": "",
            "attrs": {},
            "sources": sources,
            "roots": roots,
            "links": tuple(link for link in record.links if link[1] not in gone),
            "status": "quarantined",
            "observed_at": newest[0] if newest else "",
            "valid_from": None,
            "valid_to": None,
            "origin": Origin.model_validate(least.origin),
            "version": record.version + 1,
        }
    )
    table.replace(blanked, sources_changed=True)
    return blanked


def _unlink(table: RecordTable, connection: sqlite3.Connection, gone: set[str], done: set[str]) -> list[Record]:
    """Take links to the dead out of the living; return the records that changed."""
    rows = connection.execute("SELECT id, links FROM records WHERE scope = ? AND links <> '[]' ORDER BY seq", (table.number,))
    changed = []
    for id_, links in rows.fetchall():
        if id_ in done or not any(link[1] in gone for link in loads(links)):
            continue
        if (record := table.load(id_)) is not None:
            kept = tuple(link for link in record.links if link[1] not in gone)
            record = record.model_copy(update={"links": kept, "version": record.version + 1})
            table.replace(record, sources_changed=False)
            changed.append(record)
    return changed


# ---------------------------------------------------------------------------------------------------- the journal


def _purge_journal(
    connection: sqlite3.Connection, number: int, gone: set[str], records: set[str], said: list[str]
) -> dict[int, str]:
    """Numbers of the journal rows that are about dead or blanked records or name a dead id, with their record."""
    purged: dict[int, str] = {}
    rows = connection.execute(
        "SELECT row, record, before, after, why FROM journal WHERE scope = ? AND salt IS NOT NULL ORDER BY row", (number,)
    )
    for row, record, before, after, why in rows:
        images = [loads(image) for image in (before, after) if image]
        if record in records or any(_names(image, gone) for image in images):
            purged[row] = record
            said.append(why)
            for image in images:
                said.extend((image["text"], image["key"], *spoken(image["attrs"])))
    return purged


def _names(image: dict[str, Any], gone: set[str]) -> bool:
    """Whether an image mentions something dead."""
    if not gone.isdisjoint(image["roots"]) or not gone.isdisjoint(image["sources"]):
        return True
    return any(link[1] in gone for link in image["links"])


def _purge_by_words(connection: sqlite3.Connection, number: int, removed: list[str]) -> dict[int, str]:
    """Journal rows that still hold a word of the removed text which nothing living holds."""
    question = "SELECT before, after, why, by, row, record FROM journal WHERE scope = ? AND salt IS NOT NULL"
    present: set[str] = set()
    _search(connection, question, (number,), Finder(removed), present)
    left = sorted(present - _living(connection, Finder(sorted(present)), number)) if present else []
    if not left:
        return {}
    finder, purged = Finder(left), dict[int, str]()
    for *said, row, record in connection.execute(question, (number,)).fetchall():
        hit: set[str] = set()
        finder.find(_row_bytes(said), hit)
        if hit:
            purged[row] = record
    return purged


def _rows_of(connection: sqlite3.Connection, number: int, records: set[str]) -> dict[int, str]:
    """All journal rows of records that do not exist any more: half a history would look like a lost record."""
    question = "SELECT row, record FROM journal WHERE scope = ? AND record = ? AND salt IS NOT NULL"
    return dict(row for record in records for row in connection.execute(question, (number, record)))


def _blank_revisions(connection: sqlite3.Connection, vanished: set[str], purged: dict[int, str]) -> None:
    """Empty journal rows; the digest stays, so that the chain still holds. Ids of vanished records go too."""
    connection.executemany(
        "UPDATE journal SET record = ?, before = NULL, after = NULL, why = '', by = '', salt = NULL WHERE row = ?",
        [("" if record in vanished else record, row) for row, record in purged.items()],
    )


def _write_states(
    transaction: SqliteTransaction, table: RecordTable, rewritten: list[Record], others: set[str]
) -> None:
    """Give each living record whose history was purged a new last word in the journal."""
    for record in rewritten:
        transaction.write_revision(Change(record.id, "forget", None, record))
    for id_ in sorted(others - {record.id for record in rewritten}):
        if (current := table.load(id_)) is not None:
            transaction.write_revision(Change(id_, "forget", None, current))


# ------------------------------------------------------------------------------------------------------ the sweep


def sweep_after(connections: Connections, removal: Removal) -> tuple[int, list[str], str]:
    """Look for what is left of a removal; compact the file when something is.

    Returns:
        How many canaries were looked for, where any was found, and why the result is not complete ("" when it is).
    """
    canaries, found, note = list[str](), dict[str, set[str]](), ""
    try:
        with connections.reading() as connection:
            living = _living(connection, Finder(removal.words), removal.scope)
        canaries = [word for word in removal.words if word not in living][:MAX_CANARIES]
        with connections.alone() as connection:
            note, found = _prove(connections, connection, Finder(canaries), removal.scope)
    except StorageError as error:
        note = f"The removal is done; the sweep after it could not end: {error}"
    return len(canaries), sorted(found), note


def _prove(
    connections: Connections, connection: sqlite3.Connection, finder: Finder, number: int
) -> tuple[str, dict[str, set[str]]]:
    """Empty the log, look everywhere, compact the file when something is found, and look again."""

    def look() -> dict[str, set[str]]:
        return _in_tables(connection, finder, ("journal",)) | _in_files(connections, connection, finder)

    with translated(connections.where):
        note, found = _truncate_log(connection), look()
        if found and not note:
            connection.execute("VACUUM")
            note, found = _truncate_log(connection), look()
        if found:
            # Somebody may have said one of these words since the removal.
            again = _living(connection, finder, number)
            found = {place: hits - again for place, hits in found.items() if hits - again}
    return note, found


def sweep(connections: Connections, canaries: Iterable[str]) -> list[str]:
    """Return where any of these terms is found: "table.column" or "file:name"."""
    finder = Finder(list(dict.fromkeys(canaries)))
    with connections.reading() as connection:
        if not connections.read_only and not connection.in_transaction:
            _truncate_log(connection)
        found = _in_tables(connection, finder, TABLES) | _in_files(connections, connection, finder)
    return sorted(found)


def _truncate_log(connection: sqlite3.Connection) -> str:
    """Move the write-ahead log into the file and empty it; return why that was not possible, or ""."""
    (wait,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {min(wait, _CHECKPOINT_WAIT_MS):d}")
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {wait:d}")
    return "Another process is reading the store, so its log cannot be emptied yet; sweep again later." if busy else ""


def _row_bytes(row: Iterable[Any]) -> bytes:
    """A row's values as one run of bytes, folded: as they stand beside each other in a page."""
    parts = []
    for value in row:
        if isinstance(value, str):
            parts.append(value.casefold().encode("utf-8", "surrogatepass"))
        elif isinstance(value, bytes):
            parts.append(value)
        elif isinstance(value, float):
            parts.append(struct.pack(">d", value))
    return b"".join(parts)


def _living(connection: sqlite3.Connection, finder: Finder, number: int) -> set[str]:
    """Terms that something living holds, in any scope: they cannot tell whether a removal was complete.

    The journal of the scope itself is left out: it is where a removed text would linger.
    """
    found: set[str] = set()
    questions: list[tuple[str, tuple[int, ...]]] = [("SELECT sql FROM sqlite_master", ()), (_COLUMNS_IN_ORDER_OF_INDEX, ())]
    for table in TABLES:
        if table == "journal":
            questions.append(("SELECT * FROM journal WHERE scope <> ?", (number,)))
        else:
            questions.append((" ".join(("SELECT * FROM", table)), ()))
    for question, values in questions:
        _search(connection, question, values, finder, found)
    return found


def _search(
    connection: sqlite3.Connection, question: str, values: Sequence[Any], finder: Finder, found: set[str]
) -> None:
    """Add to `found` the terms in the rows of a question; stop when there is no other left to find."""
    block: list[bytes] = []
    size = 0
    for row in connection.execute(question, values):
        block.append(_row_bytes(row))
        size += len(block[-1])
        if size > _BLOCK:
            finder.find(b"\n".join(block), found)
            block, size = [], 0
            if finder.all_in(found):
                return
    finder.find(b"\n".join(block), found)


def _in_tables(connection: sqlite3.Connection, finder: Finder, tables: Sequence[str]) -> dict[str, set[str]]:
    """Where terms stand in columns: "table.column" and the terms."""
    places: dict[str, set[str]] = {}
    for table in tables:
        for _, name, *_ in connection.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall():
            hits = places.setdefault(f"{table}.{name}", set())
            _search(connection, " ".join(("SELECT", name, "FROM", table)), (), finder, hits)
    return {place: hits for place, hits in places.items() if hits}


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
