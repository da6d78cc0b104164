"""The tables of the embedded ledger, and how an older file becomes a current one.

Everything of one store is in one SQLite file, so that one transaction covers all of it.

- `scopes`: one row per owner (tenant, user, agent), matched exactly. Every other table carries its number, which is never
  given to another owner. `generation` changes when something a reader may have cached is gone. `events` and `chars` count its events
  and the characters of their texts; every change of events changes them in the same transaction.
- `sessions`: names of conversations, each owned by one scope; events carry the number.
- `events`: what happened, immutable (a trigger refuses every UPDATE). `seq` orders the whole store, `position` one session.
  `salt` and `entry` tie the row to the hash chain.
- `lexicon`: what the in-memory lexical index needs of each event, narrow and clustered by scope, so that it loads fast. A
  quarantined event has no terms there: it is neither found nor does it lend weight to its neighbours.
- `embedders`, `vectors`: who made vectors, and per event and embedder its vectors, one for each part of a long text. Derived: an event's
  removal takes them along. `embedded`: up to which event an embedder has been through a scope.
- `cursors`: up to which event each deriver has read a scope.
- `records`: derived memories as they stand now. `provenance` is the same sources turned round, for closure and look-up.
- `batches`: one row per transaction that changed records (`ops`, `undo`, `forget`, `restore`).
- `journal`: each change of each record with its images before and after; undo and history read it. A row without `salt` has
  been purged by `forget`: its digest stays, what it said is gone.
- `chain`: the hash chain. One entry per event, batch, guard's entry and review; `hash` covers the previous hash, the kind and the digest.
- `forgotten`: which chain entries ("event": of events and of their reviews) and journal rows a forget took out, so that "forgotten"
  differs from "lost".
- `guard_log`: what the guard decided: ids, hashes and reason codes. Each row has an entry of its own in the chain, and only grows too.
- `reviews`: quarantined events that were released. Events are immutable, so this lies over them; each row has its entry in the chain.
- `elevations`: events that their owner has confirmed, in the same way.
- `unembedded`: released events that an embedder has passed over and must come back to.
- `confirmations`: what was asked of a user and not answered yet: hashes only.
- `seals`: message authentication codes, when the store has a key (`tierkeep.ledger.sealing`). Triggers take them along with their rows.
- `counters`: numbers of the whole store: the newest generation, and the analysis under which the lexicon's terms were made.

`PRAGMA application_id` marks the file as ours and `PRAGMA user_version` is the number of steps it has been through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache

from tierkeep.errors import SchemaTooNew

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "STEPS", "TABLES", "expected_shape", "migrate", "shape", "version"]

APPLICATION_ID = 0x746B6570  # "tkep"

TABLES = (
    "scopes",
    "sessions",
    "events",
    "lexicon",
    "embedders",
    "vectors",
    "embedded",
    "cursors",
    "records",
    "provenance",
    "batches",
    "journal",
    "chain",
    "forgotten",
    "counters",
    "guard_log",
    "reviews",
    "elevations",
    "unembedded",
    "confirmations",
    "seals",
)

_VERSION_1 = (
    """CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID""",
    """INSERT INTO counters VALUES('generation', 1)""",
    """CREATE TABLE scopes(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL,
        generation INTEGER NOT NULL,
        UNIQUE(tenant, user, agent))""",
    """CREATE TABLE sessions(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope INTEGER NOT NULL REFERENCES scopes(id),
        name TEXT NOT NULL,
        UNIQUE(scope, name))""",
    """CREATE TABLE events(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        scope INTEGER NOT NULL REFERENCES scopes(id),
        session INTEGER NOT NULL REFERENCES sessions(id),
        position INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        role TEXT NOT NULL,
        speaker TEXT NOT NULL,
        text TEXT NOT NULL,
        at TEXT NOT NULL,
        ts REAL NOT NULL,
        origin TEXT NOT NULL,
        authority INTEGER NOT NULL,
        meta TEXT NOT NULL,
        salt BLOB NOT NULL,
        entry INTEGER NOT NULL,
        UNIQUE(scope, id),
        UNIQUE(session, position))""",
    """CREATE INDEX events_by_scope ON events(scope)""",
    """CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are immutable'); END""",
    """CREATE TABLE lexicon(
        scope INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        session INTEGER NOT NULL,
        speaker TEXT NOT NULL,
        ts REAL NOT NULL,
        terms BLOB NOT NULL,
        asks INTEGER NOT NULL,
        length INTEGER NOT NULL,
        own INTEGER NOT NULL,
        PRIMARY KEY(scope, seq)) WITHOUT ROWID""",
    """CREATE TABLE cursors(
        scope INTEGER NOT NULL REFERENCES scopes(id),
        name TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY(scope, name)) WITHOUT ROWID""",
    """CREATE TABLE records(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        scope INTEGER NOT NULL REFERENCES scopes(id),
        id TEXT NOT NULL,
        session TEXT,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        text TEXT NOT NULL,
        attrs TEXT NOT NULL,
        sources TEXT NOT NULL,
        roots TEXT NOT NULL,
        links TEXT NOT NULL,
        status TEXT NOT NULL,
        observed_at TEXT NOT NULL,
        valid_from TEXT,
        valid_to TEXT,
        origin TEXT NOT NULL,
        authority INTEGER NOT NULL,
        version INTEGER NOT NULL,
        stats TEXT NOT NULL,
        UNIQUE(scope, id))""",
    """CREATE INDEX records_by_key ON records(scope, kind, key, status)""",
    """CREATE TABLE provenance(
        scope INTEGER NOT NULL,
        source TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY(scope, source, record)) WITHOUT ROWID""",
    """CREATE INDEX provenance_by_record ON provenance(scope, record)""",
    """CREATE TABLE batches(
        tx INTEGER PRIMARY KEY AUTOINCREMENT,
        scope INTEGER NOT NULL,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        undoes INTEGER UNIQUE,
        entry INTEGER NOT NULL UNIQUE)""",
    """CREATE INDEX batches_by_scope ON batches(scope, kind)""",
    """CREATE TABLE journal(
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        tx INTEGER NOT NULL,
        scope INTEGER NOT NULL,
        record TEXT NOT NULL,
        op TEXT NOT NULL,
        before TEXT,
        after TEXT,
        why TEXT NOT NULL,
        by TEXT NOT NULL,
        place INTEGER,
        salt BLOB,
        digest BLOB NOT NULL)""",
    """CREATE INDEX journal_by_record ON journal(scope, record)""",
    """CREATE INDEX journal_by_tx ON journal(tx)""",
    """CREATE TABLE chain(
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        hash BLOB NOT NULL)""",
    """CREATE TRIGGER chain_only_grows BEFORE UPDATE ON chain
        BEGIN SELECT RAISE(ABORT, 'the chain only grows'); END""",
    """CREATE TRIGGER chain_keeps BEFORE DELETE ON chain
        BEGIN SELECT RAISE(ABORT, 'the chain only grows'); END""",
    """CREATE TABLE forgotten(
        what TEXT NOT NULL,
        number INTEGER NOT NULL,
        entry INTEGER NOT NULL,
        PRIMARY KEY(what, number)) WITHOUT ROWID""",
    """CREATE INDEX forgotten_by_entry ON forgotten(entry)""",
)


def _create(connection: sqlite3.Connection) -> None:
    """Version 1: every table, in an empty file."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
    for statement in _VERSION_1:
        connection.execute(statement)


def _order_batches(connection: sqlite3.Connection) -> None:
    """Version 2: a scope's batches in their order, so that what changed since one of them is found without reading them all."""
    connection.execute("CREATE INDEX batches_in_order ON batches(scope, tx)")


def _keep_vectors(connection: sqlite3.Connection) -> None:
    """Version 3: vectors of events. `embedder` before `seq`, so that what a search loads lies together."""
    connection.execute(
        """CREATE TABLE embedders(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        identity TEXT NOT NULL UNIQUE,
        dimension INTEGER NOT NULL)"""
    )
    connection.execute(
        """CREATE TABLE vectors(
        scope INTEGER NOT NULL,
        embedder INTEGER NOT NULL REFERENCES embedders(id),
        seq INTEGER NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY(scope, embedder, seq))"""
    )
    connection.execute("CREATE INDEX vectors_by_embedder ON vectors(embedder)")
    connection.execute(
        """CREATE TABLE embedded(
        scope INTEGER NOT NULL REFERENCES scopes(id),
        embedder INTEGER NOT NULL REFERENCES embedders(id),
        seq INTEGER NOT NULL,
        PRIMARY KEY(scope, embedder)) WITHOUT ROWID"""
    )


_VERSION_4 = (
    """CREATE TABLE guard_log(
        entry INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL,
        at TEXT NOT NULL,
        verb TEXT NOT NULL,
        subject TEXT NOT NULL,
        reasons TEXT NOT NULL,
        by TEXT NOT NULL,
        salt BLOB NOT NULL)""",
    """CREATE INDEX guard_log_by_subject ON guard_log(scope, subject)""",
    """CREATE TRIGGER guard_log_only_grows BEFORE UPDATE ON guard_log
        BEGIN SELECT RAISE(ABORT, 'the guard log only grows'); END""",
    """CREATE TRIGGER guard_log_keeps BEFORE DELETE ON guard_log
        BEGIN SELECT RAISE(ABORT, 'the guard log only grows'); END""",
    """CREATE TABLE reviews(
        scope INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        authority INTEGER NOT NULL,
        salt BLOB NOT NULL,
        entry INTEGER NOT NULL UNIQUE,
        PRIMARY KEY(scope, seq)) WITHOUT ROWID""",
    """CREATE TABLE elevations(
        scope INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        salt BLOB NOT NULL,
        entry INTEGER NOT NULL UNIQUE,
        PRIMARY KEY(scope, seq)) WITHOUT ROWID""",
    """CREATE INDEX events_in_quarantine ON events(scope, seq) WHERE authority = 0""",
    """CREATE TABLE unembedded(
        scope INTEGER NOT NULL,
        embedder INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        PRIMARY KEY(scope, embedder, seq)) WITHOUT ROWID""",
    """CREATE TABLE confirmations(
        token BLOB PRIMARY KEY,
        scope INTEGER NOT NULL,
        subject BLOB NOT NULL,
        expires REAL NOT NULL,
        mac BLOB) WITHOUT ROWID""",
    """CREATE INDEX confirmations_by_expiry ON confirmations(expires)""",
    """CREATE TABLE seals(
        kind TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        mac BLOB NOT NULL,
        PRIMARY KEY(kind, number, name)) WITHOUT ROWID""",
    # What is gone leaves neither a seal nor a review behind, whoever removes it.
    """CREATE TRIGGER events_go_whole AFTER DELETE ON events BEGIN
        DELETE FROM reviews WHERE scope = OLD.scope AND seq = OLD.seq;
        DELETE FROM elevations WHERE scope = OLD.scope AND seq = OLD.seq;
        DELETE FROM unembedded WHERE scope = OLD.scope AND seq = OLD.seq;
        DELETE FROM seals WHERE kind IN ('event', 'review', 'elevation') AND number = OLD.seq AND name = ''; END""",
    """CREATE TRIGGER records_go_whole AFTER DELETE ON records BEGIN
        DELETE FROM seals WHERE kind = 'record' AND number = OLD.seq AND name = ''; END""",
    """CREATE TRIGGER vectors_go_whole AFTER DELETE ON vectors BEGIN
        DELETE FROM seals WHERE kind = 'vector' AND number = OLD.seq AND name = CAST(OLD.embedder AS TEXT); END""",
    """CREATE TRIGGER embedded_goes_whole AFTER DELETE ON embedded BEGIN
        DELETE FROM unembedded WHERE scope = OLD.scope AND embedder = OLD.embedder;
        DELETE FROM seals WHERE kind = 'mark' AND number = OLD.scope AND name = CAST(OLD.embedder AS TEXT); END""",
    """CREATE TRIGGER cursors_go_whole AFTER DELETE ON cursors BEGIN
        DELETE FROM seals WHERE kind = 'cursor' AND number = OLD.scope AND name = OLD.name; END""",
)


def _keep_watch(connection: sqlite3.Connection) -> None:
    """Version 4: the guard's log, released events, confirmations, and seals."""
    for statement in _VERSION_4:
        connection.execute(statement)


def _count_events(connection: sqlite3.Connection) -> None:
    """Version 5: how many events each owner has, and how many characters their texts have together."""
    connection.execute("ALTER TABLE scopes ADD COLUMN events INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE scopes ADD COLUMN chars INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        """UPDATE scopes SET events = (SELECT count(*) FROM events WHERE scope = scopes.id),
        chars = (SELECT coalesce(sum(length(text)), 0) FROM events WHERE scope = scopes.id)"""
    )


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create, _order_batches, _keep_vectors, _keep_watch, _count_events)
"""Step i turns version i into version i + 1. A released step is never edited; a change of the tables is a new step."""

SCHEMA_VERSION = len(STEPS)


def shape(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the tables, indexes and triggers of our tables, as (type, name) and SQL."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(type_, name): sql for type_, name, table, sql in rows if table in TABLES}


@cache
def expected_shape() -> dict[tuple[str, str], str]:
    """Return the shape that a store of the newest version has."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        return shape(connection)
    finally:
        connection.close()


def version(connection: sqlite3.Connection) -> int:
    """Return the schema version of the open file; 0 when it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(
    connection: sqlite3.Connection,
    *,
    path: str | None = None,
    steps: Sequence[Callable[[sqlite3.Connection], None]] = STEPS,
) -> int:
    """Bring the open file to the newest version in one transaction; return the version it had.

    Raises:
        SchemaTooNew: The file has been through more steps than are known here. It is not touched.
    """
    if (found := version(connection)) == len(steps):
        return found
    if found > len(steps):
        message = (
            f"This store has schema version {found}; this tierkeep knows up to {len(steps)}. "
            "Upgrade tierkeep, or open another store."
        )
        raise SchemaTooNew(message, path=path, found=found, supported=len(steps))
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for the lock.
        for step in steps[version(connection) :]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(steps):d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return found
