"""Files of a store that were torn, swapped or lost when its process died: what it then says is true, or an error says what to do."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep.cli import main as command
from tierkeep.errors import StoreCorrupt
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import snapshot

FILE = "tierkeep.db"
LOG = f"{FILE}-wal"
SHARED = f"{FILE}-shm"


def opened(folder: Path) -> Memory:
    return Memory.open(folder, clock=FixedClock())


def tell(memory: Memory, what: str, first: int, end: int) -> None:
    ana = memory.scope(user="ana")
    for number in range(first, end):
        ana.add(f"{what} {number} waits in hall {number}. " + "pad " * 20, id=f"{what}{number}")


def ids(memory: Memory) -> list[str]:
    return [event.id for event in memory.scope(user="ana").events()]


def died(memory: Memory, into: Path) -> Path:
    """Copy the files as a process leaves them that is killed now."""
    shutil.copytree(Path(memory.stats()["path"]).parent, into)
    return into


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stores whose process died: one with 10 events in its file and 20 in its log, the same later, one of somebody else, and a backup."""
    folder = tmp_path_factory.mktemp("dead")
    made: dict[str, Path] = {}
    with opened(folder / "first") as memory:
        tell(memory, "Parcel", 0, 10)
    with opened(folder / "first") as memory:
        memory.backup(folder / "backup.db")
        tell(memory, "Parcel", 10, 30)
        made["store"] = died(memory, folder / "store")
    with opened(folder / "first") as memory:
        tell(memory, "Parcel", 30, 60)
        made["later"] = died(memory, folder / "later")
    with opened(folder / "other") as memory:
        tell(memory, "Crate", 0, 60)
        made["other"] = died(memory, folder / "other-dead")
    made["backup"] = folder / "backup.db"
    return made


def test_a_death_loses_nothing(dead: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(dead["store"], tmp_path / "store")
    with opened(tmp_path / "store") as memory, opened(tmp_path / "oracle") as oracle:
        tell(oracle, "Parcel", 0, 30)
        scope = oracle.scope(user="ana").scope
        assert snapshot(memory._ledger, scope) == snapshot(oracle._ledger, scope) and memory.verify().ok


@pytest.mark.parametrize("shared", [None, b"", b"\xa5" * 32_768])
def test_the_shared_memory_is_made_again(dead: dict[str, Path], tmp_path: Path, shared: bytes | None) -> None:
    shutil.copytree(dead["store"], tmp_path / "store")
    (tmp_path / "store" / SHARED).unlink()
    if shared is not None:
        (tmp_path / "store" / SHARED).write_bytes(shared)
    with opened(tmp_path / "store") as memory:
        assert len(ids(memory)) == 30 and memory.verify().ok


def test_a_log_that_was_torn_gives_what_was_written_up_to_there(dead: dict[str, Path], tmp_path: Path) -> None:
    """Every add is one transaction, so what is there is the first so many of them, whole."""
    noise = random.Random(7)
    whole = (dead["store"] / LOG).read_bytes()
    counts = set[int]()
    for turn in range(24):
        store = tmp_path / str(turn)
        shutil.copytree(dead["store"], store)
        torn = bytearray(whole[: noise.randrange(len(whole))] if turn % 2 else whole)
        for at in noise.sample(range(len(torn)), 0 if turn % 2 else noise.choice((1, 3, 40))):
            torn[at] ^= noise.randrange(1, 256)
        (store / LOG).write_bytes(torn)
        (store / SHARED).unlink()
        with opened(store) as memory:
            held = ids(memory)
            assert held == [f"Parcel{number}" for number in range(len(held))] and memory.verify().ok
            assert ("Parcel 7 " in memory.scope(user="ana").recall("Where is parcel 7?").text) and len(held) >= 10
            tell(memory, "Parcel", len(held), 31)
            assert len(ids(memory)) == 31 and memory.verify().ok
        counts.add(len(held))
    assert len(counts) > 5


def foreign_log(store: Path, dead: dict[str, Path]) -> None:
    shutil.copy(dead["other"] / LOG, store / LOG)


def old_backup_copied_over(store: Path, dead: dict[str, Path]) -> None:
    shutil.copy(dead["later"] / LOG, store / LOG)
    shutil.copy(dead["backup"], store / FILE)


@pytest.mark.parametrize("harm", [foreign_log, old_backup_copied_over])
@pytest.mark.parametrize("shared", [True, False])
def test_a_log_that_belongs_to_another_file_is_refused(
    dead: dict[str, Path], tmp_path: Path, harm: Callable[[Path, dict[str, Path]], None], shared: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite would play it in. Nothing is touched, and without that log the file is what it was."""
    store = tmp_path / "store"
    shutil.copytree(dead["store"], store)
    harm(store, dead)
    if not shared:
        (store / SHARED).unlink()
    before = {name: data for name, data in files(store).items() if name != SHARED}
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match="does not belong to"):
            opened(store)
    for line in ("verify", "doctor", "stats"):
        assert command([line, "--store", str(store)]) == 3
    assert "move this one away" in " ".join(capsys.readouterr().err.split())
    assert {name: data for name, data in files(store).items() if name != SHARED} == before
    (store / LOG).unlink()
    (store / SHARED).unlink(missing_ok=True)
    with opened(store) as memory:
        assert memory.verify().ok and ids(memory) == [f"Parcel{number}" for number in range(10)]


def test_a_store_that_others_have_open_is_not_taken_for_torn(tmp_path: Path) -> None:
    """Its log is being written, and moved into the file, while others open it."""
    with opened(tmp_path) as memory:
        for first in range(0, 300, 30):
            tell(memory, "Parcel", first, first + 30)
            with opened(tmp_path) as second:
                assert len(ids(second)) == first + 30


def test_a_log_that_is_lost_is_said(dead: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(dead["store"], tmp_path / "store")
    (tmp_path / "store" / LOG).unlink()
    with caplog.at_level(logging.WARNING), opened(tmp_path / "store") as memory:
        assert "has lost its log" in caplog.text and ids(memory) == [f"Parcel{number}" for number in range(10)] and memory.verify().ok


def test_a_damaged_file_has_an_exit_code_and_an_advice(dead: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random bytes over pages: each command ends with 1 or 3, and says where to go; the backup puts it right."""
    noise = random.Random(3)
    good = dead["backup"].read_bytes()
    for turn in range(6):
        store = tmp_path / str(turn)
        store.mkdir()
        harmed = bytearray(good)
        for _ in range(1 + turn):
            page = noise.randrange(1, len(good) // 4096)
            harmed[page * 4096 : (page + 1) * 4096] = noise.randbytes(4096)
        (store / FILE).write_bytes(harmed[: len(harmed) if turn % 2 else len(harmed) - 4096])
        codes = {line: command([line, "--store", str(store)]) for line in ("verify", "doctor")}
        said = " ".join("".join(capsys.readouterr()).split())
        assert codes["verify"] in (1, 3) and "backup" in said, (turn, codes, said)
        assert Memory.put_back(dead["backup"], store, replace=True) == 10
        assert command(["verify", "--store", str(store)]) == 0

