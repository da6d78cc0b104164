"""The search over records: level with the ledger after any history, narrowed to a session, spread over speakers; similarity."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.allowance import Allowance
from tierkeep.errors import NotFoundError, OpRefused
from tierkeep.ledger import SqliteLedger
from tierkeep.protocols import View
from tierkeep.records import Authority, Op, Query, Record, Scope
from tierkeep.retrieve.question import read_question
from tierkeep.retrieve.record_index import RecordIndex
from tierkeep.retrieve.records import Neighbour, RecordSearch
from tierkeep.retrieve.search import Found
from tierkeep.settings import RetrievalSettings
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, BOB, draft, record

from .scopes import WORDS, questions

AMPLE = 1 << 30


class World:
    """A ledger with some events in three sessions, and one search that is used all along."""

    def __init__(self) -> None:
        self.ledger = SqliteLedger(":memory:", clock=FixedClock())
        self.search = fresh()
        with self.ledger.transaction(ANA) as tx:
            drafts = [draft(f"said {number}", session=f"s{number % 3}") for number in range(12)]
            self.events = [appended.event for appended in tx.append(drafts)]

    def view(self, scope: Scope = ANA) -> View:
        return self.ledger.view(scope)

    def apply(self, *ops: Op) -> None:
        with self.ledger.transaction(ANA) as tx:
            tx.apply(ops)

    def add(self, id_: str, text: str, event: int = 0, **fields: Any) -> None:
        self.apply(Op(op="add", record=self.fact(id_, text, event, **fields)))

    def fact(self, id_: str, text: str, event: int = 0, *, speaker: str = "Mara", **fields: Any) -> Record:
        said = self.events[event]
        return record(id_, said.id, text=text, attrs={"session": said.session, "speaker": speaker}, **fields)

    def find(self, text: str, scope: Scope = ANA, search: RecordSearch | None = None, **how: Any) -> Found:
        return find(search if search is not None else self.search, self.view(scope), text, scope, **how)

    def ids(self, text: str, scope: Scope = ANA, **how: Any) -> list[str]:
        return [hit.item.id for hit in self.find(text, scope, **how).hits]

    def similar(self, text: str, search: RecordSearch | None = None, **how: Any) -> list[Neighbour]:
        how = {"kind": "fact", "k": 10, "at_least": 0.0, **how}
        return (search if search is not None else self.search).similar(text, self.view(), **how)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.ledger.close()


def fresh(max_bytes: int = AMPLE) -> RecordSearch:
    return RecordSearch(max_bytes, RetrievalSettings())


def find(search: RecordSearch, view: View, text: str, scope: Scope = ANA, allowance: Allowance | None = None, **how: Any) -> Found:
    query = Query(text=text, scope=scope, now="2031-01-01T00:00:00+00:00")
    return search(query, view, allowance or Allowance(FixedClock()), **{"kind": "fact", "text": text, "k": 10, **how})


# ------------------------------------------------------------------------------------------------------------ what is found


def test_active_records_of_the_kind_are_found_best_first(world: World) -> None:
    world.add("r1", "the bicycle is green", 0)
    world.add("r2", "a bicycle and a violin in lisbon", 1)
    world.add("r3", "the train was late", 2)
    world.add("other", "a bicycle and a violin", 3, kind="segment")
    found = world.find("bicycle violin")
    assert [hit.item.id for hit in found.hits] == ["r2", "r1"]
    assert found.hits[0].score > found.hits[1].score > 0 and 0 < found.confidence <= 1 and not found.partial
    assert world.ids("bicycle violin", k=1) == ["r2"] and world.ids("bicycle", k=0) == [] and world.ids("") == []
    assert world.ids("bicycle", kind="segment") == ["other"] and world.ids("bicycle", kind="none") == []


def test_it_keeps_level_with_every_change(world: World) -> None:
    world.add("r1", "the bicycle is green")
    assert world.ids("bicycle") == ["r1"]
    world.add("r2", "the violin is old", 1)
    assert world.ids("violin") == ["r2"]
    world.apply(Op(op="update", target="r1", patch={"text": "the garden is green"}))
    assert world.ids("bicycle") == [] and world.ids("garden") == ["r1"]
    world.apply(Op(op="supersede", target="r2", record=world.fact("r3", "the violin is new", 2)))
    assert world.ids("violin") == ["r3"]
    world.apply(Op(op="retract", target="r3"))
    assert world.ids("violin") == []
    world.ledger.undo(ANA)
    assert world.ids("violin") == ["r3"]
    world.ledger.forget(ANA, [world.events[2].id])
    assert world.ids("violin") == [] and world.similar("the violin is new") == []
    world.apply(Op(op="delete", target="r1"))
    assert world.ids("garden") == []


def test_another_owner_s_records_are_not_found(world: World) -> None:
    world.add("r1", "the bicycle is green")
    assert world.ids("bicycle") == ["r1"]
    assert world.ids("bicycle", BOB) == []
    assert world.search.similar("the bicycle is green", world.view(BOB), kind="fact", k=3, at_least=0.0) == []


def test_quarantined_records_are_not_found(world: World) -> None:
    world.add("r1", "the bicycle is green", authority=Authority.QUARANTINED)
    world.add("r2", "the bicycle is blue")
    world.apply(Op(op="update", target="r2", patch={"status": "quarantined"}))
    assert world.ids("bicycle") == [] and world.similar("the bicycle is blue") == []
    world.apply(Op(op="update", target="r2", patch={"status": "active"}))
    assert world.ids("bicycle") == ["r2"]


def test_equal_scores_go_by_time_and_then_by_creation(world: World) -> None:
    for id_, day in (("old", "2026-01-01"), ("z", "2026-05-02"), ("a", "2026-05-02"), ("odd", "some day")):
        world.add(id_, "the bicycle is green", observed_at=day, speaker=id_)
    assert world.ids("bicycle") == ["z", "a", "old", "odd"]
    world.apply(Op(op="update", target="z", patch={"text": "the bicycle is green"}))
    assert world.ids("bicycle") == ["z", "a", "old", "odd"]
    assert [near.record.id for near in world.similar("bicycle")] == ["old", "z", "a", "odd"]


def test_attributes_of_any_type_are_survived(world: World) -> None:
    world.apply(Op(op="add", record=world.fact("r1", "a bicycle").model_copy(update={"attrs": {"session": 5, "speaker": ["x"]}})))
    assert world.ids("bicycle", per_speaker=True) == ["r1"]


def test_the_best_of_each_speaker(world: World) -> None:
    world.add("m1", "bicycle bicycle bicycle", 0, speaker="Mara")
    world.add("m2", "bicycle bicycle train", 1, speaker="Mara")
    world.add("m3", "bicycle train garden", 2, speaker="Mara")
    world.add("i1", "bicycle garden violin dentist coffee", 3, speaker="Ilya")
    everything = world.ids("bicycle")
    assert sorted(everything) == ["i1", "m1", "m2", "m3"]
    assert world.ids("bicycle", k=1, per_speaker=True) == [id_ for id_ in everything if id_ in ("m1", "i1")]
    assert world.ids("bicycle", k=2, per_speaker=True) == [id_ for id_ in everything if id_ != "m3"]
    assert world.ids("bicycle", k=0, per_speaker=True) == []


def test_a_session_sees_what_was_said_in_it_and_feels_nothing_else(world: World) -> None:
    bound = ANA.model_copy(update={"session": "s1"})
    world.add("here", "a green bicycle", 1)
    world.add("elsewhere", "a green bicycle", 2)
    alone = world.find("bicycle", bound).hits[0].score
    both = record("both", world.events[1].id, world.events[2].id, text="a blue bicycle", attrs={"session": "s2", "speaker": "Mara"})
    world.apply(Op(op="add", record=both))
    assert sorted(world.ids("bicycle", bound)) == ["both", "here"]
    assert sorted(world.ids("bicycle")) == ["both", "elsewhere", "here"]
    world.apply(Op(op="retract", target="both"))
    for number in range(5):
        world.add(f"more {number}", "a bicycle in the garden", 2)
    assert [(hit.item.id, hit.score) for hit in world.find("bicycle", bound).hits] == [("here", alone)]
    assert world.ids("bicycle", ANA.model_copy(update={"session": "unknown"})) == []


# ------------------------------------------------------------------------------------------------------------- similarity


def test_similarity_is_one_for_equal_stems_and_weighs_rare_ones_more(world: World) -> None:
    for number in range(6):
        world.add(f"t{number}", f"tea with friend{number}")
    world.add("v", "tea and a violin")
    near = {one.record.id: one.similarity for one in world.similar("a violin, teas!")}
    assert near["v"] == 1.0 and all(0 < near[f"t{number}"] < 0.5 for number in range(6))
    rare, common = world.similar("violin")[0].similarity, world.similar("tea", k=10)[-1].similarity
    assert rare > common > 0
    assert world.similar("an unheard word beside the violin")[0].similarity < rare
    assert world.similar("train") == world.similar("") == world.similar("the") == []


def test_similar_leaves_out_what_it_is_told_to(world: World) -> None:
    for id_, text in (("r1", "green bicycle"), ("r2", "green bicycle lisbon"), ("r3", "green train dentist")):
        world.add(id_, text)
    everything = world.similar("green bicycle")
    assert [one.record.id for one in everything] == ["r1", "r2", "r3"]
    assert world.similar("green bicycle", k=2) == everything[:2] and world.similar("green bicycle", k=0) == []
    assert [one.record.id for one in world.similar("green bicycle", but={"r1", "nothing"})] == ["r2", "r3"]
    assert world.similar("green bicycle", at_least=everything[1].similarity) == everything[:2]
    assert world.similar("green bicycle", at_least=1.0) == everything[:1]


# ------------------------------------------------------------------------------------- level with the ledger, whatever happens


def step(world: World, rng: random.Random, number: int) -> None:
    """Change the ledger in some way."""
    view = world.view()
    active = [found.id for found in view.records(kind="fact")]
    hidden = [found.id for found in view.records(kind="fact", status="quarantined")]
    text = " ".join(rng.choices(WORDS, k=rng.randint(1, 5)))
    fields: dict[str, Any] = {"speaker": rng.choice(("Mara", "Ilya", "Mara Lund")), "observed_at": f"2031-0{rng.randint(1, 9)}-10"}
    new = world.fact(f"r{number}", text, rng.randrange(len(world.events)), **fields)
    what = rng.choice(["add"] * 3 + ["update"] * 2 + "session supersede retract hide show stat delete undo".split())
    if what == "undo":
        world.ledger.undo(ANA)
    elif what == "show" and hidden:
        world.apply(Op(op="update", target=rng.choice(hidden), patch={"status": "active"}))
    elif what == "add" or not active:
        world.apply(Op(op="add", record=new))
    else:
        target = rng.choice(active)
        world.apply({
            "update": Op(op="update", target=target, patch={"text": text}),
            "session": Op(op="update", target=target, patch={"attrs": dict(new.attrs), "observed_at": new.observed_at}),
            "supersede": Op(op="supersede", target=target, record=new),
            "retract": Op(op="retract", target=target),
            "hide": Op(op="update", target=target, patch={"status": "quarantined"}),
            "show": Op(op="stat", target=target, patch={"uses": 1}),
            "stat": Op(op="stat", target=target, patch={"uses": 1}),
            "delete": Op(op="delete", target=target),
        }[what])  # fmt: skip


def answers(world: World, search: RecordSearch, text: str) -> list[Any]:
    """What the search says of a text, in every way it can be asked."""
    bound = ANA.model_copy(update={"session": "s1"})
    ways = [world.find(text, scope, search, k=k, per_speaker=each) for scope in (ANA, bound) for k in (2, 50) for each in (False, True)]
    return [
        *([(hit.item, hit.score) for hit in found.hits] for found in ways),
        *(found.confidence for found in ways),
        world.similar(text, search, k=50),
    ]


@given(seed=st.integers(0, 2**32), text=questions())
def test_after_any_history_it_says_what_a_new_one_says(seed: int, text: str) -> None:
    rng, world = random.Random(seed), World()
    try:
        for number in range(rng.randint(1, 25)):
            try:
                step(world, rng, number)
            except (OpRefused, NotFoundError):
                continue
            if rng.random() < 0.05:
                world.ledger.forget(ANA, [rng.choice(world.events).id])
                world.events = world.view().events([event.id for event in world.events])
                if not world.events:
                    break
            if rng.random() < 0.6:
                assert answers(world, world.search, text) == answers(world, fresh(), text)
        assert answers(world, world.search, text) == answers(world, fresh(), text)
    finally:
        world.ledger.close()


@given(seed=st.integers(0, 2**32))
def test_a_dense_computation_gives_the_same_similarities(seed: int) -> None:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(0, 6))) for _ in range(rng.randint(1, 12))]
    index = RecordIndex()
    index.take([record(f"r{number}", "e", text=text) for number, text in enumerate(texts)])
    assert index.index(None)
    asked = " ".join(rng.choices((*WORDS, "unheard"), k=rng.randint(1, 4)))
    bags = [set(read_question(text).terms.tolist()) for text in texts]

    def idf2(term: int) -> float:
        holding = sum(term in bag for bag in bags)
        return math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5)) ** 2

    want = set(read_question(asked).terms.tolist())
    for bag, got in zip(bags, index.similarities(asked).tolist(), strict=True):
        product = sum(map(idf2, bag)) * sum(map(idf2, want))
        assert got == pytest.approx(sum(map(idf2, bag & want)) / product**0.5 if product else 0.0)
        assert 0 <= got <= 1


def test_many_changes_do_not_pile_up(world: World) -> None:
    world.add("r1", "the bicycle is green")
    sizes = []
    for number in range(200):
        world.apply(Op(op="update", target="r1", patch={"text": f"the bicycle is number {number}"}))
        assert world.ids(f"number {number}") == ["r1"]
        sizes.append(world.search.nbytes())
    assert max(sizes[100:]) <= max(sizes[:100])


# --------------------------------------------------------------------------------------- transactions, deadlines, memory, threads


def test_inside_a_transaction_its_own_changes_are_counted_at_its_end(world: World) -> None:
    world.add("r1", "the bicycle is green")
    assert world.ids("bicycle") == ["r1"]
    with world.ledger.transaction(ANA) as tx:
        tx.apply([Op(op="add", record=world.fact("r2", "a blue bicycle")), Op(op="retract", target="r1")])
        assert [hit.item.id for hit in find(world.search, tx.view, "bicycle").hits] == []
    assert world.ids("bicycle") == ["r2"]


def test_what_a_failed_transaction_showed_is_never_returned(world: World) -> None:
    world.add("r1", "the bicycle is green")
    with pytest.raises(OpRefused), world.ledger.transaction(ANA) as tx:
        tx.apply([Op(op="add", record=world.fact("ghost", "a blue bicycle"))])
        assert {hit.item.id for hit in find(world.search, tx.view, "bicycle").hits} == {"ghost", "r1"}
        tx.apply([Op(op="delete", target="nothing")])
    assert world.ids("bicycle") == ["r1"]
    assert [near.record.id for near in world.similar("bicycle")] == ["r1"]


class Ticking(FixedClock):
    """A clock on which every look takes a second."""

    def monotonic(self) -> float:
        self.advance(1)
        return super().monotonic()


def test_a_search_that_time_ran_out_on_goes_on_next_time(world: World) -> None:
    world.apply(*(Op(op="add", record=world.fact(f"r{number}", f"bicycle number {number}", number % 12)) for number in range(2_500)))
    seen: list[int] = []
    while not seen or seen[-1] < 2_500:
        found = world.find("bicycle", k=5_000, allowance=Allowance(Ticking(), seconds=0.5))
        seen.append(len(found.hits))
        assert found.partial == (seen[-1] < 2_500)
    assert seen == sorted(set(seen)) and len(seen) > 1
    assert answers(world, world.search, "bicycle 7") == answers(world, fresh(), "bicycle 7")


def test_indexes_stay_in_bounded_memory(world: World) -> None:
    for kind in ("a", "b", "c"):
        world.add(kind, "the bicycle is green", kind=kind)
    search, ample = fresh(1), fresh()
    for kind in ("a", "b", "c", "a"):
        assert world.ids("bicycle", search=search, kind=kind) == world.ids("bicycle", search=ample, kind=kind) == [kind]
        one = search.nbytes()
        assert world.ids("bicycle", search=search, kind="nothing") == [] and search.nbytes() == one > 0
    assert 2 * one < ample.nbytes() <= 4 * one


def test_several_threads_may_search_while_another_writes(tmp_path: Any) -> None:
    search = fresh()
    ended: list[bool] = []
    with SqliteLedger(tmp_path / "store.db", clock=FixedClock()) as ledger:
        with ledger.transaction(ANA) as tx:
            source = tx.append([draft("said")])[0].event.id
        done = threading.Event()

        def read() -> None:
            try:
                while not done.is_set():
                    hits = find(search, ledger.view(ANA), "bicycle", k=100).hits
                    near = search.similar("bicycle", ledger.view(ANA), kind="fact", k=100, at_least=0.0)
                    assert all("bicycle" in one.item.text for one in hits) and all("bicycle" in one.record.text for one in near)
            finally:
                ended.append(done.is_set())  # a reader that failed ends before that

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(40):
            with ledger.transaction(ANA) as tx:
                tx.apply([Op(op="add", record=record(f"r{number}", source, text=f"bicycle {number}"))])
        done.set()
        for reader in readers:
            reader.join()
        assert ended == [True] * 3
        assert len(find(search, ledger.view(ANA), "bicycle", k=100).hits) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_its_own(tmp_path: Any) -> None:
    search = fresh()
    with SqliteLedger(tmp_path / "store.db", clock=FixedClock()) as ledger:
        with ledger.transaction(ANA) as tx:
            source = tx.append([draft("said")])[0].event.id
            tx.apply([Op(op="add", record=record("r1", source, text="bicycle"))])
        with search._shelf.take((ANA.partition, "fact"), None), search._shelf._room._lock:
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # a child that waits for ever is killed, and its parent says so
                os._exit(0 if len(find(search, ledger.view(ANA), "bicycle").hits) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
