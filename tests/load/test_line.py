"""The line of writers: nobody is turned away while turns go from hand to hand, and one who never ends is not waited for."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tierkeep.errors import StoreUnavailable
from tierkeep.ledger import SqliteLedger
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
