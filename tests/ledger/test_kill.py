"""What was acknowledged before `kill -9` is there afterwards, on every write path; and the oracle that says so notices when it is not."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.errors import NotFoundError
from tierkeep.evaluate.kill import FAULTS, PATHS, kill_trials
from tierkeep.evaluate.kill.judging import Recording, findings
from tierkeep.evaluate.kill.paths import Desk, Place, Step, WritePath, memory_at
from tierkeep.evaluate.kill.paths_adding import message, owner
from tierkeep.evaluate.kill.running import examine, record, recording_of, run
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock


def details(result: Any) -> list[str]:
    return [f"{row['path']}: {text}" for row in result["rows"] for text in row["details"]]


def test_acknowledged_writes_survive_sigkill(tmp_path: Path) -> None:
    result = kill_trials(len(PATHS), tmp_path, seed=7)
    assert result["inside"] > len(PATHS) / 2 and result["acknowledged"] > len(PATHS)  # otherwise nothing was tried
    assert details(result) == [] and result["ok"] and not any(result[name] for name in FAULTS)
    assert [row["path"] for row in result["rows"]] == list(PATHS)


def test_acknowledged_writes_survive_sigkill_in_postgresql(postgres: Any, tmp_path: Path) -> None:
    paths = ("forget", "upgrade")
    result = kill_trials(5, tmp_path, seed=7, paths=paths, stores=[postgres.address("unused")])
    assert details(result) == [] and (result["trials"], result["ok"]) == (5, True)
    assert {row["store"] for row in result["rows"]} == {"postgres"}


@pytest.mark.parametrize("way", ["forget", "maintain"])
def test_what_a_killed_forget_has_blanked_is_derived_again(tmp_path: Path, way: str) -> None:
    """The removal is one transaction and the derivation after it another; who calls again, or maintains, gets the second."""
    said = [message(1, "I live in Porto."), message(2, "I live in Porto.")]
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger, Memory.open(ledger) as memory:
        owner(memory).add(said)
        ledger.forget(Scope(user="ana"), ["message-0001"])
        assert owner(memory).records() == [] and len(owner(memory).records(status="quarantined")) == 1
        if way == "maintain":
            owner(memory).maintain()
        else:
            with pytest.raises(NotFoundError):
                owner(memory).forget(ids=["message-0001"])
        assert [(one.text, one.sources) for one in owner(memory).records()] == [("Ana lives in Porto", ("message-0002",))]


# ---------------------------------------------------------------------------------------------------- negative controls


class Run:
    """A path that was run undisturbed to its end, and a copy of its store to do harm to."""

    def __init__(self, path: WritePath, folder: Path) -> None:
        self.path = path
        self.place = Place(folder, str(folder / "store"))
        self.folder = folder
        folder.mkdir()
        path.prepare(self.place)
        shutil.copytree(folder, folder.with_name("prepared"))
        self.recording: Recording = recording_of(path, record(path, self.place))
        self.acknowledged = len(self.recording.said)

    def harm(self, *statements: str) -> None:
        """Change the store behind the ledger's back."""
        with closing(sqlite3.connect(self.folder / "store" / "tierkeep.db", isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def found(self, acknowledged: int | None = None) -> set[str]:
        """Return what the oracle says of the store, after so many acknowledgements."""
        count = self.acknowledged if acknowledged is None else acknowledged
        return {one.what for one in findings(self.recording, count, examine(self.path, self.place, self.recording, count))}

    def again(self, steps: int) -> int:
        """Put the store back, run so many steps; return how many acknowledgements that were."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name("prepared"), self.folder)
        said: list[str] = []

        class Some(type(self.path)):  # type: ignore[misc]
            def steps(self) -> Sequence[Step]:
                return super().steps()[:steps]

        run(Some(), Desk(self.place, lambda: said.append("c")), 0, lambda: None, lambda: said.append("s"))
        return len(said)


def test_a_sound_store_is_not_complained_of(tmp_path: Path) -> None:
    done = Run(PATHS["vectors"](), tmp_path / "run")
    assert done.found() == set()
    assert done.found(done.again(4)) == set()


def test_who_acknowledges_more_than_an_undisturbed_run_must_come_to_the_same(tmp_path: Path) -> None:
    """What failed with a server behind a write is done with a later one."""
    done = Run(PATHS["hymem"](), tmp_path / "run")
    assert done.found(done.acknowledged + 2) == set()
    assert done.found(done.again(1) + done.acknowledged) != set()


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM events WHERE id = 'message-0003'",
        "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)",
        "DELETE FROM vectors WHERE seq = (SELECT max(seq) FROM vectors)",
        "UPDATE records SET text = 'user lives in Atlantis' WHERE seq = 1",
    ],
)
def test_an_acknowledged_row_that_is_gone_or_changed_is_lost(tmp_path: Path, harm: str) -> None:
    done = Run(Profiled(), tmp_path / "run")
    done.harm(harm)
    assert "lost" in done.found()


def test_a_store_that_is_behind_what_was_acknowledged_is_lost_though_it_verifies(tmp_path: Path) -> None:
    done = Run(PATHS["add"](), tmp_path / "run")
    assert done.found(done.again(5)) == set()
    assert done.found(done.again(5) - 1) == set()
    assert done.found(done.again(5) + 2) == {"lost", "unfinished"}


def test_a_call_that_takes_place_in_part_is_noticed(tmp_path: Path) -> None:
    """Two transactions where the call promises all or nothing: killed between them it leaves half of it."""
    done = Run(Halves(), tmp_path / "run")
    said = done.again(1)
    with memory_at(done.place.store) as memory:
        owner(memory).add([message(2)])
    assert done.found(said) == {"differs"}


def test_half_a_forget_is_noticed(tmp_path: Path) -> None:
    done = Run(PATHS["forget"](), tmp_path / "run")
    said = done.again(0)
    done.harm("DELETE FROM events WHERE id = 'message-0004'")
    assert {"lost", "verify_failed"} <= done.found(said)


def test_a_file_that_is_no_store_any_more_is_unopenable(tmp_path: Path) -> None:
    done = Run(PATHS["batch"](), tmp_path / "run")
    (tmp_path / "run" / "store" / "tierkeep.db").write_bytes(b"\0" * 8192)
    assert done.found() == {"unopenable"}


def test_a_step_that_does_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="changes nothing"):
        Run(Idle(), tmp_path / "run")


class Profiled(WritePath):
    """A message with a profile record and a vector, and one without."""

    name, about = "profiled", "for a test"

    def options(self, place: Place) -> dict[str, Any]:
        return dict(PATHS["vectors"]().options(place))

    def steps(self) -> Sequence[Step]:
        texts = {1: "I live in Porto.", 3: "", 5: "I work as a nurse."}
        return [Step(f"add {n}", lambda memory, n=n, text=text: owner(memory).add([message(n, text)]), whole=False)
                for n, text in texts.items()]  # fmt: skip


class Halves(WritePath):
    """A call that says that it is one, and is two."""

    name, about = "halves", "for a test"

    def steps(self) -> Sequence[Step]:
        def both(memory: Any, first: int) -> None:
            owner(memory).add([message(first)])
            owner(memory).add([message(first + 1)])

        return [Step(f"both {n}", lambda memory, n=n: both(memory, n)) for n in (0, 2)]


class Idle(WritePath):
    """A call that does nothing."""

    name, about = "idle", "for a test"

    def steps(self) -> Sequence[Step]:
        return [Step("nothing", lambda memory: memory.stats())]
