"""The line of writers: nobody is turned away while turns go from hand to hand, and one who never ends is not waited for."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tierkeep.errors import StoreUnavailable
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.line import Line, begin
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft

ANA = Scope(user="ana")
#: Everybody is at work for a third of what a writer is patient with, so the last in line waits several times as long.
PATIENCE_S, AT_WORK_S = 1.0, 0.3


def slow_writer(path: Path, number: int) -> None:
    with SqliteLedger(path, clock=FixedClock(), busy_timeout_s=PATIENCE_S) as ledger:
        for step in range(2):
            with ledger.transaction(ANA) as tx:
                tx.append([draft(f"{number} {step}")])
                time.sleep(AT_WORK_S)


def test_a_long_line_of_threads_is_waited_out(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path, clock=FixedClock(), busy_timeout_s=PATIENCE_S) as ledger:
        errors: list[StoreUnavailable] = []
        start = threading.Barrier(6)

        def write(number: int) -> None:
            start.wait(30)
            try:
                with ledger.transaction(ANA) as tx:
                    tx.append([draft(str(number))])
                    time.sleep(AT_WORK_S)
            except StoreUnavailable as error:
                errors.append(error)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not errors
        assert sorted(event.text for event in ledger.view(ANA).scan()) == [str(number) for number in range(6)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_long_line_of_processes_is_waited_out(tmp_path: Path) -> None:
    """Four processes write without a pause, and each wait is longer than anybody is patient with one writer."""
    SqliteLedger(tmp_path, clock=FixedClock()).close()
    writers = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            try:
                slow_writer(tmp_path, number)
            except BaseException:  # noqa: BLE001 - a child must not run the rest of the tests
                os._exit(1)
            os._exit(0)
        writers.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) for writer in writers] == [0] * 4
    with SqliteLedger(tmp_path, clock=FixedClock()) as ledger:
        assert sorted(event.text for event in ledger.view(ANA).scan()) == sorted(f"{a} {b}" for a in range(4) for b in range(2))


def test_who_may_not_even_read_waits_too(tmp_path: Path) -> None:
    """Usual cause: whether others have had their turn is asked of the file, and that fails while one of them has all of it."""
    held = sqlite3.connect(tmp_path / "plain.db", isolation_level=None, check_same_thread=False)
    held.execute("CREATE TABLE t(x)")
    held.execute("BEGIN EXCLUSIVE")
    waiting = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    done = threading.Timer(0.1, held.execute, ("COMMIT",))
    done.start()
    begin(waiting, 30)
    assert waiting.in_transaction
    done.join()
    waiting.close()
    held.close()


def test_who_waits_for_other_processes_tells_that_their_turns_go_on(tmp_path: Path) -> None:
    """Else those behind it in the line would take it for one that never ends."""
    other = sqlite3.connect(tmp_path / "plain.db", isolation_level=None, check_same_thread=False)
    other.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t(x); BEGIN IMMEDIATE; INSERT INTO t VALUES(0)")
    waiting = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    told: list[float] = []

    def write() -> None:
        for _ in range(8):
            time.sleep(0.1)
            other.executescript("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)")  # ends the transaction before it at once
        other.execute("COMMIT")

    thread = threading.Thread(target=write)
    began = time.monotonic()
    thread.start()
    begin(waiting, 0.4, lambda: told.append(time.monotonic()))
    took = time.monotonic() - began
    waiting.execute("COMMIT")
    thread.join(30)
    assert told or took < 0.4
    waiting.close()
    other.close()


def test_threads_wait_on_while_somebody_says_that_turns_go_on() -> None:
    line = Line(0.2)
    assert line.join()
    behind: list[bool] = []
    thread = threading.Thread(target=lambda: behind.append(line.join()))
    thread.start()
    for _ in range(12):
        time.sleep(0.05)
        line.go_on()
    line.leave()
    thread.join(30)
    assert behind == [True]


def test_one_who_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path, clock=FixedClock()) as other, SqliteLedger(tmp_path, clock=FixedClock(), busy_timeout_s=0.2) as ledger:
        with other.transaction(ANA) as tx:
            tx.append([draft("mine")])
            with pytest.raises(StoreUnavailable, match="locked"), ledger.transaction(ANA):
                pass
        with ledger.transaction(ANA) as tx:
            tx.append([draft("now")])
        holds, release = threading.Event(), threading.Event()

        def hold() -> None:
            with ledger.transaction(ANA):
                holds.set()
                release.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        assert holds.wait(30)
        with pytest.raises(StoreUnavailable, match="Another thread"), ledger.transaction(ANA):
            pass
        release.set()
        thread.join(30)
        assert [event.text for event in ledger.view(ANA).scan()] == ["mine", "now"]
