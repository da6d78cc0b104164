"""Opening: new files, older files, newer files, and files that are none of ours."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from tierkeep.errors import InputError, SchemaTooNew, SettingsError, StoreCorrupt, StoreUnavailable
from tierkeep.ledger import SqliteLedger, schema
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft

ANA = Scope(user="ana")


def opened(path: Path | str, **options: object) -> SqliteLedger:
    return SqliteLedger(path, clock=FixedClock(), **options)  # type: ignore[arg-type]


def filled(path: Path, *texts: str) -> None:
    with opened(path) as ledger, ledger.transaction(ANA) as tx:
        tx.append([draft(text) for text in texts or ("one", "two")])


def raw(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_folder_is_made_with_its_parents_and_for_its_owner_only(tmp_path: Path) -> None:
    filled(tmp_path / "a" / "b")
    file = tmp_path / "a" / "b" / "tierkeep.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with opened(tmp_path / "a" / "b") as ledger:
        list(ledger.view(ANA).scan())
        for beside in file.parent.iterdir():
            assert stat.S_IMODE(beside.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["x.db", "x.sqlite", "x.sqlite3"])
def test_a_path_with_a_database_suffix_is_the_file_itself(tmp_path: Path, name: str) -> None:
    filled(tmp_path / name)
    assert (tmp_path / name).is_file()
    with opened(str(tmp_path / name)) as ledger:
        assert ledger.path == tmp_path / name
        assert len(list(ledger.view(ANA).scan())) == 2


def test_names_of_scopes_never_become_paths(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as ledger:
        for name in ("../../escape", "/etc/x", "a\\b", "con"):
            with ledger.transaction(Scope(tenant=name, user=name)) as tx:
                tx.append([draft("x", session=name)])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["store", "tierkeep.db"]


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        stats = ledger.stats()
    assert (stats["schema_version"], stats["journal_mode"], stats["durability"]) == (schema.SCHEMA_VERSION, "wal", "normal")
    header = (tmp_path / "tierkeep.db").read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == schema.APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == schema.SCHEMA_VERSION


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    filled(tmp_path / "x.db")


def test_a_version_0_file_becomes_current(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    raw(path, f"PRAGMA application_id = {schema.APPLICATION_ID}", "PRAGMA journal_mode = WAL")
    filled(path)
    with opened(path) as ledger:
        assert ledger.verify().ok
        assert ledger.stats()["schema_version"] == schema.SCHEMA_VERSION


def test_a_version_1_store_gets_its_batches_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path, "kept")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP INDEX batches_in_order")
    for trigger in ("events_go_whole", "records_go_whole", "cursors_go_whole"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("DROP INDEX events_in_quarantine")
    for table in ("embedded", "vectors", "embedders", "guard_log", "reviews", "elevations", "unembedded", "confirmations", "seals"):
        connection.execute(f"DROP TABLE {table}")
    for column in ("events", "chars"):
        connection.execute(f"ALTER TABLE scopes DROP COLUMN {column}")
    connection.execute("PRAGMA user_version = 1")
    assert schema.migrate(connection) == 1
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT max(tx) FROM batches WHERE scope = 1 AND tx > 5").fetchall()
    connection.close()
    assert "batches_in_order (scope=? AND tx>?)" in plan[0][-1]
    with opened(path) as ledger:
        assert ledger.verify().ok


def test_a_version_4_store_gets_its_events_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path, "kept", "zwölf 漢字 🐱")
    connection = sqlite3.connect(path, isolation_level=None)
    for column in ("events", "chars"):
        connection.execute(f"ALTER TABLE scopes DROP COLUMN {column}")
    connection.execute("PRAGMA user_version = 4")
    connection.close()
    with opened(path) as ledger:
        ((_, size),) = ledger.owners()
        assert size == (2, len("kept" "zwölf 漢字 🐱"))
        assert ledger.verify().ok
    raw(path, "UPDATE scopes SET chars = chars + 1")
    with opened(path) as ledger:
        assert any("counters" in problem for problem in ledger.verify().problems)


def test_a_later_step_migrates_a_full_store_and_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path, "kept")

    def step(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE sessions ADD COLUMN title TEXT")

    def broken(connection: sqlite3.Connection) -> None:
        step(connection)
        connection.execute("SELECT nonsense")

    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, steps=(*schema.STEPS, broken))
    assert schema.version(connection) == schema.SCHEMA_VERSION
    assert schema.migrate(connection, steps=(*schema.STEPS, step)) == schema.SCHEMA_VERSION
    assert schema.version(connection) == schema.SCHEMA_VERSION + 1
    assert schema.migrate(connection, steps=(*schema.STEPS, step)) == schema.SCHEMA_VERSION + 1
    assert connection.execute("SELECT name, title FROM sessions").fetchall() == [("s1", None)]
    connection.close()
    with pytest.raises(SchemaTooNew):
        opened(path)


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path)
    raw(path, "PRAGMA user_version = 99", "PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew) as caught:
        opened(path)
    assert (caught.value.found, caught.value.supported, caught.value.path) == (99, schema.SCHEMA_VERSION, str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello world\n" * 500, b"\x00" * 4096, b"SQLite format 3\x00short", b"x"])
def test_a_file_that_is_not_a_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="not a tierkeep store"):
        opened(path)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]


def test_another_applications_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    raw(path, "PRAGMA journal_mode = WAL", "CREATE TABLE events(x)", "INSERT INTO events VALUES(1)")
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another application"):
        opened(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]


def test_a_store_that_lost_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path)
    raw(path, "DROP TABLE lexicon")
    with pytest.raises(StoreCorrupt, match="lexicon"):
        opened(path)


def test_paths_that_cannot_be_stores(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        opened("nul\0inside")
    with pytest.raises(StoreUnavailable):
        opened(tmp_path / "file" / "below")
    os.mkfifo(tmp_path / "pipe.db")
    with pytest.raises(StoreUnavailable, match="regular file"):
        opened(tmp_path / "pipe.db")


def test_settings_that_cannot_hold(tmp_path: Path) -> None:
    for options in ({"durability": "sometimes"}, {"busy_timeout_s": -1.0}, {"busy_timeout_s": float("nan")}):
        with pytest.raises(SettingsError):
            opened(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_events_and_chain_refuse_every_update(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path)
    connection = sqlite3.connect(path)
    for statement in ("UPDATE events SET text = 'x'", "UPDATE chain SET kind = 'x'", "DELETE FROM chain"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()


def test_a_log_that_grew_while_somebody_read_gives_the_disk_back(tmp_path: Path) -> None:
    with opened(tmp_path / "x.db") as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("first")])
        reader = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for number in range(10):
            with ledger.transaction(ANA) as tx:
                tx.append([draft(f"message {number} {place} " + "x" * 12_000) for place in range(150)])
        grown = ledger.stats()["log_bytes"]
        assert grown > 16 << 20  # what is being read may not be moved into the file
        reader.execute("ROLLBACK")
        reader.close()
        for number in range(3):  # the first moves everything into the file, the next begins the log anew
            with ledger.transaction(ANA) as tx:
                tx.append([draft(f"and {number}")])
        assert ledger.stats()["log_bytes"] <= 16 << 20
