"""A file system that is full, for every write, with no room left or a little: nothing is half done, reads go on, and so does the store.

A real file system of a few megabytes in memory, in a namespace of the test's own. What the store holds is compared, whole, with an
undisturbed one before and after the same operation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tierkeep

ROOT = Path(tierkeep.__file__).resolve().parents[1]
_SMALL_DISK = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'


def _may_mount(folder: Path) -> bool:
    tried = ["unshare", "-rm", "sh", "-c", _SMALL_DISK, str(folder), "true"]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0


SCRIPT = """
    import os, shutil, sqlite3, sys
    from contextlib import closing, redirect_stderr, redirect_stdout, suppress
    from io import StringIO
    from pathlib import Path
    from tierkeep import Memory
    from tierkeep.cli import main as command
    from tierkeep.errors import StoreUnavailable
    from tierkeep.items import Items
    from tierkeep.models.doubles import HashEmbedder
    from tierkeep.testing.clock import FixedClock
    from tierkeep.testing.store import snapshot

    small, large = Path(sys.argv[1]), Path(sys.argv[2])
    filler, work = small / "filler", small / "work"

    def opened(folder):
        return Memory.open(folder, clock=FixedClock(), embedder=HashEmbedder(24), derive="on_request")

    def fill(left):
        # Every page of the disk but `left` bytes.
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        os.truncate(filler, max(0, filler.stat().st_size - left))

    def everything(memory):
        ana = memory.scope(user="ana")
        return snapshot(memory._ledger, ana.scope), len(stored(memory)), [item.value for item in Items(ana).search(("notes",))]

    def stored(memory):
        view = memory._ledger.view(memory.scope(user="ana").scope)
        return [seq for page in view.vectors(memory.describe()["embedder"]) for seq in page.seqs.tolist()]

    def moved(memory):
        with opened(memory_folder(memory) / "moved") as other:
            assert memory.copy_to(other).ok

    def memory_folder(memory):
        return Path(memory.stats()["path"]).parent

    def exported(memory):
        folder = memory_folder(memory)
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            code = command(["export", "--store", str(folder), "--user", "ana", "--output", str(folder / "export.jsonl"), "--force"])
        if code:
            raise StoreUnavailable(f"exit code {code}")

    WORK = {
        "add": lambda memory, ana: ana.add([{"content": f"Crate {n}. " + "pad " * 60, "id": f"c{n}"} for n in range(40)]),
        "forget": lambda memory, ana: ana.forget(ids=["p5", "home", "sail"]),
        "item": lambda memory, ana: Items(ana).put(("notes",), "tea", {"kind": "oolong " * 900}),
        "index": lambda memory, ana: ana.index(),
        "maintain": lambda memory, ana: ana.maintain(),
        "backup": lambda memory, ana: memory.backup(memory_folder(memory) / "backup.db", replace=True),
        "migrate": lambda memory, ana: moved(memory),
        "export": lambda memory, ana: exported(memory),
        "restore": lambda memory, ana: ana.restore(rows, trusted=True),
    }
    with opened(large / "other") as memory:
        memory.scope(user="ana").add([{"content": f"Box {n}. " + "pad " * 60, "id": f"b{n}"} for n in range(40)])
        rows = list(memory._ledger.export(memory.scope(user="ana").scope))
    with opened(large / "base") as memory:
        ana = memory.scope(user="ana")
        ana.add([{"content": f"Parcel {n} waits in hall {n}. " + "pad " * 30, "id": f"p{n}"} for n in range(60)], at="2026-01-01")
        ana.add("I live in Lisbon.", id="home", at="2026-01-01")
        Items(ana).put(("notes",), "tea", {"kind": "green"})
        Items(ana).put(("notes",), "cup", {"kind": "blue"})
        Items(ana).delete(("notes",), "cup")
        ana.add("The zanzibarvoyage sails tonight.", id="sail", at="2026-01-01")
        before = everything(memory)
        memory.backup(large / "base" / "backup.db")
    with closing(sqlite3.connect(large / "base" / "tierkeep.db")) as other:
        # Another tool's table that it has dropped: its pages are free and still say what is in them, so a forget has to compact the file.
        other.executescript("PRAGMA secure_delete = OFF; CREATE TABLE t(x);")
        other.executescript("INSERT INTO t VALUES(replace(hex(zeroblob(900)), '00', ' zanzibarvoyage')); DROP TABLE t;")
    refused = {}
    for name, run in WORK.items():
        shutil.copytree(large / "base", large / name)
        with opened(large / name) as memory:
            run(memory, memory.scope(user="ana"))
            after = everything(memory)
        for left in range(0, 160 << 10, 20 << 10) if name == "forget" else (0, 64 << 10):
            shutil.copytree(large / "base", work)
            old = (work / "backup.db").read_bytes()
            with opened(work) as memory:
                ana = memory.scope(user="ana")
                fill(left)
                try:
                    done = run(memory, ana)
                except StoreUnavailable as error:
                    refused[name] = refused.get(name, 0) + 1
                    assert "room" in str(error) or "space" in str(error) or "exit code 3" == str(error), error
                    assert everything(memory) == before or name in ("index", "maintain"), (name, left)
                    assert (work / "backup.db").read_bytes() == old and not (work / "export.jsonl").exists()
                else:
                    assert everything(memory) == after, (name, left)
                    if name == "forget" and not done.complete:
                        refused["sweep"] = refused.get("sweep", 0) + 1
                        assert "disk is full" in done.note, done.note
                assert not [path.name for path in work.iterdir() if path.name.startswith(".")], "a part is left"
                assert "Parcel 7 " in ana.recall("Where is parcel 7?").text and memory.verify().ok
                filler.unlink()
                if everything(memory) != after or name in ("backup", "migrate", "export"):
                    run(memory, ana)
                assert everything(memory) == after and memory.verify().ok, (name, left)
            shutil.rmtree(work)
    print(*(f"{name}={count}" for name, count in sorted(refused.items())))
"""


def test_a_full_disk_refuses_each_write_as_a_whole(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    if not _may_mount(small):
        pytest.skip("this machine lets nobody mount a file system of their own; tests/ledger/test_faults.py has a limit in its place")
    command = ["unshare", "-rm", "sh", "-c", _SMALL_DISK, str(small), sys.executable, "-c", textwrap.dedent(SCRIPT), str(small), str(large)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    refused = dict(part.split("=") for part in done.stdout.split())
    assert set(refused) == {"add", "backup", "export", "forget", "index", "item", "maintain", "migrate", "restore", "sweep"}, done.stdout
