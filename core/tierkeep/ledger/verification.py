"""Checking the whole store against its hash chain, its own provenance, and SQLite's own checks."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tierkeep.errors import StorageError, TierkeepError
from tierkeep.ledger import chain, schema, sealing
from tierkeep.ledger.connections import translated
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.lexicon import indexed
from tierkeep.ledger.rows import RECORD_COLUMNS, dumps, loads, record_from_row, record_to_json
from tierkeep.ledger.seal import StoreKey
from tierkeep.records import FROM_USER, Authority, Origin, Scope, VerifyReport

__all__ = ["ROW_CHECKS", "TORN", "Audit", "verify"]

_MAX_PROBLEMS = 100

_EVENTS = """SELECT e.entry, e.salt, o.tenant, o.user, o.agent, s.name, e.seq, e.position, e.id, e.kind, e.role, e.speaker,
    e.text, e.at, e.ts, e.origin, e.authority, e.meta, e.scope = s.scope
    FROM events AS e JOIN sessions AS s ON s.id = e.session JOIN scopes AS o ON o.id = e.scope ORDER BY e.seq"""


_REVIEWS = """SELECT r.seq, r.authority, r.salt, r.entry, e.id, e.authority, o.tenant, o.user, o.agent FROM reviews AS r
    LEFT JOIN events AS e ON e.seq = r.seq AND e.scope = r.scope LEFT JOIN scopes AS o ON o.id = r.scope"""
_ELEVATIONS = """SELECT x.seq, x.salt, x.entry, e.id, o.tenant, o.user, o.agent FROM elevations AS x
    LEFT JOIN events AS e ON e.seq = x.seq AND e.scope = x.scope LEFT JOIN scopes AS o ON o.id = x.scope"""
TORN = """SELECT count(*) FROM vectors AS v JOIN embedders AS m ON m.id = v.embedder
    WHERE length(v.vector) = 0 OR length(v.vector) % (4 * m.dimension) <> 0"""
_LEXICON = """SELECT e.session, e.speaker, e.ts, e.text, e.role, e.origin, e.authority = 0 AND r.seq IS NULL,
    l.session, l.speaker, l.ts, l.terms, l.asks, l.length, l.own FROM events AS e
    LEFT JOIN reviews AS r ON r.scope = e.scope AND r.seq = e.seq LEFT JOIN lexicon AS l ON l.scope = e.scope AND l.seq = e.seq"""


class Audit:
    """What a verification has found so far."""

    def __init__(self, connection: Connection, where: str | None, key: StoreKey | None) -> None:
        self.connection = connection
        self.key = key
        self.where = where
        self.problems: list[str] = []
        self.entries: dict[int, tuple[str, bytes]] = {}
        self.forgotten: dict[str, dict[int, int]] = {"event": {}, "revision": {}}
        self.events = 0
        self.records = 0

    def problem(self, text: str) -> None:
        """Note what is wrong. Lines name numbers and ids of rows, never what they say."""
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)

    def run(self, check: Callable[[Audit], None]) -> None:
        """Run one check; a store too damaged for it is a problem, not an error."""
        try:
            with translated(self.where):
                check(self)
        except (TierkeepError, KeyError, TypeError, ValueError, IndexError) as error:
            said = str(error) if isinstance(error, StorageError) else type(error).__name__
            self.problem(f"{check.__name__.strip('_')}: cannot be checked: {said}")


def verify(connection: sqlite3.Connection, where: str | None, key: StoreKey | None = None) -> VerifyReport:
    """Check the file, the chain, every digest, every provenance link and, with a key, every seal; never raises for what it finds."""

    def file(audit: Audit) -> None:
        _file(audit, connection)

    audit = Audit(connection, where, key)
    begun = not connection.in_transaction
    try:
        if begun:
            audit.run(_begin)
        audit.run(file)
        for check in (_chain, _chain_end, *ROW_CHECKS[1:], _seals):
            audit.run(check)
    finally:
        if begun and connection.in_transaction:
            connection.execute("ROLLBACK")
    return VerifyReport(
        ok=not audit.problems,
        entries=len(audit.entries),
        events=audit.events,
        records=audit.records,
        problems=tuple(audit.problems),
    )


def _begin(audit: Audit) -> None:
    """One snapshot for all checks."""
    audit.connection.execute("BEGIN")


def _file(audit: Audit, connection: sqlite3.Connection) -> None:
    for (line,) in audit.connection.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            audit.problem(f"file: {line}")
    found = schema.shape(connection)
    wanted = schema.expected_shape()
    for kind, name in sorted(found.keys() | wanted.keys()):
        if found.get((kind, name)) != wanted.get((kind, name)):
            audit.problem(f"file: {kind} {name} is not as tierkeep made it")
    for table, row, parent, _ in audit.connection.execute("PRAGMA foreign_key_check"):
        audit.problem(f"file: row {row} of {table} names a row of {parent} that is not there")


def _chain(audit: Audit) -> None:
    previous, expected = chain.Tail(0, b"\x00" * 32).hash, 1
    for n, kind, digest, hash_ in audit.connection.execute("SELECT n, kind, digest, hash FROM chain ORDER BY n"):
        if n != expected:
            audit.problem(f"chain: entries {expected} to {n - 1} are missing")
        elif chain.link(previous, kind, digest) != hash_:
            audit.problem(f"chain: entry {n} does not follow from the one before it")
        audit.entries[n] = (kind, digest)
        previous, expected = hash_, n + 1


def _chain_end(audit: Audit) -> None:
    expected = max(audit.entries, default=0) + 1
    row = audit.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chain'").fetchone()
    if row and row[0] >= expected:
        audit.problem(f"chain: entries {expected} to {row[0]} are missing at the end")


def _forgotten(audit: Audit) -> None:
    for what, number, entry in audit.connection.execute("SELECT what, number, entry FROM forgotten"):
        audit.forgotten[what][number] = entry


def _events(audit: Audit) -> None:
    here: set[int] = set()
    for entry, salt, *rest in audit.connection.execute(_EVENTS):
        tenant, user, agent, session, *stored, owned = rest
        audit.events += 1
        here.add(entry)
        digest = chain.event_digest(salt, (tenant, user, agent), session, stored)
        if audit.entries.get(entry) != ("event", digest):
            audit.problem(f"events: row {stored[0]} is not what chain entry {entry} says")
        if not owned:
            audit.problem(f"events: row {stored[0]} is in a session of another scope")
    (count,) = audit.connection.execute("SELECT count(*) FROM events").fetchone()
    if count != audit.events:
        audit.problem(f"events: {count - audit.events} rows have lost their scope or session")
    known = audit.forgotten["event"]
    for n, (kind, _) in audit.entries.items():
        if kind == "event" and n not in here and n not in known:
            audit.problem(f"events: the event of chain entry {n} is lost (it was not forgotten)")
    for n in sorted(here & set(known)):
        audit.problem(f"events: the event of chain entry {n} is back after it was forgotten")


def _guard(audit: Audit) -> None:
    """Every line of the guard's log and every review is what its chain entry says, and none is lost."""
    here: dict[str, set[int]] = {"guard": set(), "review": set()}
    for entry, *stored, salt in audit.connection.execute("SELECT entry, scope, at, verb, subject, reasons, by, salt FROM guard_log"):
        here["guard"].add(entry)
        if audit.entries.get(entry) != ("guard", chain.guard_digest(salt, stored)):
            audit.problem(f"guard: the log's line {entry} was changed")
    for seq, authority, salt, entry, id_, bound, *owner in audit.connection.execute(_REVIEWS):
        here["review"].add(entry)
        said = None if id_ is None else chain.review_digest(salt, (owner[0], owner[1], owner[2]), (seq, id_, authority))
        if bound != Authority.QUARANTINED or audit.entries.get(entry) != ("review", said):
            audit.problem(f"guard: the review of event {seq} is not what chain entry {entry} says")
    for seq, salt, entry, id_, *owner in audit.connection.execute(_ELEVATIONS):
        here["review"].add(entry)
        said = None if id_ is None else chain.review_digest(salt, (owner[0], owner[1], owner[2]), (seq, id_, int(Authority.ACT)))
        if audit.entries.get(entry) != ("review", said):
            audit.problem(f"guard: the elevation of event {seq} is not what chain entry {entry} says")
    for n, (kind, _) in audit.entries.items():
        if kind in here and n not in here[kind] and n not in audit.forgotten["event"]:
            audit.problem(f"guard: the {kind} of chain entry {n} is lost")
    for n in sorted(here["review"] & set(audit.forgotten["event"])):
        audit.problem(f"guard: the review of chain entry {n} is back after it was forgotten")


def _lexicon(audit: Audit) -> None:
    """Every event's index row is what its text gives, and no row is without an event."""
    trouble = {"events have no index row, or another's": 0, "index rows have no event": 0}
    for session, speaker, ts, text, role, origin, hidden, *row in audit.connection.execute(_LEXICON):
        own = role == "user" and Origin.model_validate(loads(origin)).source in FROM_USER
        terms, asks, length = indexed(text, hidden=hidden == 1)
        trouble["events have no index row, or another's"] += row != [session, speaker, ts, terms, asks, length, own]
    orphans = "SELECT count(*) FROM lexicon AS l LEFT JOIN events AS e ON e.seq = l.seq AND e.scope = l.scope WHERE e.seq IS NULL"
    (trouble["index rows have no event"],) = audit.connection.execute(orphans).fetchone()
    for what, count in trouble.items():
        if count:
            audit.problem(f"lexicon: {count} {what}")


def _sizes(audit: Audit) -> None:
    """The counters of every owner are what their events come to."""
    stated = {row[0]: row[1:] for row in audit.connection.execute("SELECT id, events, chars FROM scopes")}
    for scope, *counted in audit.connection.execute("SELECT scope, count(*), sum(length(text)) FROM events GROUP BY scope"):
        if tuple(stated.get(scope, counted)) != tuple(counted):
            audit.problem(f"scopes: the counters of scope {scope} are not what its events come to")


def _vectors(audit: Audit) -> None:
    orphans = """SELECT count(*) FROM vectors AS v LEFT JOIN events AS e ON e.seq = v.seq AND e.scope = v.scope WHERE e.seq IS NULL"""
    for question, trouble in ((orphans, "vectors have no event"), (TORN, "vectors are not whole")):
        (count,) = audit.connection.execute(question).fetchone()
        if count:
            audit.problem(f"vectors: {count} {trouble}")


def _journal(audit: Audit) -> None:
    digests: dict[int, list[bytes]] = defaultdict(list)
    statement = "SELECT row, tx, scope, record, op, before, after, why, by, place, salt, digest FROM journal ORDER BY row"
    purged_rows: set[int] = set()
    newest = 0
    for row, *stored, salt, digest in audit.connection.execute(statement):
        digests[stored[0]].append(digest)
        if stored[0] < newest:
            audit.problem(f"journal: row {row} is out of order")
        newest = stored[0]
        if salt is None:
            purged_rows.add(row)
        elif chain.revision_digest(salt, stored) != digest:
            audit.problem(f"journal: row {row} was changed")
    if purged_rows != set(audit.forgotten["revision"]):
        audit.problem("journal: the purged rows are not those that a forget names")
    removed: dict[str, dict[int, list[int]]] = {"event": defaultdict(list), "revision": defaultdict(list)}
    for what, numbers in audit.forgotten.items():
        for number, entry in sorted(numbers.items()):
            removed[what][entry].append(number)
    seen: set[int] = set()
    for tx, *head, entry in audit.connection.execute("SELECT tx, scope, at, kind, undoes, entry FROM batches"):
        revisions = digests.pop(tx, [])
        digest = chain.batch_digest((tx, *head), revisions, removed["event"][entry], removed["revision"][entry])
        seen.add(entry)
        if audit.entries.get(entry) != (head[2], digest):
            audit.problem(f"journal: batch {tx} is not what chain entry {entry} says")
    for n, (kind, _) in audit.entries.items():
        if kind not in ("event", "guard", "review") and n not in seen:
            audit.problem(f"journal: the batch of chain entry {n} is lost")
    if digests:
        audit.problem(f"journal: {len(digests)} batches have rows and no head")


def _records(audit: Audit) -> None:
    last: dict[tuple[int, str], str | None] = {}
    for scope, record, after in audit.connection.execute("SELECT scope, record, after FROM journal ORDER BY row"):
        if record:
            last[(scope, record)] = after
    owner = Scope(user="-")  # images do not name the owner
    statement = " ".join(("SELECT scope, seq,", RECORD_COLUMNS, "FROM records ORDER BY seq"))
    for scope, seq, *row in audit.connection.execute(statement):
        audit.records += 1
        image: Any = last.pop((scope, row[0]), None)
        try:
            now = dumps(record_to_json(record_from_row(owner, tuple(row))))
        except StorageError:
            now = None
        if image is None or now != image:
            audit.problem(f"records: row {seq} is not what the journal says")
    if lost := sum(after is not None for after in last.values()):
        audit.problem(f"records: {lost} records of the journal are lost")


def _provenance(audit: Audit) -> None:
    stated: set[tuple[int, str, str]] = set()
    known = set(audit.connection.execute("SELECT scope, id FROM events"))
    records = audit.connection.execute("SELECT scope, id, sources, seq FROM records").fetchall()
    known |= {(scope, id_) for scope, id_, _, _ in records}
    for scope, id_, sources, seq in records:
        names = loads(sources)
        stated |= {(scope, source, id_) for source in names}
        if missing := sum((scope, source) not in known for source in names):
            audit.problem(f"provenance: record {seq} names {missing} sources that are not there")
        if not names:
            audit.problem(f"provenance: record {seq} has no source")
    if stated != set(audit.connection.execute("SELECT scope, source, record FROM provenance")):
        audit.problem("provenance: the index of sources is not what the records say")


def _seals(audit: Audit) -> None:
    """With a key, every row that must have a code has the right one, and no code is without its row."""
    codes = {(kind, number, name): mac for kind, number, name, mac in audit.connection.execute("SELECT kind, number, name, mac FROM seals")}
    if audit.key is None:
        return
    for row in sealing.sealed_rows(audit.connection):
        if not audit.key.holds(codes.pop((row.kind, row.number, row.name), None), row.kind, row.values, row.blob):
            audit.problem(f"seals: the code of {row.kind} {row.number} does not hold")
    stores = [at for at in codes if at[0] == "store"]
    if len(stores) != 1 or not audit.key.holds(codes.pop(stores[0]), "store", [stores[0][2]]):
        audit.problem("seals: the store is sealed with another key")
    if codes:
        audit.problem(f"seals: {len(codes)} codes are of rows that are not there")
    for waiting in sealing.waiting_rows(audit.connection):
        if not audit.key.holds(waiting.mac, "confirmation", waiting.values):
            audit.problem("seals: the code of a confirmation does not hold")


ROW_CHECKS = (_chain, _forgotten, _events, _sizes, _guard, _lexicon, _vectors, _journal, _records, _provenance)
"""What any engine's tables must satisfy, in this order: later checks rest on what earlier ones have read."""

