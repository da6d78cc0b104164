"""Random lives of a ledger against an oracle of plain dictionaries."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from tierkeep.errors import NotFoundError, OpRefused
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.postgres.ledger import PostgresLedger
from tierkeep.protocols import Ledger
from tierkeep.records import Authority, Op, Origin, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import term_rows
from tierkeep.testing.store import draft, record

SCOPES = (Scope(user="a"), Scope(user="b"))
WHO = st.sampled_from(SCOPES)
# Words and ids are shorter than a canary, so that the oracle need not know which words still live elsewhere.
TEXT = st.sampled_from(["x", "yy", "é", "z?"])
Image = dict[str, Any]


class Oracle:
    """One scope in the simplest form that can be right."""

    def __init__(self) -> None:
        self.events: dict[str, str] = {}
        self.records: dict[str, Image] = {}
        self.batches: list[dict[str, Any]] = []

    def roots(self, sources: list[str]) -> list[str]:
        found: dict[str, None] = {}
        for source in sources:
            found |= dict.fromkeys(self.records[source]["roots"] if source in self.records else [source])
        return list(found)

    def commit(self, before: dict[str, Image], steps: list[tuple[str, Image | None]]) -> None:
        touched = list(dict.fromkeys(id_ for id_, _ in steps))
        rows = [(id_, before.get(id_)) for id_ in touched] + steps
        self.batches.append({"before": before, "touched": touched, "rows": rows, "sealed": False})

    def forget(self, ids: set[str]) -> tuple[set[str], set[str]]:
        gone = {id_ for id_ in ids if id_ in self.events}
        dead: set[str] = set()
        tainted: set[str] = set()
        while True:
            more_dead = {id_ for id_, r in self.records.items() if id_ not in dead and set(r["sources"]) <= gone | dead}
            affected = gone | dead | more_dead | tainted
            more_tainted = {
                id_ for id_, r in self.records.items() if id_ not in dead | more_dead | tainted and affected & set(r["sources"])
            }
            if not more_dead and not more_tainted:
                break
            dead |= more_dead
            tainted = (tainted | more_tainted) - dead
        gone |= dead
        for id_ in gone & set(self.events):
            del self.events[id_]
        for id_ in dead:
            del self.records[id_]
        for id_, r in self.records.items():
            links = [link for link in r["links"] if link[1] not in gone]
            if id_ in tainted:
                r.update(text="", status="quarantined", valid_to=None)
                r["sources"] = [s for s in r["sources"] if s not in gone]
                r["roots"] = [s for s in r["roots"] if s not in gone]
            if id_ in tainted or links != r["links"]:
                r.update(links=links, version=r["version"] + 1)
        self.seal(gone, dead | tainted)
        return dead, tainted

    def seal(self, gone: set[str], hit: set[str]) -> None:
        def names(image: Image | None) -> bool:
            return image is not None and bool(gone & {*image["roots"], *image["sources"], *(link[1] for link in image["links"])})

        rows = [(batch, row) for batch in self.batches for row in batch["rows"]]
        purged = [(b, row) for b, row in rows if row[0] in hit or names(row[1])]
        vanished = {row[0] for _, row in purged} - set(self.records)
        for batch, row in rows:
            if row[0] in vanished or any(row is other for _, other in purged):
                batch["sealed"] = True


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = self.make_ledger()
        self.oracles = {scope: Oracle() for scope in SCOPES}
        self.count = 0

    def make_ledger(self) -> Ledger:
        return SqliteLedger(":memory:", clock=FixedClock())

    def teardown(self) -> None:
        report = self.ledger.verify()
        assert report.ok, report.problems
        self.ledger.close()

    def fresh(self) -> str:
        self.count += 1
        return f"{self.count:x}"

    @initialize()
    def begin(self) -> None:
        for scope in SCOPES:
            self.append(scope, ["x", "yy", "z?"], "s")

    @rule(scope=WHO, texts=st.lists(TEXT, min_size=1, max_size=3), session=st.sampled_from(["s", "t"]))
    def append(self, scope: Scope, texts: list[str], session: str) -> None:
        drafts = [draft(text, id=f"e{self.fresh()}", session=session) for text in texts]
        with self.ledger.transaction(scope) as tx:
            appended = tx.append([*drafts, drafts[0]])
        assert [a.duplicate for a in appended] == [False] * len(drafts) + [True]
        self.oracles[scope].events |= {one.id: one.text for one in drafts if one.id}

    def pick(self, data: st.DataObject, scope: Scope, least: int = 1) -> list[str]:
        oracle = self.oracles[scope]
        return data.draw(st.lists(st.sampled_from([*oracle.events, *oracle.records]), min_size=least, max_size=3, unique=True))

    @precondition(lambda self: any(oracle.events for oracle in self.oracles.values()))
    @rule(data=st.data())
    def change_again(self, data: st.DataObject) -> None:
        self.change(data, False)

    @precondition(lambda self: any(oracle.events for oracle in self.oracles.values()))
    @rule(data=st.data(), refuse=st.sampled_from([False, False, False, True]))
    def change(self, data: st.DataObject, refuse: bool) -> None:
        scope = data.draw(st.sampled_from([s for s in SCOPES if self.oracles[s].events]))
        oracle = self.oracles[scope]
        before = copy.deepcopy(oracle.records)
        ops: list[Op] = []
        steps: list[tuple[str, Image | None]] = []
        for _ in range(data.draw(st.integers(1, 3))):
            op, ids = self.draw_op(data, scope)
            ops.append(op)
            steps += [(id_, copy.deepcopy(oracle.records.get(id_))) for id_ in ids]
        if refuse:
            ops.append(Op(op="add", record=record("bad", "nothing", scope=scope)))
        try:
            with self.ledger.transaction(scope) as tx:
                assert tx.apply(ops) == list(dict.fromkeys(id_ for id_, _ in steps))
        except OpRefused:
            assert refuse
            oracle.records = before
        else:
            assert not refuse
            oracle.commit(before, steps)

    def draw_op(self, data: st.DataObject, scope: Scope) -> tuple[Op, list[str]]:
        """An op that must succeed, applied to the oracle already."""
        oracle = self.oracles[scope]
        active = [id_ for id_, r in oracle.records.items() if r["status"] == "active"]
        kinds = ["add"] + (["update", "stat"] if oracle.records else []) + (["supersede", "retract"] if active else [])
        free = [id_ for id_ in oracle.records if not any(id_ in r["sources"] for r in oracle.records.values())]
        kind = data.draw(st.sampled_from(kinds + (["delete"] if free else [])))
        if kind == "add":
            new = self.new_record(data, scope, [])
            return Op(op="add", record=record(new["id"], *new["sources"], scope=scope, text=new["text"])), [new["id"]]
        if kind == "delete":
            id_ = data.draw(st.sampled_from(free))
            del oracle.records[id_]
            return Op(op="delete", target=id_), [id_]
        id_ = data.draw(st.sampled_from(active if kind in ("supersede", "retract") else list(oracle.records)))
        target = oracle.records[id_]
        target["version"] += 1
        if kind == "supersede":
            target.update(status="superseded", valid_to="2026-05-02")
            new = self.new_record(data, scope, [["supersedes", id_, 1.0]])
            draft_record = record(new["id"], *new["sources"], scope=scope, text=new["text"])
            return Op(op="supersede", target=id_, record=draft_record), [id_, new["id"]]
        if kind == "retract":
            target["status"] = "retracted"
            return Op(op="retract", target=id_), [id_]
        if kind == "stat":
            return Op(op="stat", target=id_, patch={"n": self.count}), [id_]
        added = [data.draw(st.sampled_from(list(oracle.events)))]
        target["text"] = data.draw(TEXT)
        target["roots"] += [root for root in added if root not in target["roots"]]
        target["sources"] += [source for source in added if source not in target["sources"]]
        return Op(op="update", target=id_, patch={"text": target["text"], "sources": added}), [id_]

    def new_record(self, data: st.DataObject, scope: Scope, links: list[Any]) -> Image:
        oracle = self.oracles[scope]
        sources = self.pick(data, scope)
        id_ = f"r{self.fresh()}"
        new = {"id": id_, "text": data.draw(TEXT), "sources": sources, "roots": oracle.roots(sources), "status": "active"}
        oracle.records[id_] = {**new, "links": links, "version": 1, "valid_to": None}
        return new

    @precondition(lambda self: any(oracle.batches for oracle in self.oracles.values()))
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        scope = data.draw(st.sampled_from([s for s in SCOPES if self.oracles[s].batches]))
        oracle = self.oracles[scope]
        if oracle.batches[-1]["sealed"]:
            try:
                self.ledger.undo(scope)
            except NotFoundError:
                return
            raise AssertionError("an undo that must be refused was done")
        batch = oracle.batches.pop()
        touched = batch["touched"]
        assert self.ledger.undo(scope) == touched
        kept = {id_: r for id_, r in oracle.records.items() if id_ not in touched}
        order = list(batch["before"])
        oracle.records = kept | {id_: batch["before"][id_] for id_ in touched if id_ in batch["before"]}
        oracle.records = {id_: oracle.records[id_] for id_ in order if id_ in oracle.records}

    @rule(data=st.data(), scope=WHO)
    def forget(self, data: st.DataObject, scope: Scope) -> None:
        oracle = self.oracles[scope]
        ids = data.draw(st.lists(st.sampled_from(list(oracle.events)), max_size=2, unique=True)) if oracle.events else []
        count = len(ids)
        dead, tainted = oracle.forget(set(ids))
        report, rederive = self.ledger.forget(scope, [*ids, "nothing"])
        assert (report.events, report.records, report.complete) == (count, len(dead), True), report
        assert {r.id for r in rederive} == tainted

    @rule(scope=WHO)
    def export_and_restore(self, scope: Scope) -> None:
        rows = [json.loads(json.dumps(row)) for row in self.ledger.export(scope)]
        with SqliteLedger(":memory:", clock=FixedClock()) as other:
            other.restore(SCOPES[0], rows)
            assert list(other.export(SCOPES[0])) == rows
            assert other.verify().ok

    @invariant()
    def same(self) -> None:
        for scope, oracle in self.oracles.items():
            view = self.ledger.view(scope)
            assert {event.id: event.text for event in view.scan()} == oracle.events
            assert [row.seq for row in term_rows(view)] == [event.seq for event in view.scan()]
            found = view.records(status=None)
            assert [r.id for r in found] == list(oracle.records)
            for r in found:
                image = oracle.records[r.id]
                links = [list(link) for link in r.links]
                got = {"text": r.text, "sources": list(r.sources), "roots": list(r.roots), "status": r.status, "links": links}
                assert {"id": r.id, **got, "version": r.version, "valid_to": r.valid_to} == image
                assert r.authority == Authority.ADVISE and r.origin == Origin.user("ana")


def lives(count: int, steps: int) -> settings:
    return settings(max_examples=count, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck))


LedgerMachine.TestCase.settings = lives(50, 30)
TestLedgerMachine = LedgerMachine.TestCase


def test_random_lives_in_postgresql(postgres: Any) -> None:
    class PostgresMachine(LedgerMachine):
        def make_ledger(self) -> Ledger:
            return PostgresLedger(postgres.fresh(), clock=FixedClock())

    run_state_machine_as_test(PostgresMachine, settings=lives(6, 20))  # few: each life has a store of its own, which takes a while
