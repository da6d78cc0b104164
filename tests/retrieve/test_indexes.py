"""The indexes of recently used scopes: bounded memory, deadlines, forks, and what an interruption leaves."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.protocols import View
from tierkeep.records import Scope, TermPage, TermRow
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.testing.clock import FixedClock

from .scopes import rows

AMPLE = 1 << 30
PAGE = 2_048  # events


class Told:
    """The part of a view that an index is made from. `after` is called with the number of each row that is read."""

    def __init__(self, owner: str, said: list[TermRow]) -> None:
        self.scope = Scope(user=owner)
        self.generation = 1
        self.said = said
        self.after: Any = lambda number: None

    @property
    def last_seq(self) -> int:
        return self.said[-1].seq if self.said else 0

    def term_pages(self, after_seq: int = 0) -> Iterator[TermPage]:
        rows = [row for row in self.said if row.seq > after_seq]
        for start in range(0, len(rows), PAGE):
            yield TermPage.of(rows[start : start + PAGE])
            for number in range(start, min(start + PAGE, len(rows))):
                self.after(number)


def view(owner: str = "ana", *texts: str, count: int = 0) -> Any:
    return Told(owner, rows(*(texts or [f"tea number {number}" for number in range(count)])))


def allowed(seconds: float | None = None, clock: FixedClock | SystemClock | None = None) -> Allowance:
    return Allowance(clock or FixedClock(), seconds=seconds)


def used(indexes: ScopeIndexes, told: Any, allowance: Allowance | None = None) -> tuple[ScopeIndex, bool]:
    with indexes.use(cast("View", told), allowance or allowed()) as lent:
        return lent


def test_an_index_is_level_with_what_was_told() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("ana", "green tea")
    first, _ = used(indexes, told)
    told.said += rows("one", "black coffee")[1:]
    again, complete = used(indexes, told)
    assert again is first and complete and again.seq.tolist() == [1, 2]


def test_another_generation_is_indexed_anew() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("ana", "green tea", "black coffee")
    first, _ = used(indexes, told)
    told.said, told.generation = told.said[1:], 2
    again, _ = used(indexes, told)
    assert again is not first and again.seq.tolist() == [2]


# ------------------------------------------------------------------------------------------------------------- deadlines


def test_an_index_that_time_ran_out_on_is_usable_and_goes_on_next_time() -> None:
    clock, told = FixedClock(), view(count=5_000)
    indexes = ScopeIndexes(AMPLE)
    told.after = lambda number: clock.advance(0.001)
    partly, complete = used(indexes, told, allowed(1.0, clock))
    held = len(partly)
    assert not complete and 1_000 <= held < 5_000
    assert partly.find(rows("tea")[0].terms).rows.tolist() == list(range(held))
    again, complete = used(indexes, told, allowed(60.0, clock))
    assert again is partly and complete and again.seq.tolist() == list(range(1, 5_001))


def test_each_use_gets_a_little_further_however_late_it_is() -> None:
    clock, told = FixedClock(), view(count=5_000)
    indexes = ScopeIndexes(AMPLE)
    lengths = []
    while not lengths or lengths[-1] < 5_000:
        index, complete = used(indexes, told, allowed(0.0, clock))
        lengths.append(len(index))
        assert complete == (lengths[-1] == 5_000)
    assert lengths == sorted(set(lengths)) and len(lengths) > 1


def test_a_last_portion_that_ends_late_is_complete_all_the_same() -> None:
    clock, told = FixedClock(), view("ana", "green tea")
    told.after = lambda number: clock.advance(9)
    assert used(ScopeIndexes(AMPLE), told, allowed(1.0, clock))[1]


def test_nobody_waits_for_another_reader_beyond_the_deadline() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("ana", "green tea")
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with indexes.use(cast("View", told), allowed()):
            taken.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert taken.wait(30)
        index, complete = used(indexes, told, allowed(0.01, SystemClock()))
        assert not complete and len(index) == 0
        told.scope = Scope(user="bo")
        assert used(indexes, told)[1]  # another scope does not wait
    finally:
        done.set()
        other.join()
    told.scope = Scope(user="ana")
    assert used(indexes, told, allowed(1e300))[1]


def test_an_interruption_while_indexing_leaves_nothing_half_done() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("ana", "green tea")
    used(indexes, told)

    told.said += rows("one", "black coffee")[1:]
    row = told.said[-1]
    told.said[-1] = row._replace(speaker=cast("str", None))  # its terms are indexed by then, its name cannot be
    with pytest.raises(AttributeError):
        used(indexes, told)
    told.said[-1] = row
    index, complete = used(indexes, told)
    assert complete and len(index.seq) == len(index.speaker) == len(index.session) == 2
    assert index.find(row.terms).rows.tolist() == [1]


# ------------------------------------------------------------------------------------------------------ memory and forks


def test_the_total_is_what_the_held_indexes_have() -> None:
    indexes = ScopeIndexes(AMPLE)
    views = [view(f"user {number}", count=number + 1) for number in range(20)]
    held = {told.scope: used(indexes, told)[0] for told in views}
    assert indexes.nbytes() == sum(index.nbytes for index in held.values())
    views[3].said += rows(*["more"] * 200)[4:]
    views[5].said, views[5].generation = views[5].said[:1], 2
    held.update({told.scope: used(indexes, told)[0] for told in (views[3], views[5])})
    assert indexes.nbytes() == sum(index.nbytes for index in held.values())


def test_what_was_not_used_for_longest_is_dropped_first_and_the_one_in_use_never() -> None:
    one = used(ScopeIndexes(AMPLE), view("ana", "green tea"))[0].nbytes
    indexes = ScopeIndexes(3 * one)
    views = {owner: view(owner, "green tea") for owner in "abcd"}
    first = {owner: used(indexes, views[owner])[0] for owner in "abc"}
    assert used(indexes, views["a"])[0] is first["a"]
    used(indexes, views["d"])
    assert indexes.nbytes() <= 3 * one and len(indexes) == 3
    assert used(indexes, views["a"])[0] is first["a"] and used(indexes, views["c"])[0] is first["c"]
    assert used(indexes, views["b"])[0] is not first["b"]
    large = view("large", count=2_000)
    kept, _ = used(indexes, large)
    assert len(indexes) == 1 and used(indexes, large)[0] is kept


def test_an_owner_without_memories_is_not_kept() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("nobody")
    index, complete = used(indexes, told)
    assert complete and len(index) == 0 and len(indexes) == 0 and indexes.nbytes() == 0


def test_an_index_that_loses_all_its_events_is_not_kept() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("ana", "green tea")
    used(indexes, told)
    told.said, told.generation = [], 2
    used(indexes, told)
    assert len(indexes) == 0 and indexes.nbytes() == 0


def test_an_exception_in_a_reader_neither_blocks_nor_skips_the_bound() -> None:
    indexes = ScopeIndexes(1)
    for owner in "abc":
        with pytest.raises(LookupError), indexes.use(cast("View", view(owner, "green tea")), allowed()):
            raise LookupError
    assert len(indexes) == 1
    assert used(indexes, view("c", "green tea"))[1]


def test_a_large_scope_counts_before_it_is_sorted_and_after() -> None:
    least = 3_000 * 3 * 4  # a term's id, three times an event
    bound = 4 * used(ScopeIndexes(AMPLE), view(count=3_000))[0].nbytes
    indexes = ScopeIndexes(bound)
    for number in range(8):
        told = view(f"user {number}", count=3_000)
        assert used(indexes, told)[0].nbytes > least and indexes.nbytes() <= bound
        assert used(indexes, told)[0].nbytes > least and indexes.nbytes() <= bound
    assert 1 < len(indexes) < 8


def test_names_of_sessions_and_speakers_count() -> None:
    plain, told = view(count=500), view(count=500)
    told.said = [row._replace(speaker=f"Speaker {row.seq}", session=f"s{row.seq}") for row in told.said]
    assert used(ScopeIndexes(AMPLE), told)[0].nbytes > 2 * used(ScopeIndexes(AMPLE), plain)[0].nbytes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_it_does_not_have() -> None:
    indexes, told = ScopeIndexes(AMPLE), view("ana", "green tea")
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with indexes.use(cast("View", told), allowed()), indexes._shelf._room._lock:
            taken.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    assert taken.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that waits for ever is killed, and its parent says so
        index, complete = used(indexes, told)
        os._exit(0 if complete and len(index) == 1 else 1)
    done.set()
    other.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
