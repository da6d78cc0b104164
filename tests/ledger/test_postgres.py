"""The ledger in PostgreSQL where it differs from a file: other machines, lost connections, servers that give transactions up."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tierkeep import Memory
from tierkeep.cli import main
from tierkeep.errors import (
    InputError,
    MissingExtraError,
    OpRefused,
    SchemaTooNew,
    SettingsError,
    StorageError,
    StoreCorrupt,
    StoreUnavailable,
)
from tierkeep.items import Items
from tierkeep.ledger import Seal, SqliteLedger, chain
from tierkeep.ledger.postgres import address as addresses
from tierkeep.ledger.postgres import dialect, schema
from tierkeep.ledger.postgres.ledger import PostgresLedger
from tierkeep.ledger.postgres.vectors import as_text
from tierkeep.models.doubles import HashEmbedder
from tierkeep.records import Op, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, BOB, draft, record, snapshot, term_rows

SECRET = "hunter2-and-more"  # noqa: S105 - no password of anything


def opened(address: str) -> PostgresLedger:
    return PostgresLedger(address, clock=FixedClock())


def append(ledger: PostgresLedger, *texts: str, scope: Scope = ANA, **fields: Any) -> list[str]:
    with ledger.transaction(scope) as tx:
        return [one.event.id for one in tx.append([draft(text, **fields) for text in texts])]


def texts(ledger: PostgresLedger, scope: Scope = ANA) -> list[str]:
    return [event.text for event in ledger.view(scope).scan()]


@pytest.fixture
def ledger(postgres: Any) -> Iterator[PostgresLedger]:
    with opened(postgres.fresh()) as made:
        yield made


def administer(server: Any, ledger: PostgresLedger, *statements: str) -> None:
    """Run statements of an administrator in the schema of a store."""
    with server.connect() as connection:
        connection.execute(f'SET search_path TO "{ledger._address.schema}"')
        for statement in statements:
            connection.execute(statement)


# ----------------------------------------------------------------------------------------------------- the address


def test_an_address_says_where_and_how() -> None:
    found = addresses.parse(f"postgres://ana%40work:{SECRET}@db.example:5433/mem?schema=team&partitions=32&pool=3&sslmode=require")
    assert found.given == {
        "user": "ana@work", "password": SECRET, "host": "db.example", "port": "5433", "dbname": "mem", "sslmode": "require",
    }  # fmt: skip
    assert (found.schema, found.partitions, found.pool, found.retries) == ("team", 32, 3, 5)
    assert found.shown == "postgresql://ana@work@db.example:5433/mem?schema=team"
    both = addresses.parse("postgresql://a:1,[::1]:2/mem")
    assert (both.given["host"], both.given["port"], both.shown) == ("a,::1", "1,2", "postgresql://a,::1:1,2/mem?schema=tierkeep")


@pytest.mark.parametrize(
    "more",
    ["?schema=Robert'); DROP TABLE x;--", "?schema=pg_catalog", "?partitions=0", "?pool=1", "?pool=x", "?retries=-1", "?junk", "#x"],
)
def test_a_wrong_address_is_refused_without_repeating_it(more: str) -> None:
    with pytest.raises(SettingsError) as caught:
        addresses.parse(f"postgresql://ana:{SECRET}@localhost/x{more}")
    assert SECRET not in str(caught.value)


def test_a_password_is_shown_nowhere(postgres: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERKEEP_SEAL_KEY", raising=False)
    address = postgres.fresh().replace("postgres@", f"postgres:{SECRET}@")
    with Memory.open(address) as memory:
        shown = [str(memory.describe()), str(dict(memory.stats())), repr(memory._ledger), str(memory._ledger.__class__)]
    assert main(["doctor", "--quick", "--json", "--store", address]) == 0
    said = capsys.readouterr()
    assert SECRET not in "".join([*shown, said.out, said.err]) and "postgresql://postgres@" in said.out


# ------------------------------------------------------------------------------------------------------- refusals


def test_a_server_that_is_not_there(postgres: Any) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        opened(f"postgresql://ana:{SECRET}@127.0.0.1:1/x?timeout=2")
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None
    with pytest.raises(StoreUnavailable, match="does not have this database"):
        opened(postgres.address("x", database="nowhere"))
    with pytest.raises(StoreUnavailable, match="refused the user"):
        opened(postgres.address("x", user="nobody"))
    with pytest.raises(StoreUnavailable, match="option of its address is unknown"):
        opened(f"{postgres.fresh()}&passwrod={SECRET}")


def test_a_wrong_password(own_postgres: Any) -> None:
    with own_postgres.connect() as connection:
        connection.execute(f"CREATE ROLE ana LOGIN PASSWORD '{SECRET}'")
    rules = own_postgres.folder / "data" / "pg_hba.conf"
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    own_postgres.control("reload")
    time.sleep(0.3)
    with pytest.raises(StoreUnavailable, match="refused the password") as caught:
        opened(own_postgres.address("x", user="ana:wrongpass"))
    assert "wrongpass" not in str(caught.value)
    # The right one may come in, and may not make what only the owner of the database may.
    with pytest.raises(StoreUnavailable, match="CREATE EXTENSION vector;"):
        opened(own_postgres.address("x", user=f"ana:{SECRET}"))
    with own_postgres.connect() as connection:
        connection.execute("CREATE EXTENSION vector")
    with pytest.raises(StoreUnavailable, match="does not allow this role"):
        opened(own_postgres.address("x", user=f"ana:{SECRET}"))
    with own_postgres.connect() as connection:
        connection.execute("CREATE SCHEMA x AUTHORIZATION ana")
        connection.execute("GRANT CREATE ON DATABASE postgres TO ana")
    with opened(own_postgres.address("x", user=f"ana:{SECRET}", partitions=1)) as made:
        assert append(made, "hello") and made.verify().ok


def test_a_schema_of_somebody_else_is_left_alone(postgres: Any) -> None:
    address = postgres.fresh()
    name = addresses.parse(address).schema
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(f"CREATE TABLE {name}.theirs(x int)")
    with pytest.raises(StoreCorrupt, match="other tables"):
        opened(address)


def test_a_newer_store_is_not_touched(postgres: Any, ledger: PostgresLedger) -> None:
    administer(postgres, ledger, "UPDATE counters SET value = 99 WHERE name = 'schema_version'")
    with pytest.raises(SchemaTooNew) as caught:
        PostgresLedger(ledger._address, clock=FixedClock())
    assert (caught.value.found, caught.value.supported) == (99, schema.SCHEMA_VERSION)


def test_a_version_1_store_gets_its_events_counted(postgres: Any, ledger: PostgresLedger) -> None:
    append(ledger, "zwölf \U0001f431")
    before = ledger.owners()
    administer(postgres, ledger, "ALTER TABLE scopes DROP COLUMN events, DROP COLUMN chars")
    administer(postgres, ledger, "UPDATE counters SET value = 1 WHERE name = 'schema_version'")
    with PostgresLedger(ledger._address, clock=FixedClock()) as again:
        assert again.owners() == before and before[0].size.chars == len("zwölf \U0001f431")
        assert again.verify().ok and again.stats()["schema_version"] == schema.SCHEMA_VERSION
        administer(postgres, ledger, "UPDATE scopes SET chars = chars + 1")
        assert any("counters" in problem for problem in again.verify().problems)


def test_a_read_only_server_is_read(postgres: Any) -> None:
    address = postgres.fresh()
    with opened(address) as first:
        append(first, "kept")
    options = f"{address}&options=-c%20default_transaction_read_only%3Don"
    with opened(options) as reader:
        assert reader.read_only and texts(reader) == ["kept"] and reader.verify().ok
        with pytest.raises(StoreUnavailable, match="read-only"), reader.transaction(ANA):
            pass
    with pytest.raises(StoreUnavailable, match="read-only"):
        opened(f"{postgres.fresh()}&options=-c%20default_transaction_read_only%3Don")


def test_what_a_store_in_a_server_cannot_be_asked(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="seal="):
        Memory.open(postgres.fresh(), seal=Seal(bytes(32)))
    with pytest.raises(SettingsError, match="'mysql'"):
        Memory.open("mysql://x")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="postgres"):
        Memory.open("postgresql://x")


def test_values_that_postgres_cannot_hold(ledger: PostgresLedger) -> None:
    with pytest.raises(InputError), ledger.transaction(ANA) as tx:
        tx.append([draft("x", id="a")])
        tx.advance("facts", 2**63)
    assert texts(ledger) == [] and ledger.view(ANA).events(["a\0b"]) == []
    ids = append(ledger, "x")
    long = "key " * 5000  # no index could hold it
    with ledger.transaction(ANA) as tx:
        tx.apply([Op(op="add", record=record("r", *ids, key=long)), Op(op="add", record=record("s", *ids, key=f"{long}!"))])
    assert [found.id for found in ledger.view(ANA).records(key=long)] == ["r"]
    assert [found.id for found in ledger.view(ANA).records(prefix=long)] == ["r", "s"]


# ----------------------------------------------------------------------------------------------------- the dialect


@pytest.mark.parametrize(
    ("statement", "text", "lists"),
    [
        ("SELECT 1 FROM t WHERE a = ? AND b = ?", "SELECT 1 FROM t WHERE a = $1 AND b = $2", set()),
        ("SELECT ?1, ?2, ?1", "SELECT $1, $2, $1", set()),
        ("x WHERE +e.scope = ? AND +kind = ?", "x WHERE e.scope = $1 AND kind = $2", set()),
        ("x WHERE a + 1 = ?", "x WHERE a + 1 = $1", set()),
        ("x IN (SELECT value FROM json_each(?))", "x = ANY($1::text[])", {0}),
        ("e.seq IN (SELECT value FROM json_each(?2))", "e.seq = ANY($2::bigint[])", {1}),
        ("SET key = ? WHERE a AND key = ?", "SET key = $1 WHERE a AND left(key, 128) = left($2, 128) AND key = $2", set()),
        ("FROM events AS e INDEXED BY i JOIN s", "FROM events AS e JOIN s", set()),
    ],
    ids=["marks", "numbered", "hints", "sums", "texts", "numbers", "keys", "index"],
)
def test_statements_read_in_postgres(statement: str, text: str, lists: set[int]) -> None:
    found = dialect.translate(statement)
    assert (found.text, found.lists, found.scoped) == (text, frozenset(lists), False)


def test_statements_of_one_scope_are_told_which() -> None:
    found = dialect.translate(chain.TAIL)
    assert found.text.count("$1") == 1 and found.bind([], 7) == [7]
    wide = "SELECT count(*) FROM vectors AS v LEFT JOIN events AS e ON e.seq = v.seq JOIN scopes AS o ON o.id = v.scope"

    def inner(table: str, alias: str) -> str:
        return " ".join(("(SELECT * FROM", table, "WHERE scope = $1) AS", alias))

    narrow = wide.replace("vectors AS v", inner("vectors", "v")).replace("events AS e", inner("events", "e"))
    assert dialect.narrowed(wide).text == narrow
    assert dialect.translate("x IN (SELECT value FROM json_each(?))").bind(['["a", "b\\u0000"]'], 0) == [["a"]]


# ------------------------------------------------------------------------------------------------------- the tables


def test_every_key_begins_with_the_scope(postgres: Any, ledger: PostgresLedger) -> None:
    question = """SELECT c.relname, i.relname, a.attname, c.relkind FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid
        JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_namespace AS s ON s.oid = c.relnamespace
        LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0] WHERE s.nspname = %s"""
    with postgres.connect() as connection:
        rows = connection.execute(question, (ledger._address.schema,)).fetchall()
    own = {(table, column) for table, _, column, _ in rows if table not in ("scopes", "embedders", "counters")}
    assert {column for _, column in own} == {"scope"}
    parents = {table for table, _, _, kind in rows if kind == "p"}
    assert parents == set(dialect.PARTITIONED)
    assert {f"{table}_p{part}" for table in parents for part in range(2)} <= {table for table, _ in own}


def test_owners_are_spread_over_the_partitions(postgres: Any, ledger: PostgresLedger) -> None:
    for number in range(12):
        append(ledger, "x", scope=Scope(user=f"u{number}"))
    with postgres.connect() as connection:
        name = ledger._address.schema
        connection.execute(f"SET search_path TO {name}")
        counts = [connection.execute(" ".join(("SELECT count(*) FROM", f"events_p{part}"))).fetchone()[0] for part in range(2)]
    assert sum(counts) == 12 and all(counts)
    assert ledger.stats()["partitions"] == 2 and ledger.stats()["events"] == 12


def test_vectors_are_pgvectors_own(postgres: Any, ledger: PostgresLedger) -> None:
    """To the bit, and comparable in the engine."""
    import numpy as np

    append(ledger, "a", "b")
    a, b = (event.seq for event in ledger.view(ANA).scan())
    drawn = np.random.default_rng(7).normal(size=(3, 5)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    with ledger.transaction(ANA) as tx:
        tx.put_vectors("m", 5, [(a, drawn[:1]), (b, drawn[1:])], b)
    (page,) = ledger.view(ANA).vectors("m")
    assert page.matrix.tobytes() == drawn.tobytes() and page.parts.tolist() == [1, 2]
    with postgres.connect() as connection:
        connection.execute(f"SET search_path TO {ledger._address.schema}, public")
        rows = connection.execute("SELECT seq, part, -(vector <#> %s::vector) FROM vectors ORDER BY 1, 2", (as_text(drawn[0]),)).fetchall()
    assert [row[:2] for row in rows] == [(a, 0), (b, 0), (b, 1)]
    assert np.allclose([row[2] for row in rows], drawn @ drawn[0], atol=1e-6)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM sessions", "rows have lost"),
        ("UPDATE records SET text = 'forged'", "not what the journal says"),
        ("DELETE FROM provenance", "provenance"),
        ("UPDATE lexicon SET length = 1", "lexicon"),
        ("ALTER TABLE chain DISABLE TRIGGER chain_only_grows", "trigger chain_only_grows"),
        ("ALTER TABLE chain DISABLE TRIGGER USER; DELETE FROM chain WHERE n = 1", "are missing"),
        ("ALTER TABLE events DISABLE TRIGGER USER; UPDATE events SET text = 'forged'", "is not what chain entry"),
        ("UPDATE journal SET why = 'forged'", "was changed"),
        ("DELETE FROM scopes", "have lost their scope"),
        ("DROP TABLE lexicon", "lexicon is missing"),
    ],
)  # fmt: skip
def test_verify_finds_what_was_changed_behind_it(postgres: Any, ledger: PostgresLedger, statement: str, says: str) -> None:
    ids = append(ledger, "one", "two")
    with ledger.transaction(ANA) as tx:
        tx.apply([Op(op="add", record=record("r", *ids))])
    append(ledger, "his", scope=BOB)
    assert ledger.verify().ok
    administer(postgres, ledger, *statement.split("; "))
    problems = ledger.verify().problems
    assert any(says in problem for problem in problems), problems


def test_events_and_the_chain_cannot_be_rewritten(postgres: Any, ledger: PostgresLedger) -> None:
    append(ledger, "one")
    for statement in ("UPDATE events SET text = 'x'", "DELETE FROM chain", "UPDATE chain SET n = 7"):
        with pytest.raises(psycopg.errors.RaiseException):
            administer(postgres, ledger, statement)


def test_terms_of_another_analysis_are_made_again(postgres: Any, ledger: PostgresLedger) -> None:
    append(ledger, "I moved to Lisbon", scope=ANA)
    before = [row.terms.tolist() for row in term_rows(ledger.view(ANA))]
    generation = ledger.view(ANA).generation
    administer(postgres, ledger, "UPDATE lexicon SET terms = ''", "UPDATE counters SET value = 0 WHERE name = 'analysis'")
    with PostgresLedger(ledger._address, clock=FixedClock()) as again:
        assert [row.terms.tolist() for row in term_rows(again.view(ANA))] == before
        assert again.view(ANA).generation != generation and again.verify().ok


# ------------------------------------------------------------------------------------------- with the memory in front


def test_a_memory_in_postgres_does_what_one_in_a_file_does(postgres: Any, tmp_path: Path) -> None:
    told = ["My sister Zelda lives in Porto.", "I work as a nurse.", "My cat is called Miro.", "I moved to Lisbon in May."]

    def life(where: str) -> tuple[Any, ...]:
        with Memory.open(where, clock=FixedClock(), embedder=HashEmbedder(), derive="with_write") as memory:
            ana, bob = memory.scope(user="ana"), memory.scope(user="bob")
            ids = [ana.add(text).ids[0] for text in told]
            found = [item.text for item in ana.recall("Where does my sister live?").items]
            answer = ana.ask("What is my cat called?").text
            gone = ana.forget(ids=ids[:1])
            after = [item.text for item in ana.recall("Where does my sister live?").items]
            rows = list(ana.export())
            assert bob.recall("sister").items == ()
            restored = bob.restore(rows, trusted=True)
            maintained = bob.maintain()
            copied = [item.text for item in bob.recall("What is my cat called?").items]
            Items(ana).put(("notes",), "k", {"a": 1})
            item = Items(ana).get(("notes",), "k")
            kept = None if item is None else (item.key, dict(item.value))
            assert memory.verify().ok, memory.verify().problems
            return ids, found, answer, gone.complete, after, len(rows), restored, maintained, copied, kept

    assert life(postgres.fresh()) == life(str(tmp_path / "store"))


def test_an_export_goes_from_a_file_into_a_server_and_back(ledger: PostgresLedger) -> None:
    with SqliteLedger(":memory:", clock=FixedClock()) as file:
        with file.transaction(ANA) as tx:
            one = tx.append([draft("one"), draft("two", session="s2")])[0].event
            tx.apply([Op(op="add", record=record("r", one.id))])
        rows = list(file.export(ANA))
        assert ledger.restore(ANA, rows) == (2, 1) and ledger.verify().ok
        assert list(ledger.export(ANA)) == rows
        assert file.restore(BOB, iter(list(ledger.export(ANA)))) == (2, 1)
        assert list(file.export(BOB)) == rows


# --------------------------------------------------------------------------------------- when the server gives it up

_GIVES_UP = """CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('attempts') <= {count} THEN RAISE EXCEPTION 'try again' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"""


def gives_up(server: Any, ledger: PostgresLedger, table: str, count: int, code: str = "40001", *, late: bool = False) -> None:
    """Have the server give up the next transactions that write into a table; `late` only when they commit."""
    kind = "CONSTRAINT TRIGGER give_up AFTER INSERT" if late else "TRIGGER give_up BEFORE INSERT"
    when = "DEFERRABLE INITIALLY DEFERRED" if late else ""
    administer(
        server, ledger, "CREATE SEQUENCE attempts", _GIVES_UP.format(count=count, code=code),
        f"CREATE {kind} ON {table} {when} FOR EACH ROW EXECUTE FUNCTION give_up()",
    )  # fmt: skip


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize("late", [False, True], ids=["in-a-statement", "in-the-commit"])
def test_a_transaction_that_was_given_up_is_run_again(postgres: Any, ledger: PostgresLedger, code: str, late: bool) -> None:
    """With the same events under the same numbers, once."""
    append(ledger, "before")
    gives_up(postgres, ledger, "batches", 2, code, late=late)
    with ledger.transaction(ANA) as tx:
        events = [one.event for one in tx.append([draft("one"), draft("two")])]
        assert tx.apply([Op(op="add", record=record("r", events[0].id))]) == ["r"]
        tx.advance("facts", events[1].seq)
    assert list(ledger.view(ANA).scan())[1:] == events and ledger.view(ANA).cursor("facts") == events[1].seq
    assert [found.id for found in ledger.view(ANA).records()] == ["r"]
    assert ledger.verify().ok and ledger.undo(ANA) == ["r"]


def test_undo_forget_and_restore_are_run_again(postgres: Any, ledger: PostgresLedger) -> None:
    ids = append(ledger, "alpha", "beta")
    with ledger.transaction(ANA) as tx:
        tx.apply([Op(op="add", record=record("r", ids[0]))])
    rows = list(ledger.export(ANA))
    gives_up(postgres, ledger, "batches", 1)
    assert ledger.undo(ANA) == ["r"]
    administer(postgres, ledger, "ALTER SEQUENCE attempts RESTART")
    assert ledger.forget(ANA, ids[:1]).report.events == 1
    administer(postgres, ledger, "ALTER SEQUENCE attempts RESTART")
    assert ledger.restore(BOB, rows) == (2, 1)
    administer(postgres, ledger, "ALTER SEQUENCE attempts RESTART")
    with pytest.raises(StoreUnavailable, match="try again"):
        ledger.restore(Scope(user="c"), iter(rows))  # what can be read once only cannot be written twice
    assert ledger.verify().ok and texts(ledger, Scope(user="c")) == []


def test_it_is_not_tried_for_ever(postgres: Any, ledger: PostgresLedger) -> None:
    gives_up(postgres, ledger, "events", 1000)
    with pytest.raises(StoreUnavailable, match="try again"):
        append(ledger, "one")
    with postgres.connect() as connection:
        connection.execute(f"SET search_path TO {ledger._address.schema}")
        (tries,) = connection.execute("SELECT last_value FROM attempts").fetchone()
    assert tries == 1 + ledger._address.retries and texts(ledger) == []


def test_it_is_not_run_again_over_what_others_have_done(postgres: Any, ledger: PostgresLedger) -> None:
    """The application has seen answers that may not hold any more."""
    append(ledger, "before")
    gives_up(postgres, ledger, "batches", 1)
    with PostgresLedger(ledger._address, clock=FixedClock()) as other:
        thread = threading.Thread(target=append, args=(other, "between"))
        with pytest.raises(StoreUnavailable, match="Others have changed"), ledger.transaction(ANA) as tx:
            event = tx.append([draft("one")])[0].event
            thread.start()
            with postgres.connect() as connection:  # the other one is next in the queue
                while not connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone():
                    time.sleep(0.01)
            tx.apply([Op(op="add", record=record("r", event.id))])
            tx.advance("facts", 1)
        thread.join()
    assert texts(ledger) == ["before", "between"] and ledger.verify().ok


# -------------------------------------------------------------------------------------------- when a connection breaks


def disconnect(server: Any) -> None:
    """End every other connection of the server, as a network or a fail-over does."""
    with server.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tierkeep'")


def test_a_read_and_the_next_write_go_on_over_a_new_connection(postgres: Any, ledger: PostgresLedger) -> None:
    append(ledger, "one")
    for _ in range(2):
        disconnect(postgres)
        assert texts(ledger) == ["one"]
    disconnect(postgres)
    append(ledger, "two")
    assert texts(ledger) == ["one", "two"]


def test_a_transaction_whose_connection_broke_is_done_on_another(postgres: Any, ledger: PostgresLedger) -> None:
    with ledger.transaction(ANA) as tx:
        first = tx.append([draft("one")])[0].event
        disconnect(postgres)
        second = tx.append([draft("two")])[0].event
        disconnect(postgres)
    assert list(ledger.view(ANA).scan()) == [first, second] and ledger.verify().ok


class Wire:
    """What lies between a client and the server, and breaks at a COMMIT: before the server has it, or before the client has the answer.

    Attributes:
        breaks: "", "before" or "after": what the next COMMIT meets.
        dead: Whether nobody gets through any more.
    """

    def __init__(self, server: Any) -> None:
        self.breaks, self.dead, self.broke = "", False, 0
        self._target = str(server.folder / ".s.PGSQL.5432")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            if self.dead:
                return
            server.connect(self._target)
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for side in ready:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    if side is client and b"COMMIT" in data and self.breaks:
                        how, self.breaks, self.broke = self.breaks, "", self.broke + 1
                        if how == "after":
                            server.sendall(data)
                            server.recv(1 << 16)  # the answer, which nobody gets
                        return
                    (server if side is client else client).sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def wire(postgres: Any) -> Iterator[Wire]:
    with contextlib.closing(Wire(postgres)) as made:
        yield made


def through(wire: Wire, postgres: Any, **options: object) -> str:
    """Return the address of a store behind the wire."""
    name = addresses.parse(postgres.fresh()).schema
    more = "".join(f"&{key}={value}" for key, value in options.items())
    return f"postgresql://postgres@127.0.0.1:{wire.port}/postgres?schema={name}&partitions=1&sslmode=disable&gssencmode=disable{more}"


@pytest.mark.parametrize("breaks", ["after", "before"], ids=["committed", "not-committed"])
@pytest.mark.parametrize("what", ["event", "cursor"])
def test_a_commit_without_an_answer_is_looked_up(postgres: Any, wire: Wire, breaks: str, what: str) -> None:
    """Stored once, whether the server had done it or not."""
    with opened(through(wire, postgres)) as ledger:
        wire.breaks = breaks
        with ledger.transaction(ANA) as tx:
            if what == "event":
                tx.append([draft("one")])
            tx.advance("facts", 1)
        assert wire.broke == 1 and texts(ledger) == (["one"] if what == "event" else []) and ledger.view(ANA).cursor("facts") == 1
        assert ledger.stats()["chain"] == (1 if what == "event" else 0) and ledger.verify().ok


def test_a_commit_that_nobody_can_answer_for_says_so(postgres: Any, wire: Wire) -> None:
    with opened(through(wire, postgres, timeout=1)) as ledger:
        with pytest.raises(StoreUnavailable, match="not known"), ledger.transaction(ANA) as tx:
            tx.append([draft("one", id="m1")])
            wire.breaks, wire.dead = "after", True
        wire.dead = False
        with ledger.transaction(ANA) as tx:
            assert tx.append([draft("one", id="m1")])[0].duplicate  # what the message advises
        assert texts(ledger) == ["one"]


def test_a_failed_statement_is_not_committed_in_silence(ledger: PostgresLedger) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK after an error."""
    with pytest.raises(StorageError), ledger.transaction(ANA) as tx:
        tx.append([draft("one")])
        with contextlib.suppress(InputError):
            tx.advance("facts", 2**63)
    assert texts(ledger) == []


# -------------------------------------------------------------------------------------------------- many at once

_WRITER = """
import sys
from tierkeep.errors import StoreUnavailable
from tierkeep.ledger.postgres.ledger import PostgresLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import draft, record
from tierkeep.records import Op
address, name, count, owners = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with PostgresLedger(address, clock=FixedClock()) as ledger:
    print("ready", flush=True)
    for step in range(count):
        try:
            with ledger.transaction(Scope(user=f"u{step % owners}")) as tx:
                event = tx.append([draft(f"{name} {step}", id=f"{name}-{step}", session=f"s{step % 2}")])[0].event
                tx.apply([Op(op="add", record=record(f"r{name}-{step}", event.id, scope=Scope(user=f"u{step % owners}")))])
        except StoreUnavailable as error:
            print("failed", flush=True)
        else:
            print(f"{name} {step}", flush=True)
"""


def writer(address: str, name: str, count: int, owners: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, address, name, str(count), str(owners)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def finished(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Return what writers were told is stored."""
    said = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        said += [line for line in out.splitlines() if line not in ("ready", "failed")]
    return said


def test_processes_make_the_store_at_once_and_write_at_once(postgres: Any) -> None:
    """Two of them find no store; what each was told is stored is there, once."""
    address = postgres.fresh()
    said = finished([writer(address, name, 25) for name in ("a", "b", "c")])
    with opened(address) as ledger:
        scopes = [Scope(user="u0"), Scope(user="u1")]
        stored = [text for scope in scopes for text in texts(ledger, scope)]
        assert sorted(stored) == sorted(said) and len(said) == 75
        for scope in scopes:
            events = list(ledger.view(scope).scan())
            for session in ("s0", "s1"):
                assert sorted(e.position for e in events if e.session == session) == list(range(sum(e.session == session for e in events)))
        assert ledger.verify().ok and ledger.stats()["records"] == 75


def test_a_killed_server_keeps_what_it_has_acknowledged(own_postgres: Any) -> None:
    """Killed in the middle of writes, three times; writers go on when it is back."""
    address = own_postgres.fresh(partitions=1)
    opened(address).close()
    processes = [writer(address, name, 60, 1) for name in ("a", "b")]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline().strip() == "ready"
    for _ in range(2):
        time.sleep(0.4)
        own_postgres.kill()
        own_postgres.start()
    said = finished(processes)
    with opened(address) as ledger:
        stored = texts(ledger, Scope(user="u0"))
        assert set(said) <= set(stored) and len(set(stored)) == len(stored)
        assert said and ledger.verify().ok, ledger.verify().problems


def test_owners_do_not_wait_for_one_another(ledger: PostgresLedger) -> None:
    with ledger.transaction(ANA) as tx:
        tx.append([draft("mine")])
        done: list[list[str]] = []
        thread = threading.Thread(target=lambda: done.append(append(ledger, "his", scope=BOB)))
        thread.start()
        thread.join(20)
        assert done and texts(ledger, BOB) == ["his"]
    assert texts(ledger) == ["mine"]


def test_a_writer_of_the_same_scope_is_waited_for_so_long(postgres: Any) -> None:
    address = postgres.fresh(timeout=1)
    with opened(address) as one, opened(address) as other, one.transaction(ANA) as tx:
        tx.append([draft("mine")])
        with pytest.raises(StoreUnavailable, match="another writer"):
            append(other, "late")
    with opened(address) as again:
        assert texts(again) == ["mine"]


def test_more_threads_than_connections_take_turns(postgres: Any) -> None:
    with opened(postgres.fresh(pool=2)) as ledger:
        threads = [threading.Thread(target=append, args=(ledger, f"t{n}"), kwargs={"scope": Scope(user=f"u{n}")}) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.stats()["events"] == 8


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_has_connections_of_its_own(ledger: PostgresLedger) -> None:
    append(ledger, "parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            append(ledger, "child")
            code = 0 if texts(ledger) == ["parent", "child"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    append(ledger, "parent again")
    assert texts(ledger) == ["parent", "child", "parent again"]


def test_reading_inside_a_transaction_sees_it(ledger: PostgresLedger) -> None:
    """As in a file; and it takes no second connection, of which there may be none."""
    with ledger.transaction(ANA) as tx:
        tx.append([draft("one")])
        assert texts(ledger) == ["one"] and "one" in snapshot(ledger, ANA)
        with pytest.raises(OpRefused):
            tx.apply([Op(op="add", record=record("r", "nothing"))])
    assert texts(ledger) == ["one"]


def test_numbers_that_a_killed_server_forgot_are_not_given_out_twice(own_postgres: Any) -> None:
    """What a sequence gave out is on disk with the next commit; before that a killed server gives the same numbers again."""
    with opened(own_postgres.fresh()) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("first"), draft("second")])
            own_postgres.kill()
            own_postgres.start()
            tx.append([draft("third")])
        append(ledger, "fourth")
        append(ledger, "fifth")
        assert texts(ledger) == ["first", "second", "third", "fourth", "fifth"] and ledger.verify().ok
