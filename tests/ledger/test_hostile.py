"""Hostile words, paths and files: SQL in every field, names that would be paths, stores and exports that are none (S6, S7, S8)."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tierkeep
from tierkeep import Memory
from tierkeep.cli.app import app
from tierkeep.errors import ImportFormatError, InputError, NotFoundError, OpRefused, StoreCorrupt, StoreUnavailable, TierkeepError
from tierkeep.ledger import SqliteLedger, schema
from tierkeep.records import Authority, GuardEntry, Op, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft, record, snapshot

ANA = Scope(user="ana")
BOB = Scope(user="bob")
LEDGER = Path(tierkeep.__file__).parent / "ledger"

#: Written for this test: one of each kind that has broken a store somewhere.
SQL = [
    "' OR '1'='1",
    "' OR 1=1 --",
    '" OR ""="',
    "') OR ('a'='a",
    "1; DROP TABLE events; --",
    "'; DELETE FROM records WHERE '1'='1",
    "x' UNION SELECT text FROM events --",
    "x' UNION ALL SELECT sql, 1, 2 FROM sqlite_master --",
    "'||(SELECT text FROM events LIMIT 1)||'",
    "x'; ATTACH DATABASE 'other.db' AS o; --",
    "x'; PRAGMA writable_schema = ON; --",
    "x' AND load_extension('evil') AND 'a'='a",
    "x' AND (SELECT count(*) FROM events, events, events) > 0 --",
    "CASE WHEN 1=1 THEN 'a' ELSE 'b' END",
    "?1", "?", ":name", "@name", "$name",
    "%", "_", "*", "%%", "\\", "\\'", "[a-z]", "x%' ESCAPE '",
    '"', "'", "`", "[", "]", "--", "/*", "*/", ";", "char(39)", "0x27", "NULL", "TRUE", "1e400", "-1",
    '" AND "x', "text:secret", "NEAR(a b)", "a* OR b", "{a b}: c", "^a", "-secret", "(", ")", '"""',
    '["a"]', '["a","\u0000"]', "$.a", "$[0]", '{"$ne": null}', "seq ASC; --", "1,1 ASC", "DESC", "\u2019 OR 1=1", "\uff07 OR 1=1",
]  # fmt: skip


@pytest.fixture
def ledger() -> Iterator[SqliteLedger]:
    with SqliteLedger(":memory:", clock=FixedClock()) as opened:
        with opened.transaction(BOB) as tx:
            tx.append([draft("secret of bob", id="secret")])
            tx.apply([Op(op="add", record=record("theirs", "secret", scope=BOB))])
        yield opened
        assert opened.verify().ok


@pytest.mark.parametrize("text", SQL)
def test_sql_in_any_field_is_a_text_like_any_other(ledger: SqliteLedger, text: str) -> None:
    if "\0" in text:
        text = text.replace("\0", "")
    shape = schema_of(ledger)
    before = snapshot(ledger, BOB)
    owner = Scope(tenant=text, user=text, agent=text, session=text)
    with ledger.transaction(owner) as tx:
        said = draft(text, id=text, session=text, speaker=text, meta={text: text})
        (event,) = [one.event for one in tx.append([said])]
        tx.append([draft("another", id="another")])
        kept = record(f"r {text}", text, scope=owner, kind=text, key=text, text=text, attrs={text: text})
        tx.apply([Op(op="add", record=kept, why=text, by=text), Op(op="link", target=f"r {text}", relation=text, patch={"to": "another"})])
        tx.advance(text, 1)
        tx.put_vectors(text, 1, [(event.seq, np.ones((1, 1), np.float32))], event.seq)
        tx.issue(b"x" * 32, text, 4e9)
        with pytest.raises(InputError):
            tx.log([GuardEntry(verb="flag", subject=event.id, by=f"{text} {text}")])
    view = ledger.view(owner)
    assert [one.text for one in view.events([text])] == [text] == [one.text for one in view.scan(session=text)]
    for found in (
        view.records(kind=text), view.records(key=text), view.records(source=text), view.records(prefix=text), view.get([f"r {text}"]),
    ):  # fmt: skip
        assert [one.id for one in found] == [f"r {text}"]
    assert view.records(kind=f"{text}x") == view.records(status=text) == view.records(source=f"{text} ") == []
    assert (view.cursor(text), view.embedded(text), view.embedded(f"{text} ")) == (1, event.seq, 0)
    assert [name for name, _ in view.sessions()] == [text, "s1"]
    assert len(ledger.history(owner, f"r {text}")) == 2
    for unknown in (text, f"{text} "):
        with pytest.raises(NotFoundError):
            ledger.history(BOB, unknown)
        assert ledger.forget(BOB, [unknown]).report.events == 0
        assert ledger.view(BOB).events([unknown]) == ledger.view(BOB).records(key=unknown, status=None) == []
        with pytest.raises((OpRefused, InputError)), ledger.transaction(BOB) as tx:
            tx.apply([Op(op="retract", target=unknown)])
    ledger.sweep([text])
    with ledger.transaction(owner) as tx:
        assert not tx.redeem(b"x" * 32, f"{text} ", 1.0) and tx.redeem(b"x" * 32, text, 1.0)
        tx.drop_vectors(f"{text}x")
    rows = list(ledger.export(owner))
    assert ledger.restore(Scope(user=f"to {text}"), rows) == (2, 1)
    assert ledger.forget(owner, [text]).report.events == 1
    assert snapshot(ledger, BOB) == before
    assert schema_of(ledger) == shape


def schema_of(ledger: SqliteLedger) -> dict[tuple[str, str], str]:
    """The schema as this ledger's own connection sees it; it must never change, and is that of the code."""
    found = {line for line in ledger.verify().problems if line.startswith("file:")}
    assert not found
    return schema.expected_shape()


def test_sql_in_a_question_finds_what_its_words_find() -> None:
    with Memory.open(":memory:") as memory:
        memory.scope(user="bob").add("the secret of bob is a purple kettle")
        ana = memory.scope(user="ana")
        ana.add("my kettle is green")
        for text in SQL:
            assert "purple" not in ana.recall(f"kettle {text}".replace("\0", "")).text
        assert memory.verify().ok


# ------------------------------------------------------------------------------------------------ statements in code

#: (module, the statement's source): why it is not a plain constant. Values are bound everywhere.
BUILT = {
    ("connections", "f'PRAGMA {pragma}'"): "the pragmas of `_configure`, and two numbers of ours",
    ("line", "f'PRAGMA busy_timeout = {own:d}'"): "a number",
    ("ops", "INSERT"): "made of the constant RECORD_COLUMNS",
    ("ops", "_REPLACE"): "made of the constant RECORD_COLUMNS",
    ("schema", "f'PRAGMA application_id = {APPLICATION_ID:d}'"): "a constant number",
    ("schema", "f'PRAGMA user_version = {len(steps):d}'"): "a number",
    ("schema", "' '.join(('CREATE TABLE', f'{table}_p{part:d}', 'PARTITION OF', table, bounds))"): "our own names, and numbers",
    ("schema", '\' \'.join((\'CREATE SCHEMA IF NOT EXISTS\', f\'"{schema}"\'))'): "small letters, digits and underscores (`address.parse`)",
    ("sqlite", "f'PRAGMA {name}'"): "four names in the same expression",
    ("sweeping", "f'PRAGMA busy_timeout = {min(wait, _CHECKPOINT_WAIT_MS):d}'"): "a number",
    ("sweeping", "f'PRAGMA busy_timeout = {wait:d}'"): "a number",
    ("transactions", "f'ROLLBACK TO {savepoint}'"): "one of two names of ours",
    ("transactions", "f'RELEASE {savepoint}'"): "one of two names of ours",
}  # fmt: skip


def built_statements(source: str, module: str) -> Iterator[tuple[str, str]]:
    """Yield the statements of `execute…` calls that are put together when they run: f-strings, %, +, format, unless of constants."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("execute") and node.args):
            continue
        statement = node.args[0]
        looked_at = constants.get(statement.id, statement) if isinstance(statement, ast.Name) else statement
        if any(_puts_together(part) for part in ast.walk(looked_at)):
            yield module, ast.unparse(statement)


def _puts_together(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "format_map", "replace")


def test_no_statement_is_put_together_but_those_of_the_list() -> None:
    found = {
        one
        for path in sorted(LEDGER.rglob("*.py"))
        for one in built_statements(path.read_text(encoding="utf-8"), path.stem)
        if not path.stem.startswith("chroma")  # it speaks no SQL of ours
    }
    assert found == set(BUILT), "a new statement: bind its values, or put it on the list with its reason"


@pytest.mark.parametrize(
    "call",
    ["f'SELECT {x}'", "'SELECT %s' % x", "'SELECT ' + x", "'SELECT {}'.format(x)", "S"],
)
def test_a_statement_that_is_put_together_is_found(call: str) -> None:
    assert list(built_statements(f"S = 'SELECT ' + x\nc.execute({call})", "m")) == [("m", call)] or call != "S"
    assert list(built_statements("c.execute('SELECT ?', (x,))\nc.executemany('SELECT ?', rows)", "m")) == []


# ------------------------------------------------------------------------------------------------------------- paths

NAMES = [
    "../../escape", "..", ".", "/etc/passwd", "\\\\server\\share", "C:\\x", "con", "NUL", "aux.txt", "a/b", "a\\b", "~", "~root", "$HOME",
    "%2e%2e%2f", "..%c0%af", "\u2024\u2024/x", "x" * 300, " ", "-rf", "name\n", "\u202etxt.exe", "file:///etc/passwd", ".ssh/id", "|ls",
]  # fmt: skip


def test_no_name_of_anything_becomes_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with SqliteLedger(tmp_path / "root" / "store", clock=FixedClock()) as ledger:
        for name in NAMES:
            scope = Scope(tenant=name, user=name, agent=name)
            with ledger.transaction(scope) as tx:
                tx.append([draft("x", id=name, session=name, speaker=name)])
                tx.apply([Op(op="add", record=record(f"r{name}", name, scope=scope, kind=name))])
            assert len(list(ledger.export(scope))) == 4
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["root", "root/store", "root/store/tierkeep.db", "work"]


@pytest.mark.skipif(os.name != "posix", reason="links and devices of POSIX")
def test_links_and_devices_are_no_stores(tmp_path: Path) -> None:
    """A link in the place of the file, or of what SQLite writes beside it, would send our writes wherever it points."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep me")
    (tmp_path / "x.db").symlink_to(victim)
    (tmp_path / "dangling.db").symlink_to(tmp_path / "made.db")
    (tmp_path / "y.db-wal").symlink_to(victim)
    (tmp_path / "z.db-shm").symlink_to(victim)
    os.mkfifo(tmp_path / "pipe.db")
    for name in ("x.db", "dangling.db", "y.db", "z.db", "pipe.db"):
        with pytest.raises((StoreUnavailable, StoreCorrupt), match=r"link|regular file"):
            SqliteLedger(tmp_path / name, clock=FixedClock())
    with pytest.raises(TierkeepError):
        SqliteLedger("/dev/null", clock=FixedClock())
    assert victim.read_bytes() == b"keep me" and not (tmp_path / "made.db").exists()


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_folder_may_be_reached_through_a_link(tmp_path: Path) -> None:
    """Homes and mounts are links on many machines: the folder is the caller's choice, the file in it is ours."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    SqliteLedger(tmp_path / "link", clock=FixedClock()).close()
    assert stat.S_IMODE((tmp_path / "real" / "tierkeep.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["nul\0inside", "x" * 5000, "a/" * 3000])
def test_what_cannot_be_a_path_is_a_typed_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(TierkeepError):
        SqliteLedger(tmp_path / name if "\0" not in name else name, clock=FixedClock())
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- files


class _Payload:
    """Makes a pickle that creates a file when it is loaded."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.canary,)


def hostile_files(canary: Path) -> dict[str, bytes]:
    npy = io.BytesIO()
    np.save(npy, np.array([_Payload(str(canary))], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../../escape", "x")
        packed.writestr("bomb", b"\0" * 5_000_000)
    command = f"mkdir {canary}"
    lc = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": command}}
    return {
        "pickle": pickle.dumps(_Payload(str(canary))),
        "npy": npy.getvalue(),
        "zip": archive.getvalue(),
        "yaml": f'!!python/object/apply:os.system ["{command}"]\n'.encode(),
        "constructor": json.dumps(lc).encode(),
        "constructor in a row": json.dumps({"format": "tierkeep/1"}).encode() + b"\n" + json.dumps({"event": lc}).encode(),
        "python": f"__import__('os').system({command!r})".encode(),
        "msgpack ext": b"\xc7\x05\x05hello",
        "deep list": b"[" * 100_000,
        "deep object": b'{"a":' * 100_000,
        "long number": b'{"format": ' + b"9" * 100_000 + b"}",
        "many keys": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}",
        "header of sqlite": b"SQLite format 3\x00" + b"\xff" * 8000,
        "script": b"#!/bin/sh\nmkdir " + str(canary).encode(),
        "nothing but zeros": b"\0" * 100_000,
        "latin": "é".encode("latin-1") * 100,
    }


KINDS = sorted(hostile_files(Path("x")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_file_is_no_store_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    content = hostile_files(canary)[kind]
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(StoreCorrupt):
        SqliteLedger(tmp_path / "x.db", clock=FixedClock())
    assert (tmp_path / "x.db").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_export_is_refused_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    canary, store = tmp_path / "canary", tmp_path / "store"
    (tmp_path / "export.jsonl").write_bytes(hostile_files(canary)[kind])
    with Memory.open(store) as memory:
        memory.scope(user="ana").add("kept")
    done = CliRunner().invoke(app, ["import", str(tmp_path / "export.jsonl"), "--store", str(store), "--user", "ana"])
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit), done.output
    with Memory.open(store) as memory:
        assert memory.stats()["events"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.jsonl", "store"]


ROWS: list[Any] = [
    None, 5, "event", [], {}, {"event": None}, {"event": 5}, {"event": []}, {"record": {}}, {"revision": {"tx": "x"}}, {"guard": {}},
    {"guard": {"verb": "allow", "subject": "x", "text": "more"}}, {"guard": {"verb": "obey", "subject": "x"}},
    {"event": {}, "record": {}}, {"lc": 1}, {"__reduce__": "x"}, {"format": "tierkeep/1"}, {"event": {"__class__": "os.system"}},
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_a_row_that_is_no_row_is_refused(row: Any, ledger: SqliteLedger) -> None:
    with pytest.raises(ImportFormatError):
        ledger.restore(ANA, [{"format": "tierkeep/1"}, row])
    with pytest.raises(ImportFormatError):
        ledger.restore(ANA, [row if row != {"format": "tierkeep/1"} else {}])
    assert list(ledger.view(ANA).scan()) == []


def test_a_mutated_export_is_read_or_refused(ledger: SqliteLedger) -> None:
    """Thousands of small changes: typed errors only, nothing half written, no authority gained."""
    noise = random.Random(11)
    with ledger.transaction(ANA) as tx:
        tx.append([draft(f"event {n}", id=f"e{n}", authority=Authority(n % 3)) for n in range(4)])
        tx.apply([Op(op="add", record=record("r", "e2", "e1", authority=Authority.DATA, attrs={"a": [1, {"b": None}]}))])
        tx.apply([Op(op="update", target="r", patch={"text": "new"})])
        tx.log([GuardEntry(verb="flag", subject="e0")])
    lines = [json.dumps(row) for row in ledger.export(ANA)]
    refused, before = 0, ledger.stats()["chain"]
    for number in range(1500):
        scope = Scope(user=f"copy {number}")
        try:
            rows = [json.loads(line) for line in mutated(lines, noise)]
        except (ValueError, RecursionError):
            continue
        try:
            ledger.restore(scope, rows)
        except TierkeepError:
            refused += 1
            assert ledger.stats()["chain"] == before
        else:
            before = ledger.stats()["chain"]
            authority = {event.id: event.authority for event in ledger.view(scope).scan()}
            for found in ledger.view(scope).records(status=None):
                assert found.authority <= min(authority[source] for source in found.sources)
    assert refused > 400


PIECES = ["null", "true", "-1", "1e309", "NaN", '""', '"x"', "[]", "{}", '"\\ud800"', '"\\u0000"', "99999999999999999999", "[[[[]]]]"]


def mutated(lines: list[str], noise: random.Random) -> list[str]:
    changed = list(lines)
    at = noise.randrange(len(changed))
    line = changed[at]
    kind = noise.randrange(6)
    if kind == 0:
        del changed[at]
    elif kind == 1:
        changed.insert(noise.randrange(len(changed)), line)
    elif kind == 2:
        place = noise.randrange(len(line))
        changed[at] = line[:place] + chr(noise.randrange(32, 127)) + line[place + 1 :]
    elif kind == 3:
        parts = line.split(": ")
        pick = noise.randrange(1, len(parts))
        end = min((found for mark in ",}]" if (found := parts[pick].find(mark)) >= 0), default=len(parts[pick]))
        parts[pick] = noise.choice(PIECES) + parts[pick][end:]
        changed[at] = ": ".join(parts)
    elif kind == 4:
        changed[at] = line[: noise.randrange(len(line))]
    else:
        other = noise.randrange(len(changed))
        changed[at], changed[other] = changed[other], changed[at]
    return changed


def test_a_mutated_store_is_read_or_refused(tmp_path: Path) -> None:
    """Bytes changed anywhere in the file: typed errors only, whatever is done with it."""
    path = tmp_path / "x.db"
    with SqliteLedger(path, clock=FixedClock()) as ledger, ledger.transaction(ANA) as tx:
        tx.append([draft(f"event {n}", id=f"e{n}") for n in range(5)])
        tx.apply([Op(op="add", record=record("r", "e1"))])
    whole = path.read_bytes()
    noise = random.Random(3)
    used = [at for at in range(len(whole)) if whole[at] or at < 100]
    seen = 0
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(noise.choice([1, 1, 4, 64])):
            broken[noise.choice(used)] = noise.randrange(256)
        path.write_bytes(broken)
        for beside in ("-wal", "-shm", "-journal"):
            path.with_name(f"x.db{beside}").unlink(missing_ok=True)
        try:
            with SqliteLedger(path, clock=FixedClock(), busy_timeout_s=0.0) as ledger:
                seen += 1
                snapshot(ledger, ANA)
                with ledger.transaction(ANA) as tx:
                    tx.append([draft("more")])
                ledger.verify()
        except TierkeepError:
            pass
    assert seen > 50


def test_a_store_that_is_a_program_of_sqls_own_is_not_run(tmp_path: Path) -> None:
    """Triggers and views of a stranger: verify names them, and what they may call is limited."""
    path = tmp_path / "x.db"
    with SqliteLedger(path, clock=FixedClock()) as ledger, ledger.transaction(ANA) as tx:
        tx.append([draft("x", id="e")])
    strange = sqlite3.connect(path, isolation_level=None)
    strange.execute("CREATE TRIGGER mine AFTER INSERT ON lexicon BEGIN SELECT load_extension('evil'); END")
    strange.close()
    with SqliteLedger(path, clock=FixedClock()) as ledger:
        assert any("trigger mine" in line for line in ledger.verify().problems)
        with pytest.raises(TierkeepError), ledger.transaction(ANA) as tx:
            tx.append([draft("y")])
    shutil.rmtree(tmp_path)
