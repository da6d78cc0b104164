"""Locked, read-only, full, truncated and damaged stores: typed errors, and the data as it was."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import tierkeep
from tierkeep.errors import StorageError, StoreCorrupt, StoreUnavailable
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Op, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft, record, snapshot

ANA = Scope(user="ana")
ROOT = Path(tierkeep.__file__).resolve().parents[1]


def opened(path: Path, **options: float) -> SqliteLedger:
    return SqliteLedger(path, clock=FixedClock(), **options)


def run(script: str, *arguments: str) -> str:
    """Run a script in another process; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed store of 60 events and 20 records over several pages."""
    path = tmp_path / "x.db"
    with opened(path) as ledger, ledger.transaction(ANA) as tx:
        events = [a.event.id for a in tx.append([draft(f"event {i} " + "word " * 60, session=f"s{i % 3}") for i in range(60)])]
        tx.apply([Op(op="add", record=record(f"r{i}", events[i], events[i + 1])) for i in range(20)])
    return path


# ------------------------------------------------------------------------------------------------------- locked


def test_a_locked_store_says_so_in_time_and_still_reads(store: Path) -> None:
    other = sqlite3.connect(store, isolation_level=None)
    with opened(store, busy_timeout_s=0.05) as ledger:
        before = snapshot(ledger, ANA)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"), ledger.transaction(ANA):
            pass
        with pytest.raises(StoreUnavailable, match="locked"):
            ledger.forget(ANA, ["x"])
        assert snapshot(ledger, ANA) == before
        other.execute("ROLLBACK")
        with ledger.transaction(ANA) as tx:
            tx.append([draft("free again")])
    other.close()


def test_a_reader_that_keeps_the_log_makes_forget_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with opened(path, busy_timeout_s=0.1) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("zanzibarvoyage", id="m1"), draft("other", id="m2")])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        report = ledger.forget(ANA, ["m1"]).report
        assert (report.events, report.complete) == (1, False)
        assert "reading" in report.note
        assert [event.id for event in ledger.view(ANA).scan()] == ["m2"]
        reader.execute("ROLLBACK")
        reader.close()
        assert ledger.sweep(["zanzibarvoyage"]) == []


# ---------------------------------------------------------------------------------------------------- read-only

READ_ONLY = """
    import os, sys
    from tierkeep.errors import StoreUnavailable
    from tierkeep.ledger import SqliteLedger
    from tierkeep.records import Scope
    from tierkeep.testing.clock import FixedClock
    from tierkeep.testing.store import draft
    scope = Scope(user="ana")
    SqliteLedger(":memory:", clock=FixedClock()).verify()  # every module is loaded while it may be read
    if os.geteuid() == 0:
        os.setuid(65534)  # root may write anything
    with SqliteLedger(sys.argv[1], clock=FixedClock()) as ledger:
        print(len(list(ledger.view(scope).scan())), ledger.verify().ok, ledger.read_only)
        for change in (lambda: ledger.transaction(scope).__enter__(), lambda: ledger.forget(scope, ["x"]), lambda: ledger.undo(scope)):
            try:
                change()
            except StoreUnavailable as error:
                print("read-only" in str(error))
    for path in sys.argv[2:]:
        try:
            SqliteLedger(path, clock=FixedClock())
        except StoreUnavailable as error:
            print("refused")
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that another user can reach; pytest's own is private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_store_reads_and_refuses_to_write(store: Path, public_folder: Path) -> None:
    path = public_folder / "x.db"
    shutil.copy(store, path)
    (public_folder / "empty.db").touch()
    for file in (path, public_folder / "empty.db"):
        file.chmod(0o444)
    public_folder.chmod(0o555)
    said = run(READ_ONLY, str(path), str(public_folder / "empty.db"), str(public_folder / "new"))
    assert said.split() == ["60", "True", "True", "True", "True", "True", "refused", "refused"]
    assert sorted(file.name for file in public_folder.iterdir()) == ["empty.db", "x.db"]


# --------------------------------------------------------------------------------------------------------- full

DISK_FULL = """
    import resource, sys, os
    from tierkeep.errors import StoreUnavailable
    from tierkeep.ledger import SqliteLedger
    from tierkeep.records import Op, Scope
    from tierkeep.testing.clock import FixedClock
    from tierkeep.testing.store import draft, record, snapshot
    scope = Scope(user="ana")
    with SqliteLedger(sys.argv[1], clock=FixedClock()) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
        kept, refused = [], 0
        for number in range(400):
            before = snapshot(ledger, scope) if number % 40 == 0 else None
            try:
                with ledger.transaction(scope) as tx:
                    event = tx.append([draft(f"{number} " + "x" * 5000)])[0].event
                    tx.apply([Op(op="add", record=record(f"r{number}", event.id))])
                kept.append(event.id)
            except StoreUnavailable:
                refused += 1
                assert before is None or snapshot(ledger, scope) == before
        assert kept and refused, (len(kept), refused)
        assert [event.id for event in ledger.view(scope).scan()] == kept
        assert len(ledger.view(scope).records()) == len(kept)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with ledger.transaction(scope) as tx:
            tx.append([draft("room again")])
        assert ledger.verify().ok, ledger.verify().problems
        print("ok")
"""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    assert run(DISK_FULL, str(tmp_path / "x.db")) == "ok\n"


# ------------------------------------------------------------------------------------------------------ damaged


def noticed(path: Path) -> bool:
    """Whether using a damaged store raises typed errors only, or verify finds the damage."""
    try:
        with opened(path) as ledger:
            found = False
            for use in (
                lambda: snapshot(ledger, ANA),
                lambda: list(ledger.view(ANA).term_pages()),
                lambda: ledger.view(ANA).sessions(),
                lambda: ledger.history(ANA, "r3"),
                lambda: ledger.sweep(["word"]),
                lambda: ledger.stats(),
            ):
                try:
                    use()
                except StorageError:
                    found = True
            return found | (not ledger.verify().ok)
    except StoreCorrupt:
        return True


def test_garbage_in_any_page_is_noticed(store: Path) -> None:
    whole = store.read_bytes()
    noise = random.Random(5)
    assert not noticed(store)
    for start in range(0, len(whole), 4096):
        store.write_bytes(whole[:start] + noise.randbytes(4096) + whole[start + 4096 :])
        assert noticed(store), start
    store.write_bytes(whole)
    assert not noticed(store)


def test_truncation_is_noticed(store: Path) -> None:
    whole = store.read_bytes()
    for size in (1, 50, 100, 512, 4000, 4096, 5000, 8192, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        store.write_bytes(whole[:size])
        assert noticed(store), size


def test_single_changed_bytes_in_text_are_noticed(store: Path) -> None:
    whole = store.read_bytes()
    places = [at for at in range(len(whole)) if whole[at : at + 5] == b"word "]
    for at in random.Random(1).sample(places, 40):
        store.write_bytes(whole[:at] + b"W" + whole[at + 1 :])
        assert noticed(store), at
    store.write_bytes(whole)


TAMPERING = {
    "a text": "UPDATE events SET text = replace(text, 'event 7 ', 'event 9 ')",
    "an origin": "UPDATE events SET origin = replace(origin, 'user_direct', 'operator') WHERE seq = 5",
    "an authority": "UPDATE events SET authority = 3 WHERE seq = 5",
    "a time": "UPDATE events SET at = '2020-01-01' WHERE seq = 5",
    "a meta": "UPDATE events SET meta = '{\"a\":1}' WHERE seq = 5",
    "a lost event": "DELETE FROM events WHERE seq = 60",
    "the order": "UPDATE events SET seq = CASE seq WHEN 5 THEN 1005 ELSE 1006 END WHERE seq IN (5, 6)",
    "a position": "UPDATE events SET position = position + 100 WHERE seq = 9",
    "a session": "UPDATE events SET session = 3 - session, position = 500 WHERE seq = 1",
    "an owner": "UPDATE scopes SET user = 'eve'",
    "a forged event": "INSERT INTO events SELECT NULL, scope, session, 999, 'forged', kind, role, speaker, 'no', at, ts, origin, "
    "authority, meta, salt, entry FROM events WHERE seq = 1",
    "a lost index row": "DELETE FROM lexicon WHERE seq = 8",
    "a chain entry": "UPDATE chain SET digest = zeroblob(32) WHERE n = 8",
    "a lost chain entry": "DELETE FROM chain WHERE n = 8",
    "a lost chain end": "DELETE FROM chain WHERE n = (SELECT max(n) FROM chain)",
    "a pretended forget": "INSERT INTO forgotten VALUES('event', 60, 61)",
    "a record's text": "UPDATE records SET text = 'no' WHERE id = 'r4'",
    "a record's authority": "UPDATE records SET authority = 3 WHERE id = 'r4'",
    "a record's sources": "UPDATE records SET sources = '[\"nothing\"]' WHERE id = 'r4'",
    "a lost record": "DELETE FROM records WHERE id = 'r4'",
    "a lost provenance": "DELETE FROM provenance WHERE record = 'r4'",
    "a journal image": "UPDATE journal SET after = replace(after, 'text of', 'lies of') WHERE record = 'r4'",
    "a lost journal row": "DELETE FROM journal WHERE record = 'r4'",
    "a pretended purge": "UPDATE journal SET after = NULL, salt = NULL WHERE record = 'r4'",
    "a batch": "UPDATE batches SET at = '2020-01-01'",
    "a lost batch": "DELETE FROM batches",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_verify_notices_tampering(store: Path, what: str) -> None:
    connection = sqlite3.connect(store, isolation_level=None)
    for trigger in ("events_are_immutable", "chain_only_grows", "chain_keeps"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(TAMPERING[what])
    assert connection.total_changes > 0
    connection.close()
    with opened(store) as ledger:
        report = ledger.verify()
    assert not report.ok
    assert all("word" not in line for line in report.problems), "problems name places, never content"


def test_an_event_that_comes_back_after_it_was_forgotten_is_noticed(store: Path) -> None:
    connection = sqlite3.connect(store, isolation_level=None)
    row = connection.execute("SELECT * FROM events WHERE seq = 30").fetchone()
    with opened(store) as ledger:
        ledger.forget(ANA, [row[4]])
        assert ledger.verify().ok
        connection.execute(f"INSERT INTO events VALUES({', '.join('?' * len(row))})", row)
        assert any("back after it was forgotten" in line for line in ledger.verify().problems)
    connection.close()
