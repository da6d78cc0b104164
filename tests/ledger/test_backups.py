"""A backup of a store that is written to meanwhile, and how it is put back."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep.allowance import Progress
from tierkeep.errors import InputError, SettingsError, StoreCorrupt, StoreUnavailable
from tierkeep.ledger.seal import Seal


def _said(where: Path, **options: object) -> list[str]:
    with Memory.open(where, **options) as memory:  # type: ignore[arg-type]
        return [event.text for event in memory.scope(user="ana").events()]


def test_a_backup_is_one_moment_while_others_write(tmp_path: Path) -> None:
    """Pairs are written in one transaction each: a copy that is not one moment would hold half of one."""
    steps: list[Progress] = []
    with Memory.open(tmp_path / "store") as memory:
        ana = memory.scope(user="ana")
        ana.add([f"filler {n} " + "x" * 4000 for n in range(500)], session="filler")
        done, begun = threading.Event(), threading.Event()

        def write() -> None:
            number = 0
            while not done.is_set():
                ana.add([f"pair {number} a", f"pair {number} b"], session="pairs")
                number += 1
                begun.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            begun.wait()
            size = memory.backup(tmp_path / "copy.db", progress=steps.append)
            with pytest.raises(InputError, match="exists already"):
                memory.backup(tmp_path / "copy.db")
            memory.backup(tmp_path / "copy.db", replace=True)
        finally:
            done.set()
            writer.join()
        assert size > 2_000_000 and len(steps) > 2 and steps[-1].done == steps[-1].total
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "store"]
    pairs = [text for text in _said(tmp_path / "copy.db") if text.startswith("pair")]
    assert pairs and len(pairs) % 2 == 0
    assert pairs == [f"pair {n} {half}" for n in range(len(pairs) // 2) for half in "ab"]


def test_an_in_memory_store_can_be_kept(tmp_path: Path) -> None:
    with Memory.open(":memory:") as memory:
        memory.scope(user="ana").add("I live in Lisbon.")
        memory.backup(tmp_path / "kept.db")
    assert _said(tmp_path / "kept.db") == ["I live in Lisbon."]


def test_a_store_in_use_is_never_written_over(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "a.db") as first, Memory.open(tmp_path / "b.db") as second:
        first.scope(user="ana").add("first")
        second.scope(user="ana").add("second")
        with pytest.raises(InputError, match="in use"):
            first.backup(tmp_path / "b.db", replace=True)
        first.backup(tmp_path / "copy.db")
        with pytest.raises(StoreUnavailable, match="in use"):
            Memory.put_back(tmp_path / "copy.db", tmp_path / "b.db", replace=True)
        with pytest.raises(InputError, match="in use and no backup"):
            Memory.put_back(tmp_path / "a.db", tmp_path / "c.db")
        second.scope(user="ana").add("second still writes")
    assert _said(tmp_path / "b.db") == ["second", "second still writes"]


def test_a_backup_is_put_back(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store") as memory:
        memory.scope(user="ana").add(["one", "two"])
        memory.backup(tmp_path / "copy.db")
        memory.scope(user="ana").add("three")
    with pytest.raises(InputError, match="--replace"):
        Memory.put_back(tmp_path / "copy.db", tmp_path / "store")
    assert Memory.put_back(tmp_path / "copy.db", tmp_path / "store", replace=True) == 2
    assert _said(tmp_path / "store") == ["one", "two"]
    assert Memory.put_back(tmp_path / "copy.db", tmp_path / "new") == 2
    with Memory.open(tmp_path / "new") as memory:
        assert memory.verify().ok
        memory.scope(user="ana").add("goes on")


def test_what_is_damaged_is_neither_made_nor_put_back(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store") as memory:
        memory.scope(user="ana").add("one")
        memory.backup(tmp_path / "copy.db")
        with sqlite3.connect(tmp_path / "store" / "tierkeep.db") as raw:
            raw.execute("UPDATE scopes SET events = 7")
        with pytest.raises(StoreCorrupt, match="thrown away"):
            memory.backup(tmp_path / "bad.db")
    with sqlite3.connect(tmp_path / "copy.db") as raw:
        raw.execute("UPDATE scopes SET chars = 1")
    (tmp_path / "other.db").write_bytes(b"no store at all" * 20)
    for broken in ("copy.db", "other.db"):
        with pytest.raises(StoreCorrupt):
            Memory.put_back(tmp_path / broken, tmp_path / "store", replace=True)
    assert _said(tmp_path / "store") == ["one"] and not (tmp_path / "bad.db").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_a_sealed_store_keeps_its_seal(tmp_path: Path) -> None:
    seal = Seal(bytes(range(32)))
    with Memory.open(tmp_path / "store", seal=seal) as memory:
        memory.scope(user="ana").add("one")
        memory.backup(tmp_path / "copy.db")
    with pytest.raises(SettingsError, match="key"):
        Memory.put_back(tmp_path / "copy.db", tmp_path / "new")
    assert Memory.put_back(tmp_path / "copy.db", tmp_path / "new", seal=seal) == 1
    assert _said(tmp_path / "new", seal=seal) == ["one"]


@pytest.mark.parametrize("where", ["", "no/such/folder/x.db"], ids=["folder", "missing"])
def test_a_place_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    with Memory.open(tmp_path / "store") as memory, pytest.raises((InputError, StoreUnavailable)):
        memory.backup(tmp_path / where)


def test_what_a_killed_backup_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """It holds as much as a backup; that of a process which is at work stays."""
    code = (
        "import os, sys; from tierkeep import Memory; memory = Memory.open(sys.argv[1]); memory.scope(user='ana').add('The boat is red.'); "
        "memory.backup(sys.argv[2], progress=lambda told: os._exit(9))"
    )
    target, seen = tmp_path / "backup.db", list[int]()
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store"), str(target)], check=False, env=dict(os.environ))
    assert died.returncode == 9 and len(list(tmp_path.glob(".tierkeep-*.part"))) == 1 and not target.exists()
    with Memory.open(tmp_path / "store") as memory:
        memory.backup(target, progress=lambda told: seen.append(len(list(tmp_path.glob(".tierkeep-*.part")))))
        memory.backup(tmp_path / "other.db", progress=lambda told: memory.backup(target, replace=True))
    assert seen and set(seen) == {1}
    assert list(tmp_path.glob(".tierkeep-*")) == [] and target.exists() and (tmp_path / "other.db").exists()
