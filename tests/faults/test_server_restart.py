"""A PostgreSQL server that stops, is killed, ends connections or has none left, under a `Memory` that is never opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.errors import StoreUnavailable
from tierkeep.ledger.postgres.ledger import PostgresLedger
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft

ANA = Scope(user="ana")


@pytest.fixture
def memory(postgres: Any) -> Iterator[Memory]:
    with Memory.open(postgres.fresh(timeout=1, pool=3), clock=FixedClock()) as opened:
        yield opened


def told(memory: Memory, number: int) -> tuple[str, ...]:
    return memory.scope(user="ana").add(f"Parcel {number} waits in hall {number}.", id=f"p{number}", session=f"s{number % 2}").ids


def check_against_an_undisturbed_one(memory: Memory, count: int) -> None:
    """Each message is there once; in each conversation in the order of its numbers; and questions find the same."""
    events = list(memory.scope(user="ana").events())
    assert sorted(event.id for event in events) == sorted(f"p{number}" for number in range(count))
    assert memory.verify().ok, memory.verify().problems
    with Memory.open(":memory:", clock=FixedClock()) as oracle:
        for event in events:
            told(oracle, int(event.id[1:]))
        both = [list(one.scope(user="ana").events()) for one in (memory, oracle)]
        assert [(e.id, e.session, e.position, e.text) for e in both[0]] == [(e.id, e.session, e.position, e.text) for e in both[1]]
        assert sorted({e.seq for e in both[0]}) == [e.seq for e in both[0]]
        for number in range(0, count, max(1, count // 6)):
            found = [one.scope(user="ana").recall(f"Where does parcel {number} wait?", budget=300) for one in (memory, oracle)]
            assert [item.id for item in found[0].items] == [item.id for item in found[1].items] and found[0].items


def test_stopped_and_started_the_same_memory_goes_on(postgres: Any, memory: Memory) -> None:
    ana = memory.scope(user="ana")
    for number in range(3):
        told(memory, number)
    postgres.stop()
    for use in (lambda: told(memory, 3), lambda: ana.recall("Where is parcel 1?"), lambda: ana.forget(ids=["p1"])):
        with pytest.raises(StoreUnavailable, match=r"cannot be reached|server"):
            use()
    postgres.start()
    for number in range(3, 6):
        assert told(memory, number) == (f"p{number}",)
    check_against_an_undisturbed_one(memory, 6)


def test_restarted_inside_a_transaction(postgres: Any) -> None:
    """What was not committed is done again on the new server, once; and a server that crashed gives no place twice."""
    with PostgresLedger(postgres.fresh(), clock=FixedClock()) as ledger:
        with ledger.transaction(ANA) as tx:
            first = tx.append([draft("one", id="m1")])[0].event
            postgres.stop()
            postgres.start()
            second = tx.append([draft("two", id="m2")])[0].event
        with ledger.transaction(ANA) as tx:
            third = tx.append([draft("three", id="m3")])[0].event
            postgres.stop()
            postgres.start()
        with ledger.transaction(ANA) as tx:
            fourth = tx.append([draft("four", id="m4")])[0].event
        assert list(ledger.view(ANA).scan()) == [first, second, third, fourth] and ledger.verify().ok


def test_killed_and_cut_off_while_threads_write(postgres: Any, memory: Memory) -> None:
    """An error means: not known, or not stored. Who then says it again under the same id has it once."""
    total, lock, failures, unexpected = 60, threading.Lock(), [], []
    left = list(range(total))[::-1]

    def work() -> None:
        while True:
            with lock:
                if not left:
                    return
                number = left.pop()
            for _ in range(200):
                try:
                    told(memory, number)
                    break
                except StoreUnavailable as error:
                    failures.append(error)
                    time.sleep(0.05)
                except BaseException as error:
                    unexpected.append(error)
                    raise

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for harm in ("cut", "kill", "cut"):
        time.sleep(0.15)
        if harm == "kill":
            postgres.kill()
            postgres.start()
        else:
            with postgres.connect() as connection:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tierkeep'")
    for thread in threads:
        thread.join()
    assert not unexpected, unexpected
    check_against_an_undisturbed_one(memory, total)


def test_a_server_without_a_connection_left(postgres: Any, memory: Memory) -> None:
    """Others hold all of them: an error that says so, and then it goes on."""
    told(memory, 0)
    with postgres.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tierkeep'")
        limit = int(connection.execute("SHOW max_connections").fetchone()[0])
    held = [postgres.connect() for _ in range(limit)]
    try:
        with pytest.raises(StoreUnavailable, match=r"no connection left|in use|cannot be reached"):
            told(memory, 1)
    finally:
        for connection in held:
            connection.close()
    assert told(memory, 1) == ("p1",)
    check_against_an_undisturbed_one(memory, 2)
