"""Forgetting: closure over provenance, and the purge of every table (strategies spec, 3.4).

A record whose sources are all gone dies. One that lost a source, or rests on one that did, is blanked and quarantined until
it is derived again. What is left of the dead in links and in the journal goes in the same transaction; `sweeping` proves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tierkeep.ledger import scopes, vectors
from tierkeep.ledger.canaries import Finder, spoken, words
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.ops import Change, RecordTable
from tierkeep.ledger.rows import dumps, loads
from tierkeep.ledger.sweeping import row_bytes, search
from tierkeep.ledger.transactions import TableTransaction
from tierkeep.protocols import Forgotten, Size
from tierkeep.records import ForgetReport, Origin, Record

__all__ = ["FORGOTTEN", "Removal", "remove", "reported"]

FORGOTTEN = "INSERT INTO forgotten(what, number, entry) VALUES(?, ?, ?)"
_TELLING_ID = 12  # characters of an id that is looked for after its removal
_REVIEWED = """SELECT entry FROM reviews WHERE scope = ?1 AND seq IN (SELECT value FROM json_each(?2))
    UNION ALL SELECT entry FROM elevations WHERE scope = ?1 AND seq IN (SELECT value FROM json_each(?2))"""


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


def reported(removal: Removal | None, prove: Callable[[Removal], tuple[int, list[str], str]]) -> Forgotten:
    """Return what a ledger says of a removal.

    Args:
        removal: What went; None when there was nothing.
        prove: Looks for what is left of it, after the commit: how many canaries, where any was found, and why that is not complete.
    """
    if removal is None:
        return Forgotten(ForgetReport(), ())
    canaries, residue, note = prove(removal)
    report = ForgetReport(
        events=removal.events,
        records=removal.records,
        canaries=canaries,
        residue=tuple(residue),
        complete=not residue and not note,
        note=note or ("Terms of the removed text are still found; see residue." if residue else ""),
    )
    return Forgotten(report, removal.survivors)


# ---------------------------------------------------------------------------------------------------- the tables


def remove(transaction: TableTransaction, connection: Connection, event_ids: Sequence[str]) -> Removal | None:
    """Remove events and everything derived from them; return what went, or None when none of them is there."""
    number = scopes.find(connection, transaction.view.scope)
    wanted = (number, dumps(list(event_ids)))
    rows = connection.execute(
        "SELECT seq, entry, id, speaker, text, meta, origin FROM events "
        "WHERE scope = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY seq",
        wanted,
    ).fetchall()
    if not rows:
        scopes.drop_if_empty(connection, number)  # whom nothing but the guard's log knows
        return None
    table = transaction.table()
    reviews = connection.execute(_REVIEWED, (number, dumps([row[0] for row in rows]))).fetchall()
    gone = {row[2] for row in rows}
    dead, tainted = _closure(connection, table, [row[2] for row in rows])
    # Their very ids must not linger either; short ones are left out, because they turn up by chance.
    said = [id_ for id_ in sorted(gone | dead) if len(id_) >= _TELLING_ID]
    for _, _, _, speaker, text, meta, origin in rows:
        said += [speaker, text, *spoken(loads(meta)), loads(origin)["principal"], loads(origin)["uri"]]
    said += _remove_records(connection, table, dead)
    connection.execute("DELETE FROM events WHERE scope = ? AND id IN (SELECT value FROM json_each(?))", wanted)
    seqs = dumps([row[0] for row in rows])
    connection.execute("DELETE FROM lexicon WHERE scope = ? AND seq IN (SELECT value FROM json_each(?))", (number, seqs))
    vectors.remove(connection, number, [row[0] for row in rows])
    said += _drop_empty_sessions(connection, number)
    survivors = [_blank(connection, table, record, gone | dead, said) for record in _in_order(connection, table, tainted)]
    rewritten = survivors + _unlink(table, connection, gone | dead, tainted)
    purged = _purge_journal(connection, number, gone | dead, dead | tainted, said)
    removed = words(said)
    purged |= _purge_by_words(connection, number, removed, transaction.living)
    vanished = {record for record in purged.values() if table.place(record) is None}
    purged |= _rows_of(connection, number, vanished)
    _blank_revisions(connection, number, vanished, purged)
    _write_states(transaction, table, rewritten, set(purged.values()) - vanished)
    entries = [row[1] for row in rows] + [row[0] for row in reviews]  # the reviews went with their events
    entry = transaction.finish_batch("forget", events=sorted(entries), purged=sorted(purged))
    what = [("event", n, entry) for n in entries] + [("revision", row, entry) for row in purged]
    connection.executemany(FORGOTTEN, what)
    scopes.grow(connection, number, Size(-len(rows), -sum(len(row[4]) for row in rows)))
    scopes.touch(connection, number)
    scopes.drop_if_empty(connection, number)
    return Removal(number, len(rows), len(dead), tuple(survivors), removed)


def _drop_empty_sessions(connection: Connection, number: int) -> list[str]:
    """Remove the names of conversations that have no event left; return them."""
    rows = connection.execute(
        "SELECT id, name FROM sessions WHERE scope = ? "
        "AND NOT EXISTS (SELECT 1 FROM events WHERE session = sessions.id AND +scope = sessions.scope)",
        (number,),
    ).fetchall()
    connection.executemany("DELETE FROM sessions WHERE id = ? AND +scope = ?", [(row[0], number) for row in rows])
    return [row[1] for row in rows]


def _closure(connection: Connection, table: RecordTable, ids: Sequence[str]) -> tuple[set[str], set[str]]:
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


def _in_order(connection: Connection, table: RecordTable, ids: set[str]) -> list[Record]:
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


def _remove_records(connection: Connection, table: RecordTable, dead: set[str]) -> list[str]:
    said: list[str] = []
    for record in _in_order(connection, table, dead):
        said.extend(_words_of(record))
        table.remove(record.id)
    return said


def _blank(
    connection: Connection, table: RecordTable, record: Record, gone: set[str], said: list[str]
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


def _unlink(table: RecordTable, connection: Connection, gone: set[str], done: set[str]) -> list[Record]:
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
    connection: Connection, number: int, gone: set[str], records: set[str], said: list[str]
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


def _purge_by_words(
    connection: Connection, number: int, removed: list[str], living: Callable[[Finder], set[str]]
) -> dict[int, str]:
    """Journal rows that still hold a word of the removed text which nothing living holds."""
    question = "SELECT before, after, why, by, row, record FROM journal WHERE scope = ? AND salt IS NOT NULL"
    present: set[str] = set()
    search(connection, question, (number,), Finder(removed), present)
    left = sorted(present - living(Finder(sorted(present)))) if present else []
    if not left:
        return {}
    finder, purged = Finder(left), dict[int, str]()
    for *said, row, record in connection.execute(question, (number,)).fetchall():
        hit: set[str] = set()
        finder.find(row_bytes(said), hit)
        if hit:
            purged[row] = record
    return purged


def _rows_of(connection: Connection, number: int, records: set[str]) -> dict[int, str]:
    """All journal rows of records that do not exist any more: half a history would look like a lost record."""
    question = "SELECT row, record FROM journal WHERE scope = ? AND record = ? AND salt IS NOT NULL"
    return dict(row for record in records for row in connection.execute(question, (number, record)))


def _blank_revisions(connection: Connection, number: int, vanished: set[str], purged: dict[int, str]) -> None:
    """Empty journal rows; the digest stays, so that the chain still holds. Ids of vanished records go too.

    A row that an earlier forget emptied may still name a record that lived on then and is gone now.
    """
    connection.execute(
        "UPDATE journal SET record = '' WHERE scope = ? AND salt IS NULL AND record IN (SELECT value FROM json_each(?))",
        (number, dumps(sorted(vanished))),
    )
    connection.executemany(
        "UPDATE journal SET record = ?, before = NULL, after = NULL, why = '', by = '', salt = NULL WHERE row = ? AND +scope = ?",
        [("" if record in vanished else record, row, number) for row, record in purged.items()],
    )


def _write_states(
    transaction: TableTransaction, table: RecordTable, rewritten: list[Record], others: set[str]
) -> None:
    """Give each living record whose history was purged a new last word in the journal."""
    for record in rewritten:
        transaction.write_revision(Change(record.id, "forget", None, record))
    for id_ in sorted(others - {record.id for record in rewritten}):
        if (current := table.load(id_)) is not None:
            transaction.write_revision(Change(id_, "forget", None, current))
