"""The tables of a store in PostgreSQL, and how an older one becomes a current one.

The tables are those of `tierkeep.ledger.schema`, with these differences:

- Every table whose rows belong to a scope has its number as the first column of every key and index, and is partitioned by its hash:
  partitions can be put on disks and servers of their own. `scopes`, `embedders` and `counters` are small, and the same for all.
- The hash chain is one per scope, numbered from 1, so that owners do not wait for one another. Places of events and records, and numbers
  of batches and revisions, come from sequences of the whole store and ascend in each scope, because a scope has one writer at a time.
- `vectors` has a row for each part of a text, in pgvector's own type.
- Texts compare by their bytes (collation C), as in SQLite. Nothing refers to a table by a foreign key: `verify` checks what they would.
- There are no `seals`: a sealed store is a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import psycopg

from tierkeep.errors import SchemaTooNew, StoreCorrupt, StoreUnavailable
from tierkeep.ledger.postgres.dialect import PARTITIONED
from tierkeep.ledger.postgres.failures import without_extension
from tierkeep.ledger.postgres.session import Session

__all__ = ["SCHEMA_VERSION", "SEQUENCES", "STEPS", "TABLES", "lock_key", "migrate", "search_path", "version"]

TABLES = ("scopes", "embedders", "counters", *PARTITIONED)
SEQUENCES = (
    "scope_numbers", "session_numbers", "embedder_numbers", "event_places", "record_places", "batch_numbers", "revision_numbers",
    "generations",
)  # fmt: skip

_ALONE = (
    """CREATE TABLE counters(name TEXT COLLATE "C" PRIMARY KEY, value BIGINT NOT NULL)""",
    """CREATE TABLE scopes(
        tenant TEXT COLLATE "C" NOT NULL, "user" TEXT COLLATE "C" NOT NULL, agent TEXT COLLATE "C" NOT NULL,
        id BIGINT NOT NULL DEFAULT nextval('scope_numbers') UNIQUE,
        generation BIGINT NOT NULL,
        PRIMARY KEY(tenant, "user", agent))""",
    """CREATE TABLE embedders(
        id BIGINT NOT NULL DEFAULT nextval('embedder_numbers') PRIMARY KEY,
        identity TEXT COLLATE "C" NOT NULL UNIQUE,
        dimension INTEGER NOT NULL)""",
)
_COLUMNS = {
    "sessions": """id BIGINT NOT NULL DEFAULT nextval('session_numbers'), name TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY(scope, id), UNIQUE(scope, name)""",
    "events": """session BIGINT NOT NULL, seq BIGINT NOT NULL, position BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL, role TEXT COLLATE "C" NOT NULL, speaker TEXT COLLATE "C" NOT NULL, text TEXT COLLATE "C" NOT NULL,
        at TEXT COLLATE "C" NOT NULL, ts DOUBLE PRECISION NOT NULL, origin TEXT COLLATE "C" NOT NULL, authority INTEGER NOT NULL,
        meta TEXT COLLATE "C" NOT NULL, salt BYTEA NOT NULL, entry BIGINT NOT NULL,
        PRIMARY KEY(scope, seq), UNIQUE(scope, id), UNIQUE(scope, session, position)""",
    "lexicon": """seq BIGINT NOT NULL, session BIGINT NOT NULL, speaker TEXT COLLATE "C" NOT NULL, ts DOUBLE PRECISION NOT NULL,
        terms BYTEA NOT NULL, asks BOOLEAN NOT NULL, length BIGINT NOT NULL, own BOOLEAN NOT NULL, PRIMARY KEY(scope, seq)""",
    "vectors": """embedder BIGINT NOT NULL, seq BIGINT NOT NULL, part INTEGER NOT NULL, vector vector NOT NULL,
        PRIMARY KEY(scope, embedder, seq, part)""",
    "embedded": """embedder BIGINT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY(scope, embedder)""",
    "unembedded": """embedder BIGINT NOT NULL, seq BIGINT NOT NULL, tries INTEGER NOT NULL, PRIMARY KEY(scope, embedder, seq)""",
    "cursors": """name TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY(scope, name)""",
    "records": """seq BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL, session TEXT COLLATE "C", kind TEXT COLLATE "C" NOT NULL,
        key TEXT COLLATE "C" NOT NULL, text TEXT COLLATE "C" NOT NULL, attrs TEXT COLLATE "C" NOT NULL, sources TEXT COLLATE "C" NOT NULL,
        roots TEXT COLLATE "C" NOT NULL, links TEXT COLLATE "C" NOT NULL, status TEXT COLLATE "C" NOT NULL,
        observed_at TEXT COLLATE "C" NOT NULL, valid_from TEXT COLLATE "C", valid_to TEXT COLLATE "C", origin TEXT COLLATE "C" NOT NULL,
        authority INTEGER NOT NULL, version BIGINT NOT NULL, stats TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY(scope, seq), UNIQUE(scope, id)""",
    "provenance": """source TEXT COLLATE "C" NOT NULL, record TEXT COLLATE "C" NOT NULL, PRIMARY KEY(scope, source, record)""",
    "batches": """tx BIGINT NOT NULL, at TEXT COLLATE "C" NOT NULL, kind TEXT COLLATE "C" NOT NULL, undoes BIGINT, entry BIGINT NOT NULL,
        PRIMARY KEY(scope, tx), UNIQUE(scope, undoes), UNIQUE(scope, entry)""",
    "journal": """row BIGINT NOT NULL DEFAULT nextval('revision_numbers'), tx BIGINT NOT NULL, record TEXT COLLATE "C" NOT NULL,
        op TEXT COLLATE "C" NOT NULL, before TEXT COLLATE "C", after TEXT COLLATE "C", why TEXT COLLATE "C" NOT NULL,
        by TEXT COLLATE "C" NOT NULL, place BIGINT, salt BYTEA, digest BYTEA NOT NULL, PRIMARY KEY(scope, row)""",
    "chain": """n BIGINT NOT NULL, kind TEXT COLLATE "C" NOT NULL, digest BYTEA NOT NULL, hash BYTEA NOT NULL, PRIMARY KEY(scope, n)""",
    "forgotten": """what TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, entry BIGINT NOT NULL, PRIMARY KEY(scope, what, number)""",
    "guard_log": """entry BIGINT NOT NULL, at TEXT COLLATE "C" NOT NULL, verb TEXT COLLATE "C" NOT NULL, subject TEXT COLLATE "C" NOT NULL,
        reasons TEXT COLLATE "C" NOT NULL, by TEXT COLLATE "C" NOT NULL, salt BYTEA NOT NULL, PRIMARY KEY(scope, entry)""",
    "reviews": """seq BIGINT NOT NULL, authority INTEGER NOT NULL, salt BYTEA NOT NULL, entry BIGINT NOT NULL,
        PRIMARY KEY(scope, seq), UNIQUE(scope, entry)""",
    "elevations": """seq BIGINT NOT NULL, salt BYTEA NOT NULL, entry BIGINT NOT NULL, PRIMARY KEY(scope, seq), UNIQUE(scope, entry)""",
    "confirmations": """token BYTEA NOT NULL, subject BYTEA NOT NULL, expires DOUBLE PRECISION NOT NULL, mac BYTEA,
        PRIMARY KEY(scope, token)""",
}
_INDEXES = (
    "CREATE INDEX events_in_quarantine ON events(scope, seq) WHERE authority = 0",
    "CREATE INDEX records_by_key ON records(scope, kind, left(key, 128), status)",
    "CREATE INDEX provenance_by_record ON provenance(scope, record)",
    "CREATE INDEX batches_by_kind ON batches(scope, kind, tx)",
    "CREATE INDEX journal_by_record ON journal(scope, record)",
    "CREATE INDEX journal_by_tx ON journal(scope, tx)",
    "CREATE INDEX guard_log_by_subject ON guard_log(scope, subject)",
    "CREATE INDEX confirmations_by_expiry ON confirmations(scope, expires)",
)
_TRIGGERS = (
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION '% only grows', TG_ARGV[0]; END $$""",
    "CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse('the list of events')",
    "CREATE TRIGGER chain_only_grows BEFORE UPDATE OR DELETE ON chain FOR EACH ROW EXECUTE FUNCTION refuse('the chain')",
    "CREATE TRIGGER guard_log_only_grows BEFORE UPDATE OR DELETE ON guard_log FOR EACH ROW EXECUTE FUNCTION refuse('the guard log')",
    # What is gone leaves no review behind, whoever removes it.
    """CREATE FUNCTION go_with_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM reviews WHERE scope = OLD.scope AND seq = OLD.seq;
        DELETE FROM elevations WHERE scope = OLD.scope AND seq = OLD.seq;
        DELETE FROM unembedded WHERE scope = OLD.scope AND seq = OLD.seq;
        RETURN NULL; END $$""",
    "CREATE TRIGGER events_go_whole AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION go_with_event()",
    """CREATE FUNCTION go_with_mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM unembedded WHERE scope = OLD.scope AND embedder = OLD.embedder; RETURN NULL; END $$""",
    "CREATE TRIGGER embedded_goes_whole AFTER DELETE ON embedded FOR EACH ROW EXECUTE FUNCTION go_with_mark()",
)


_RELATIONS = "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace WHERE s.nspname = ?"


def _create(session: Session, partitions: int) -> None:
    """Version 1: every table, in an empty schema."""
    for name in SEQUENCES:
        session.execute(" ".join(("CREATE SEQUENCE", name)))
    for statement in _ALONE:
        session.execute(statement)
    for table in PARTITIONED:
        session.execute(" ".join(("CREATE TABLE", table, "(scope BIGINT NOT NULL,", _COLUMNS[table], ") PARTITION BY HASH (scope)")))
        for part in range(partitions):
            bounds = f"FOR VALUES WITH (MODULUS {partitions:d}, REMAINDER {part:d})"
            session.execute(" ".join(("CREATE TABLE", f"{table}_p{part:d}", "PARTITION OF", table, bounds)))
    for statement in (*_INDEXES, *_TRIGGERS):
        session.execute(statement)
    session.execute("SELECT nextval('generations')")
    session.execute("INSERT INTO counters(name, value) VALUES('partitions', ?)", (partitions,))


def _count_events(session: Session, partitions: int) -> None:
    """Version 2: how many events each owner has, and how many characters their texts have together."""
    session.execute("ALTER TABLE scopes ADD COLUMN events BIGINT NOT NULL DEFAULT 0, ADD COLUMN chars BIGINT NOT NULL DEFAULT 0")
    session.execute(
        """UPDATE scopes SET events = e.events, chars = e.chars FROM
        (SELECT scope, count(*) AS events, sum(length(text)) AS chars FROM events GROUP BY scope) AS e WHERE e.scope = scopes.id"""
    )


STEPS: tuple[Callable[[Session, int], None], ...] = (_create, _count_events)
"""Step i turns version i into version i + 1. A released step is never edited; a change of the tables is a new step."""

SCHEMA_VERSION = len(STEPS)


def lock_key(*names: str) -> int:
    """Return the number of an advisory lock: 64 bits of a hash of what it is for."""
    digest = hashlib.sha256("\0".join(("tierkeep", *names)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def version(session: Session, schema: str, where: str) -> int:
    """Return the schema version of the store; 0 when there is none.

    Raises:
        StoreCorrupt: The schema holds something that is no store. It is left as it is.
    """
    names = {row[0] for row in session.execute(_RELATIONS, (schema,)).fetchall()}
    if "counters" not in names:
        if names:
            raise StoreCorrupt(f"The schema {schema} at {where} holds other tables and no store. Name another: ?schema=…", path=where)
        return 0
    row = session.execute("SELECT value FROM counters WHERE name = 'schema_version'").fetchone()
    return int(row[0]) if row else 0


def migrate(
    session: Session,
    schema: str,
    partitions: int,
    where: str,
    *,
    steps: Sequence[Callable[[Session, int], None]] = STEPS,
) -> int:
    """Bring the store to the newest version in one transaction, alone; return the version it had.

    Raises:
        SchemaTooNew: It has been through more steps than are known here. It is not touched.
        StoreUnavailable: pgvector is missing, or this role may not make a store.
        StoreCorrupt: The schema holds something that is no store.
    """
    if (found := _known(session, schema, where, len(steps))) == len(steps):
        return found
    session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    try:
        # One maker at a time: of the extension in the database, and of this store. Writers hold the second one shared.
        session.execute("SELECT pg_advisory_xact_lock(?)", (lock_key("extension"),))
        session.execute("SELECT pg_advisory_xact_lock(?)", (lock_key("store", schema),))
        _ensure_extension(session, where)
        session.execute(" ".join(("CREATE SCHEMA IF NOT EXISTS", f'"{schema}"')))
        session.execute("SELECT set_config('search_path', ?, true)", (search_path(session, schema),))
        for step in steps[_known(session, schema, where, len(steps)) :]:
            step(session, partitions)
        newest = "INSERT INTO counters(name, value) VALUES('schema_version', ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value"
        session.execute(newest, (len(steps),))
        session.execute("COMMIT")
    except BaseException:
        if session.in_transaction:
            session.execute("ROLLBACK")
        raise
    return found


def _known(session: Session, schema: str, where: str, supported: int) -> int:
    if (found := version(session, schema, where)) > supported:
        message = (
            f"This store has schema version {found}; this tierkeep knows up to {supported}. "
            "Upgrade tierkeep, or open another store."
        )
        raise SchemaTooNew(message, path=where, found=found, supported=supported)
    return found


def _ensure_extension(session: Session, where: str) -> None:
    if session.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone():
        return
    try:
        session.raw.execute(b"CREATE EXTENSION vector SCHEMA public")
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        raise without_extension(where) from None
    except psycopg.Error:
        message = f"The store at {where} cannot be made: CREATE EXTENSION vector failed. Run it by hand."
        raise StoreUnavailable(message, path=where) from None


def search_path(session: Session, schema: str) -> str:
    """Return the search path of the store's connections: its schema, and the one that pgvector was put into."""
    row = session.execute(
        "SELECT quote_ident(s.nspname) FROM pg_extension AS x JOIN pg_namespace AS s ON s.oid = x.extnamespace WHERE x.extname = 'vector'"
    ).fetchone()
    return f'"{schema}"' + (f", {row[0]}" if row else "")
