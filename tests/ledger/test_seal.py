"""Sealed stores: every change made without the key is noticed, when the store is opened, read or verified (guard spec, T10 and S9)."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tierkeep import Memory
from tierkeep.cli.app import app
from tierkeep.errors import OpRefused, SettingsError, StoreCorrupt, TierkeepError
from tierkeep.ledger import Seal, SqliteLedger, chain, schema
from tierkeep.records import Authority, GuardEntry, Op, Origin, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft, record

ANA = Scope(tenant="t", user="ana")
BOB = Scope(tenant="t", user="bob")
KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
WEB = Origin.web("http://w.example")
SUBJECT = "ab" * 32


def token(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def opened(path: Path, seal: Seal | None) -> SqliteLedger:
    return SqliteLedger(path, clock=FixedClock(), seal=seal)


def fill(ledger: SqliteLedger) -> None:
    """Something in every table."""
    for scope in (ANA, BOB):
        with ledger.transaction(scope) as tx:
            texts = [draft(f"event {n} of {scope.user}", id=f"e{n}", session=f"s{n % 2}", meta={"n": n}) for n in range(4)]
            texts += [draft(f"order {n}", id=f"q{n}", authority=Authority.QUARANTINED, origin=WEB) for n in range(3)]
            seqs = [one.event.seq for one in tx.append(texts)]
            tx.apply([Op(op="add", record=record(f"r{n}", f"e{n}", scope=scope, key=f"k{n}")) for n in range(3)])
            tx.apply([Op(op="update", target="r0", patch={"text": "as it is now"})])
            tx.put_vectors("model", 4, [(seq, np.full((1, 4), 0.5, np.float32)) for seq in seqs[:4]], seqs[-1])
            tx.advance("facts", seqs[2])
            tx.log([GuardEntry(verb="quarantine", subject="q0", reasons=("web",), by="screening")])
            tx.release("q0")
            tx.issue(token(scope.user), SUBJECT, 4e9)
        ledger.forget(scope, ["e3"])


def raw(path: Path, *steps: str | tuple[str, tuple[object, ...]]) -> int:
    """Change a store behind its back, as somebody would who may write the file: triggers go and come back."""
    with unguarded(path) as connection:
        before = connection.total_changes
        for step in steps:
            connection.execute(*((step,) if isinstance(step, str) else step))
        return connection.total_changes - before


@contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction, without the triggers, which are put back afterwards."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    for _, sql in triggers:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def noticed(path: Path, seal: Seal | None) -> bool:
    """Whether opening or verifying says that something is wrong."""
    try:
        with opened(path, seal) as ledger:
            return not ledger.verify().ok
    except TierkeepError:
        return True


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store with a seal, one without, filled alike."""
    folder = tmp_path_factory.mktemp("stores")
    for name, seal in (("sealed.db", Seal(KEY)), ("plain.db", None)):
        with opened(folder / name, seal) as ledger:
            fill(ledger)
            assert ledger.verify().ok, ledger.verify().problems
    return folder


@pytest.fixture
def sealed(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(originals / "sealed.db", tmp_path / "x.db"))


@pytest.fixture
def plain(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(originals / "plain.db", tmp_path / "y.db"))


# ---------------------------------------------------------------------------------------------------------- the key


def test_a_key_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    forms = [KEY.hex(), KEY.hex().upper() + "\n", base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode().rstrip("=")]
    for form in forms:
        monkeypatch.setenv("TIERKEEP_SEAL_KEY", form)
        path.write_text(form)
        path.chmod(0o600)
        for seal in (Seal.from_env(), Seal.from_file(path)):
            assert seal.of_store("s").mac("event", [1]) == Seal(KEY).of_store("s").mac("event", [1])
            assert KEY.hex() not in repr(seal)


@pytest.mark.parametrize("text", ["", "  ", "hello", "ab" * 31, "ä" * 64, "g!" * 40])
def test_what_is_no_key_is_refused_and_not_repeated(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", text)
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    for make in (lambda: Seal.from_env("MY_KEY"), lambda: Seal.from_file(path)):
        with pytest.raises(SettingsError) as caught:
            make()
        assert not text.strip() or text not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(SettingsError, match="32 bytes"):
        Seal(b"short")


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    for mode in (0o644, 0o640, 0o602):
        path.chmod(mode)
        with pytest.raises(SettingsError, match="chmod 600"):
            Seal.from_file(path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for wrong in ("link", "pipe", "nothing", "."):
        with pytest.raises(SettingsError):
            Seal.from_file(tmp_path / wrong)
    with pytest.raises(SettingsError, match="own folder"):
        opened(tmp_path, Seal.from_file(path))
    with pytest.raises(SettingsError, match="own folder"):
        opened(tmp_path / "x.db", Seal(KEY, anchor=tmp_path / "anchor"))
    with pytest.raises(SettingsError, match="missing"):
        opened(tmp_path / "x.db", Seal(KEY, anchor=tmp_path / "no" / "anchor"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["key", "link", "pipe"]


# ---------------------------------------------------------------------------------------------------------- opening


def test_a_sealed_store_opens_with_its_key_only(sealed: Path) -> None:
    whole = sealed.read_bytes()
    with pytest.raises(SettingsError, match="is sealed"):
        opened(sealed, None)
    with pytest.raises(SettingsError, match="another key"):
        opened(sealed, Seal(OTHER))
    with pytest.raises(SettingsError, match="another key"):
        opened(sealed, Seal(OTHER, adopt=True))
    assert sealed.read_bytes() == whole
    with opened(sealed, Seal(KEY)) as ledger:
        assert len(list(ledger.view(ANA).scan())) == 6 and ledger.verify().ok
        assert ledger.stats()["seal"] == "sealed"


def test_a_store_that_holds_something_is_sealed_on_request_and_after_it_verified(plain: Path) -> None:
    with pytest.raises(SettingsError, match="adopt=True"):
        opened(plain, Seal(KEY))
    broken = Path(shutil.copy(plain, plain.with_name("broken.db")))
    raw(broken, "UPDATE events SET text = 'no' WHERE seq = 1")
    with pytest.raises(StoreCorrupt, match="does not verify"):
        opened(broken, Seal(KEY, adopt=True))
    opened(broken, None).close()  # left without a seal
    with opened(plain, Seal(KEY, adopt=True)) as ledger:
        assert ledger.verify().ok
        assert len(list(ledger.view(ANA).scan())) == 6 and len(ledger.view(ANA).records()) == 3
        with ledger.transaction(ANA) as tx:
            assert tx.redeem(token("ana"), SUBJECT, 1.0)
    with opened(plain, Seal(KEY)) as ledger:
        assert ledger.verify().ok


def test_a_stripped_seal_is_not_put_on_again(sealed: Path, tmp_path: Path) -> None:
    raw(sealed, "DELETE FROM seals", "UPDATE events SET text = 'no' WHERE seq = 1")
    with pytest.raises(SettingsError, match="stripped"):
        opened(sealed, Seal(KEY))
    with opened(tmp_path / "a" / "x.db", Seal(KEY, anchor=tmp_path / "anchor")) as ledger:
        fill(ledger)
    raw(tmp_path / "a" / "x.db", "DELETE FROM seals")
    for adopt in (False, True):
        with pytest.raises(StoreCorrupt, match="bears no seal"):
            opened(tmp_path / "a" / "x.db", Seal(KEY, anchor=tmp_path / "anchor", adopt=adopt))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(StoreCorrupt, match="bears no seal"):
        opened(tmp_path / "a" / "x.db", Seal(KEY, anchor=tmp_path / "anchor"))  # an empty one in its place


def test_who_has_no_key_does_not_write_to_what_was_sealed_meanwhile(plain: Path) -> None:
    with opened(plain, None) as before, opened(plain, Seal(KEY, adopt=True)) as ledger:
        with pytest.raises(SettingsError, match="since it was opened"), before.transaction(ANA):
            pass
        with pytest.raises(SettingsError, match="since it was opened"):
            before.forget(ANA, ["e1"])
        assert ledger.verify().ok


def test_a_key_is_changed(sealed: Path, tmp_path: Path) -> None:
    new = Seal(OTHER)
    with opened(sealed, Seal(KEY)) as stale, opened(sealed, Seal(KEY)) as ledger:
        ledger.reseal(new)
        with ledger.transaction(ANA) as tx:
            tx.append([draft("after the change")])
        assert ledger.verify().ok
        with pytest.raises(SettingsError, match="sealed anew"), stale.transaction(ANA):
            pass
        assert list(stale.view(ANA).scan()) == []  # closed, not open
    with pytest.raises(SettingsError, match="another key"):
        opened(sealed, Seal(KEY))
    with opened(sealed, new) as ledger, ledger.transaction(ANA) as tx:
        assert tx.redeem(token("ana"), SUBJECT, 1.0)
    assert not noticed(sealed, new)
    raw(sealed, "UPDATE records SET text = 'no' WHERE id = 'r1'")
    with opened(sealed, new) as ledger, pytest.raises(StoreCorrupt, match="keeps its seal"):
        ledger.reseal(Seal(KEY))
    with opened(tmp_path / "open.db", None) as ledger, pytest.raises(SettingsError, match="not sealed"):
        ledger.reseal(new)


def test_a_memory_takes_a_seal(tmp_path: Path) -> None:
    seal = Seal(KEY, anchor=tmp_path / "anchor")
    with Memory.open(tmp_path / "store", seal=seal) as memory:
        ana = memory.scope(user="ana")
        ana.add("I moved to Lisbon in May.", at="2026-05-02")
        assert memory.verify().ok and memory.stats()["seal"] == "sealed and anchored"
        assert ana.recall("Where do I live?")
        assert ana.forget(everything=True).complete
        assert memory.verify().ok
    with pytest.raises(SettingsError, match="is sealed"):
        Memory.open(tmp_path / "store")
    for wrong in (KEY, "env", Seal):
        with pytest.raises(SettingsError, match=r"seal must be|class"):
            Memory.open(tmp_path / "other", seal=wrong)  # type: ignore[arg-type]
    with SqliteLedger(":memory:", clock=FixedClock()) as ledger, pytest.raises(SettingsError, match="hand over"):
        Memory.open(ledger, seal=seal)


# ------------------------------------------------------------------------------------------------ every stored byte

#: Columns of numbers and marks on which nothing rests that is returned; no seal covers them. Of a journal row's number only the order.
IDLE = {
    "journal.row",
    "scopes.generation", "counters.name", "counters.value", "unembedded.scope", "unembedded.embedder", "unembedded.seq", "unembedded.tries",
}  # fmt: skip
#: What is derived or short-lived, and the order of records: without a key nobody can tell who wrote it.
UNKEYED = IDLE | {
    "records.seq", "vectors.seq", "vectors.vector", "embedders.identity", "embedded.seq", "embedded.scope", "cursors.scope",
    "cursors.name", "cursors.seq",
    "confirmations.token", "confirmations.scope", "confirmations.subject", "confirmations.expires", "confirmations.mac",
}  # fmt: skip


def flips(path: Path, noise: random.Random) -> Iterator[tuple[str, tuple[str, tuple[object, ...]]]]:
    """Yield, for every column of every table, the change of one bit of one of its values."""
    connection = sqlite3.connect(path)
    for table in schema.TABLES:
        info = connection.execute("SELECT name, pk FROM pragma_table_info(?)", (table,)).fetchall()
        names = [name for name, _ in info]
        keys = [name for name, pk in info if pk]
        rows = connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # noqa: S608 - our own names
        if table == "journal":  # a purged row's names are all that is left of it
            rows = [row for row in rows if row[names.index("salt")] is not None]
        for name in names:
            if rows:
                row = noise.choice(rows)
                where = " AND ".join(f"{key} = ?" for key in keys)
                values = (flipped(row[names.index(name)], noise), *(row[names.index(key)] for key in keys))
                yield f"{table}.{name}", (f"UPDATE OR IGNORE {table} SET {name} = ? WHERE {where}", values)  # noqa: S608 - our own names
    connection.close()


def flipped(value: object, noise: random.Random) -> object:
    if isinstance(value, str) and value:
        at = noise.randrange(len(value))
        return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
    if isinstance(value, bytes) and value:
        at = noise.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << noise.randrange(8)]) + value[at + 1 :]
    if isinstance(value, int):
        return value ^ 1 << noise.randrange(16)
    return value + 1.0 if isinstance(value, float) else "x"


def unnoticed(original: Path, copy: Path, seal: Seal | None, seed: int) -> tuple[set[str], int]:
    """Columns in which a flipped bit is not noticed, and how many were tried."""
    missed, tried = set(), 0
    for column, step in flips(original, random.Random(seed)):
        shutil.copy(original, copy)
        copy.with_name(f"{copy.name}-wal").unlink(missing_ok=True)
        if raw(copy, step):
            tried += 1
            if not noticed(copy, seal):
                missed.add(column)
    return missed, tried


def test_with_a_key_a_flipped_bit_in_any_column_is_noticed(originals: Path, tmp_path: Path) -> None:
    missed, tried = unnoticed(originals / "sealed.db", tmp_path / "x.db", Seal(KEY), 1)
    assert tried > 100
    assert missed <= IDLE


def test_without_a_key_the_chain_notices_all_but_what_is_derived(originals: Path, tmp_path: Path) -> None:
    missed, tried = unnoticed(originals / "plain.db", tmp_path / "x.db", None, 7)
    assert tried > 90
    assert {"vectors.vector", "cursors.seq", "confirmations.expires"} <= missed <= UNKEYED


# --------------------------------------------------------------------------------------------------------- attackers


def forge(path: Path, change: Callable[[sqlite3.Connection], None]) -> None:
    """Change events, then compute the whole chain anew, as the code that is public does it."""
    with unguarded(path) as connection:
        change(connection)
        _chain_anew(connection)


def _chain_anew(connection: sqlite3.Connection) -> None:
    digests = dict(connection.execute("SELECT n, digest FROM chain"))
    events = connection.execute(
        "SELECT e.entry, e.salt, o.tenant, o.user, o.agent, s.name, e.seq, e.position, e.id, e.kind, e.role, e.speaker, e.text, e.at, "
        "e.ts, e.origin, e.authority, e.meta FROM events AS e JOIN sessions AS s ON s.id = e.session JOIN scopes AS o ON o.id = e.scope"
    )
    for entry, salt, tenant, user, agent, session, *stored in events.fetchall():
        digests[entry] = chain.event_digest(salt, (tenant, user, agent), session, stored)
    previous = b"\x00" * 32
    for n, kind in connection.execute("SELECT n, kind FROM chain ORDER BY n").fetchall():
        previous = chain.link(previous, kind, digests[n])
        connection.execute("UPDATE chain SET digest = ?, hash = ? WHERE n = ?", (digests[n], previous, n))


def to_act(connection: sqlite3.Connection) -> None:
    """The change that pays most: somebody's web page becomes an order of the operator."""
    operator = '{"source":"operator","principal":"","channel":"api","uri":"","trust_domain":""}'
    connection.execute("UPDATE events SET authority = 3, origin = ? WHERE id = 'e1'", (operator,))


def test_a_forged_chain_passes_without_a_key_and_never_with_one(plain: Path, sealed: Path) -> None:
    forge(plain, to_act)
    assert not noticed(plain, None)  # this is why there are seals
    forge(sealed, to_act)
    with pytest.raises(StoreCorrupt, match="newest entries"):
        opened(sealed, Seal(KEY))


def test_a_changed_row_is_gone_for_every_reader(sealed: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw(sealed, "UPDATE events SET authority = 3 WHERE id = 'e1'", "UPDATE records SET text = 'no' WHERE id = 'r2'")
    with opened(sealed, Seal(KEY)) as ledger:
        view = ledger.view(ANA)
        assert [event.id for event in view.scan()] == ["e0", "e2", "q0", "q1", "q2"]
        assert view.events(["e1"]) == view.get(["r2"]) == []
        assert [found.id for found in view.records()] == ["r0", "r1"]
        assert [row["event"]["id"] for row in ledger.export(ANA) if "event" in row] == ["e0", "e2", "q0", "q1", "q2"]
        for op in (Op(op="add", record=record("n", "e1", scope=ANA)), Op(op="retract", target="r2")):
            with pytest.raises(OpRefused), ledger.transaction(ANA) as tx:
                tx.apply([op])
        with pytest.raises(OpRefused), ledger.transaction(ANA) as tx:
            tx.append([draft("n", authority=Authority.DATA, meta={"tierkeep.derived_from": ["e1"]})])
        assert not ledger.verify().ok
    assert "seal of event" in caplog.text and "event 1 of ana" not in caplog.text and "'no'" not in caplog.text


SWAPS = {
    "two records": (
        "UPDATE records SET seq = seq + 1000 WHERE seq IN (1, 2)",
        "UPDATE records SET seq = CASE seq WHEN 1001 THEN 2 ELSE 1 END WHERE seq > 1000",
    ),
    "two events": (
        "UPDATE events SET id = id || 'x' WHERE seq IN (1, 2)",
        "UPDATE events SET id = CASE seq WHEN 1 THEN 'e1' ELSE 'e0' END WHERE seq IN (1, 2)",
    ),
    "two owners": (
        "UPDATE scopes SET user = 'x' || user",
        "UPDATE scopes SET user = CASE user WHEN 'xana' THEN 'bob' ELSE 'ana' END",
    ),
    "two codes": (
        "UPDATE seals SET mac = (SELECT mac FROM seals WHERE kind = 'event' AND number = 2) WHERE kind = 'event' AND number = 1",
    ),
    "another's event": ("UPDATE events SET scope = 2, session = 3, id = 'z', position = 99 WHERE seq = 1",),
    "the log's tail": (
        "DELETE FROM guard_log WHERE entry = (SELECT max(entry) FROM guard_log)",
        "DELETE FROM chain WHERE n >= (SELECT max(n) FROM chain WHERE kind = 'guard')",
        "UPDATE sqlite_sequence SET seq = (SELECT max(n) FROM chain) WHERE name = 'chain'",
        "UPDATE seals SET number = (SELECT max(n) FROM chain) WHERE kind = 'head'",
    ),
    "a lifted quarantine": ("INSERT INTO reviews SELECT scope, seq, 1, zeroblob(16), 9999 FROM events WHERE id = 'q2' AND scope = 1",),
    "a memory that was made to act": (
        "INSERT INTO elevations SELECT scope, seq, zeroblob(16), 9998 FROM events WHERE id = 'e0' AND scope = 1",
    ),
    "a forged confirmation": (("INSERT INTO confirmations VALUES(?, 1, ?, 4e9, zeroblob(32))", (token("x"), token(SUBJECT))),),
    "an older version of a record": ("UPDATE records SET text = 'text of r0', version = 1 WHERE id = 'r0'",),
    "an added trigger": ("CREATE TRIGGER mine AFTER INSERT ON events BEGIN DELETE FROM lexicon; END",),
}


@pytest.mark.parametrize("what", SWAPS)
def test_with_a_key_no_move_is_possible(sealed: Path, what: str) -> None:
    raw(sealed, *SWAPS[what])
    assert noticed(sealed, Seal(KEY)), what


def test_what_is_put_in_has_no_effect_before_anybody_verifies(sealed: Path) -> None:
    raw(sealed, *SWAPS["a lifted quarantine"], *SWAPS["a memory that was made to act"], *SWAPS["a forged confirmation"])
    with opened(sealed, Seal(KEY)) as ledger:
        assert ledger.view(ANA).events(["e0"])[0].authority < Authority.ACT
        assert [event.id for event in ledger.view(ANA).quarantined()] == ["q1"]
        assert ledger.view(ANA).events(["q2"])[0].authority == Authority.QUARANTINED
        with ledger.transaction(ANA) as tx:
            assert not tx.redeem(token("x"), SUBJECT, 1.0)
            assert tx.release("q2").authority == Authority.DATA  # a real one takes its place
            assert tx.redeem(token("ana"), SUBJECT, 1.0)


def test_an_old_version_with_its_old_code_is_noticed_by_verify(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with opened(path, Seal(KEY)) as ledger:
        fill(ledger)
        row = sqlite3.connect(path).execute("SELECT * FROM records WHERE id = 'r1' AND scope = 1").fetchone()
        (mac,) = sqlite3.connect(path).execute("SELECT mac FROM seals WHERE kind = 'record' AND number = ?", row[:1]).fetchone()
        with ledger.transaction(ANA) as tx:
            tx.apply([Op(op="retract", target="r1")])
    raw(path, "DELETE FROM records WHERE id = 'r1' AND scope = 1", (f"INSERT INTO records VALUES({', '.join('?' * len(row))})", row),
        ("INSERT OR REPLACE INTO seals VALUES('record', ?, '', ?)", (row[0], mac)))  # fmt: skip
    with opened(path, Seal(KEY)) as ledger:
        assert any("not what the journal says" in line for line in ledger.verify().problems)


# ----------------------------------------------------------------------------------------------------------- anchors


def test_an_older_copy_is_noticed_with_an_anchor_and_only_then(tmp_path: Path) -> None:
    path, seal = tmp_path / "store" / "x.db", Seal(KEY, anchor=tmp_path / "anchor")
    with opened(path, seal) as ledger:
        fill(ledger)
    shutil.copy(path, tmp_path / "old.db")
    with opened(path, seal) as ledger:
        ledger.forget(ANA, ["e1"])
    newest = path.read_bytes()
    shutil.copy(tmp_path / "old.db", path)
    with pytest.raises(StoreCorrupt, match="older than its anchor"):
        opened(path, seal)
    assert not noticed(path, Seal(KEY))  # a whole old copy is a sound store: only something outside can know better
    path.write_bytes(newest)
    assert not noticed(path, seal)


def test_an_anchor_that_is_behind_catches_up_and_one_that_is_wrong_does_not(tmp_path: Path) -> None:
    path, anchor = tmp_path / "store" / "x.db", tmp_path / "anchor"
    seal = Seal(KEY, anchor=anchor)
    with opened(path, seal) as ledger:
        fill(ledger)
    old = anchor.read_bytes()
    with opened(path, Seal(KEY)) as ledger, ledger.transaction(ANA) as tx:  # as when a process dies before it notes
        tx.append([draft("more")])
    assert not noticed(path, seal) and anchor.read_bytes() != old
    good = anchor.read_bytes()
    with opened(tmp_path / "b" / "x.db", Seal(KEY, anchor=tmp_path / "theirs")) as ledger:
        fill(ledger)
    for content in (b"", b"{}", b"[1]", b"\x00" * 99, b"[" * 5000, good.replace(b'"n": ', b'"n": 1'), (tmp_path / "theirs").read_bytes()):
        anchor.write_bytes(content)
        with pytest.raises(StoreCorrupt, match="damaged, or that of another"):
            opened(path, seal)
    anchor.unlink()
    with pytest.raises(SettingsError, match="missing"):
        opened(path, seal)
    assert not noticed(path, Seal(KEY, anchor=anchor, adopt=True)) and not noticed(path, seal)


def test_an_anchor_that_cannot_be_written_does_not_fail_the_commit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "away"
    folder.mkdir()
    with opened(tmp_path / "store", Seal(KEY, anchor=folder / "anchor")) as ledger:
        shutil.rmtree(folder)
        with ledger.transaction(ANA) as tx:
            tx.append([draft("kept")])
        assert "could not be written" in caplog.text
        folder.mkdir()
        with ledger.transaction(ANA) as tx:
            tx.append([draft("kept too")])
        assert ledger.verify().ok
    with opened(tmp_path / "store", Seal(KEY, anchor=folder / "anchor")) as ledger:
        assert len(list(ledger.view(ANA).scan())) == 2


def test_the_command_line_takes_the_key_from_the_environment(tmp_path: Path) -> None:
    def run(*words: str, **environment: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--store", str(tmp_path / "store")], env={"COLUMNS": "200", **environment})
        return done.exit_code, done.output

    anchored = {"TIERKEEP_SEAL_KEY": KEY.hex(), "TIERKEEP_SEAL_ANCHOR": str(tmp_path / "anchor")}
    assert run("add", "I moved to Lisbon.", "--user", "ana", **anchored)[0] == 0
    assert run("verify", **anchored)[0] == 0
    code, said = run("doctor", **anchored)
    assert code == 0 and "sealed and anchored" in said
    for key, why in (("", "is sealed"), (OTHER.hex(), "another key"), ("x", "no key")):
        code, said = run("verify", TIERKEEP_SEAL_KEY=key)
        assert code == 2 and why in said and KEY.hex() not in said
    raw(tmp_path / "store" / "tierkeep.db", "UPDATE events SET text = 'no'")
    assert run("verify", **anchored)[0] == 1
