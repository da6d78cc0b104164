"""What `Memory.open` refuses, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import tierkeep
from tierkeep import Memory, Settings
from tierkeep.errors import SettingsError, StoreCorrupt
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter


@pytest.mark.parametrize(
    ("argument", "value", "wanted"),
    [
        ("counter", len, r"count\(\).*a name"),
        ("counter", "estimate", r"count\(\)"),
        ("counter", EstimateCounter, "the class EstimateCounter: make an object of it"),
        ("clock", 3, r"now\(\) and monotonic\(\).*type int"),
        ("clock", 0, r"now\(\)"),
        ("guard", 3, r"admit\(\) and release\(\)"),
        ("guard", [], r"admit\(\)"),
        ("chat", 3, r"complete\(\)"),
        ("chat", "gpt", r"complete\(\)"),
        ("settings", {}, "Settings object"),
        ("settings", {"timezone": "UTC"}, "Settings object"),
        ("preset", 3, "preset"),
        ("preset", {}, "preset"),
        ("preset", "gold", "gold"),
        ("durability", "twice", "durability"),
    ],
)
def test_a_part_that_cannot_do_its_work_is_refused_when_the_memory_is_opened(
    tmp_path: Path, argument: str, value: Any, wanted: str
) -> None:
    with pytest.raises(SettingsError, match=wanted) as caught:
        Memory.open(tmp_path / "m", **{argument: value})
    assert argument in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_a_ledger_of_an_older_tierkeep_is_refused_when_the_memory_is_opened() -> None:
    """Usual cause: its views lack what was added since, and the first question fails in the middle."""

    class OldView:
        def sessions(self, after_seq: int = 0) -> Iterator[Any]:
            return iter(())

    class OldLedger(SqliteLedger):
        def view(self, scope: Scope) -> Any:
            return OldView()

    with OldLedger(":memory:", clock=FixedClock()) as ledger, pytest.raises(SettingsError, match="no newest and no term_pages"):
        Memory.open(ledger)


def test_parts_that_can_are_taken() -> None:
    with Memory.open(":memory:", counter=EstimateCounter(), clock=FixedClock(), settings=Settings(timezone="Europe/Lisbon")) as memory:
        assert memory.describe()["tokenizer"] == "estimate"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "", "../etc", "/etc/passwd"])
def test_a_time_zone_that_does_not_exist_is_pydantics_error(zone: str) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        Settings(timezone=zone)


DENIED = """
    import os, sys
    from tierkeep import Memory
    from tierkeep.errors import StoreUnavailable
    Memory.open(":memory:").close()  # every module is loaded while it may be read
    if os.geteuid() == 0:
        os.setuid(65534)
    for path in sys.argv[1:]:
        try:
            Memory.open(path)
        except StoreUnavailable as error:
            print("permission denied" in str(error), error.path is not None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_place_that_is_anothers_is_unavailable() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(folder) / "closed"
        closed.mkdir()
        closed.chmod(0o000)
        script = "\n".join(line[4:] for line in DENIED.splitlines())
        try:
            done = subprocess.run(
                [sys.executable, "-c", script, str(closed / "zz"), str(closed / "a.db"), str(closed)],
                env={**os.environ, "PYTHONPATH": str(Path(tierkeep.__file__).resolve().parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        finally:
            closed.chmod(0o755)
    assert (done.stdout.split(), done.returncode) == (["True"] * 6, 0), done.stderr


@pytest.mark.parametrize("missing", [False, True])
def test_a_store_whose_file_is_gone_while_its_log_is_there_is_left_as_it_is(tmp_path: Path, missing: bool) -> None:
    file, log = tmp_path / "tierkeep.db", tmp_path / "tierkeep.db-wal"
    log.write_bytes(b"what was written last")
    if not missing:
        file.touch()
    with pytest.raises(StoreCorrupt, match=r"tierkeep\.db-wal holds changes"):
        Memory.open(tmp_path)
    assert log.read_bytes() == b"what was written last"
    assert file.exists() is not missing
    log.unlink()
    with Memory.open(tmp_path) as memory:
        assert memory.verify().ok


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "tierkeep.db").touch()
    (tmp_path / "tierkeep.db-wal").touch()
    with Memory.open(tmp_path) as memory:
        assert memory.scope(user="ana").add("I live in Oslo.").ids
