"""Several processes, forks, dying threads: one store, nothing lost, no connection shared that must not be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import tierkeep
from tierkeep.errors import StorageError, StoreUnavailable
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft

ANA = Scope(user="ana")
ROOT = Path(tierkeep.__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def append(ledger: SqliteLedger, *texts: str) -> None:
    with ledger.transaction(ANA) as tx:
        tx.append([draft(text) for text in texts])


def texts(ledger: SqliteLedger) -> list[str]:
    return [event.text for event in ledger.view(ANA).scan()]


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; return its exit code: 0 when it raised nothing."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must not run the rest of the tests
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_and_its_parent_go_on_with_their_own_connections(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger:
        append(ledger, "before")

        def work() -> None:
            append(ledger, "child")
            assert texts(ledger) == ["before", "child"]
            ledger.close()

        assert in_child(work) == 0
        append(ledger, "parent")
        assert texts(ledger) == ["before", "child", "parent"]
        assert ledger.verify().ok


def test_a_child_keeps_its_locks_when_the_parent_closes(tmp_path: Path) -> None:
    """Inherited lock tables would let the parent remove the log under the child's feet."""
    ledger = SqliteLedger(tmp_path, clock=FixedClock())
    append(ledger, "before")
    to_child, to_parent = os.pipe(), os.pipe()

    def work() -> None:
        append(ledger, "child 1")
        os.write(to_parent[1], b"x")
        os.read(to_child[0], 1)
        append(ledger, "child 2")
        assert texts(ledger) == ["before", "child 1", "child 2"]

    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must not run the rest of the tests
            os._exit(1)
        os._exit(0)
    os.read(to_parent[0], 1)
    assert texts(ledger) == ["before", "child 1"]
    ledger.close()
    os.write(to_child[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with SqliteLedger(tmp_path, clock=FixedClock()) as again:
        assert texts(again) == ["before", "child 1", "child 2"]
        assert again.verify().ok


def test_a_fork_inside_a_transaction_does_not_hang_or_harm(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("mine")])
            assert in_child(lambda: None) == 0
        assert texts(ledger) == ["mine"]
        assert ledger.verify().ok


def test_a_memory_store_does_not_follow_a_fork() -> None:
    with SqliteLedger(":memory:", clock=FixedClock()) as ledger:
        append(ledger, "here")

        def work() -> None:
            with pytest.raises(StoreUnavailable):
                texts(ledger)

        assert in_child(work) == 0
        assert texts(ledger) == ["here"]


def test_a_fork_while_other_threads_write(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger:
        done = threading.Event()
        written: list[int] = []

        def write() -> None:
            while not done.is_set():
                append(ledger, f"thread {len(written)}")
                written.append(1)

        thread = threading.Thread(target=write)
        thread.start()
        codes = [in_child(lambda: append(ledger, "child")) for _ in range(5)]
        done.set()
        thread.join()
        assert codes == [0] * 5
        assert sorted(texts(ledger)) == sorted(["child"] * 5 + [f"thread {i}" for i in range(len(written))])
        assert ledger.verify().ok


WRITER = """
import sys
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft
with SqliteLedger(sys.argv[1], clock=FixedClock()) as ledger:
    for step in range(60):
        with ledger.transaction(Scope(user="ana")) as tx:
            tx.append([draft(f"{sys.argv[2]} {step}")])
"""


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "s"), str(number)], env=environment) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with SqliteLedger(tmp_path / "s", clock=FixedClock()) as ledger:
        events = list(ledger.view(ANA).scan())
        assert sorted(event.text for event in events) == sorted(f"{number} {step}" for number in range(3) for step in range(60))
        assert [event.position for event in events] == list(range(180))
        assert ledger.verify().ok


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_dead_threads_leave_no_open_files(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    at_first = count()
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger:
        append(ledger, "x")
        ledger.forget(ANA, [event.id for event in ledger.view(ANA).scan()])
        counts = []
        for _ in range(30):
            thread = threading.Thread(target=append, args=(ledger, "y"))
            thread.start()
            thread.join()
            counts.append(count())
        assert counts[0] == counts[-1]  # SQLite itself keeps one descriptor for the next connection
    assert count() == at_first


def test_closing_while_another_thread_waits(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, clock=FixedClock())
    errors: list[BaseException] = []
    ready = threading.Event()

    def work() -> None:
        try:
            for _ in range(100_000):
                append(ledger, "x")
                ready.set()
        except StorageError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(10)
    ledger.close()
    thread.join(30)
    assert len(errors) == 1 and "closed" in str(errors[0])
    with SqliteLedger(tmp_path, clock=FixedClock()) as again:
        assert again.verify().ok


def test_a_reader_in_memory_does_not_wait_for_ever_for_a_writer_that_waits_for_it() -> None:
    with SqliteLedger(":memory:", clock=FixedClock(), busy_timeout_s=0.1) as ledger:
        errors: list[StorageError] = []

        def read() -> None:
            try:
                texts(ledger)
            except StoreUnavailable as error:
                errors.append(error)

        with ledger.transaction(ANA) as tx:
            tx.append([draft("x")])
            thread = threading.Thread(target=read)
            thread.start()
            thread.join(30)
            assert not thread.is_alive()
        assert len(errors) == 1
        assert texts(ledger) == ["x"]


def test_two_ledgers_of_one_process_share_a_file(tmp_path: Path) -> None:
    """Closing one, and its raw reads in a sweep, must not drop the locks that the other holds."""
    first = SqliteLedger(tmp_path, clock=FixedClock())
    second = SqliteLedger(tmp_path, clock=FixedClock())
    append(first, "one")
    append(second, "two")
    first.sweep(["something"])
    with second.transaction(ANA) as tx:
        tx.append([draft("three")])
        first.close()
        other = subprocess.run(
            [sys.executable, "-c", LOCKED, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=60
        )
        assert other.returncode == 0, "another process could write inside our transaction"
    assert texts(second) == ["one", "two", "three"]
    second.close()


LOCKED = """
import sys
from tierkeep.errors import StoreUnavailable
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
with SqliteLedger(sys.argv[1], clock=FixedClock(), busy_timeout_s=0.05) as ledger:
    try:
        with ledger.transaction(Scope(user="ana")):
            sys.exit(1)
    except StoreUnavailable:
        pass
"""


def test_one_process_redeems_a_confirmation(tmp_path: Path) -> None:
    """Eight processes hold the same token and go at once; one of them wins."""
    token, subject = b"t" * 32, "ab" * 32
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.issue(token, subject, 4e9)
        go, won = os.pipe(), os.pipe()
        children = []
        for _ in range(8):
            child = os.fork()
            if child == 0:
                try:
                    os.read(go[0], 1)
                    with ledger.transaction(ANA) as tx:
                        mine = tx.redeem(token, subject, 1.0)
                    os.write(won[1], b"y" if mine else b"n")
                except BaseException:  # noqa: BLE001 - a child must not run the rest of the tests
                    os._exit(1)
                os._exit(0)
            children.append(child)
        os.write(go[1], b"x" * 8)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
        assert sorted(os.read(won[0], 8)) == sorted(b"y" + b"n" * 7)
