"""The ledger contract, part 2: the rules of ops, undo and history."""

from __future__ import annotations

from typing import Any

from tierkeep.errors import InputError, NotFoundError, OpRefused
from tierkeep.records import Authority, Op, Origin, Scope
from tierkeep.testing.ledger_under_test import ANA, BOB, LedgerUnderTest, draft, record, refused, snapshot, state

__all__ = ["RecordContract"]


class RecordContract(LedgerUnderTest):
    """What a ledger does with ops, undo and history."""

    # --------------------------------------------------------------------------------------------- records

    def test_an_added_record_gets_its_roots(self) -> None:
        """Roots are the events behind it, through records, each once."""
        a, b, c = (event.id for event in self._append("a", "b", "c"))
        self._add("r1", a, b)
        self._add("r2", "r1", c, a, roots=("forged",), attrs={"n": 1}, links=(("extends", "r1", 0.5),), stats={"uses": 1})
        got = self._get("r2")
        assert (got.sources, got.roots, got.version, got.status) == (("r1", c, a), (a, b, c), 1, "active")
        assert (dict(got.attrs), got.links, dict(got.stats)) == ({"n": 1}, (("extends", "r1", 0.5),), {"uses": 1.0})
        assert [r.id for r in self.ledger.view(ANA).records()] == ["r1", "r2"]
        self._sound()

    def test_records_are_found_by_kind_key_status_and_source(self) -> None:
        """Filters narrow; without a status only what is active is shown."""
        a, b = (event.id for event in self._append("a", "b"))
        self._add("r1", a, kind="profile", key="home")
        self._add("r2", a, b, kind="profile", key="pet")
        self._add("r3", b, kind="fact", key="home")
        self._apply(Op(op="retract", target="r2"))
        view = self.ledger.view(ANA)

        def ids(**filters: Any) -> list[str]:
            return [found.id for found in view.records(**filters)]

        assert ids() == ["r1", "r3"]
        assert ids(status=None) == ["r1", "r2", "r3"]
        assert ids(status="retracted") == ["r2"]
        assert ids(kind="profile", status=None) == ["r1", "r2"]
        assert ids(key="home") == ["r1", "r3"]
        assert ids(kind="fact", key="home") == ["r3"]
        assert ids(source=b, status=None) == ["r2", "r3"]
        assert ids(source="nothing") == ids(kind="%") == ids(limit=0) == []
        assert ids(status=None, limit=2) == ["r1", "r2"]
        assert ids(prefix="ho", limit=1) == ["r1"]
        assert [found.id for found in view.get(["r3", "no", "r2"])] == ["r3", "r2"]

    def test_supersede_keeps_the_old_value(self) -> None:
        """The old record ends where the new one begins, and is linked from it."""
        a, b = (event.id for event in self._append("a", "b"))
        self._add("old", a)
        touched = self._apply(Op(op="supersede", target="old", record=record("new", b, valid_from="2026-06-01"), why="moved"))
        assert touched == ["old", "new"]
        old, new = self._get("old"), self._get("new")
        assert (old.status, old.valid_to, old.text, old.version) == ("superseded", "2026-06-01", "text of old", 2)
        assert (new.status, new.links) == ("active", (("supersedes", "old", 1.0),))
        self._apply(Op(op="supersede", target="new", record=record("newer", b, observed_at="2026-07-01")))
        assert self._get("new").valid_to == "2026-07-01"
        assert [found.id for found in self.ledger.view(ANA).records()] == ["newer"]
        self._sound()

    def test_updates_change_what_may_be_changed(self) -> None:
        """Patches by field, statistics by counter, links by relation and far end."""
        a, b = (event.id for event in self._append("a", "b"))
        self._add("r", a, stats={"uses": 1})
        self._add("other", b)
        patch = {"text": "t", "key": "k", "attrs": {"x": [1]}, "valid_from": "2026", "valid_to": "2027", "observed_at": "2026-01-01"}
        self._apply(Op(op="update", target="r", patch={**patch, "sources": [a, b], "stats": {"uses": 2}}))
        got = self._get("r")
        assert (got.text, got.key, dict(got.attrs), got.valid_from, got.valid_to) == ("t", "k", {"x": [1]}, "2026", "2027")
        assert (got.sources, got.roots, dict(got.stats), got.version) == ((a, b), (a, b), {"uses": 2.0}, 2)
        self._apply(Op(op="stat", target="r", patch={"wins": 0.5}))
        assert dict(self._get("r").stats) == {"uses": 2.0, "wins": 0.5}
        for weight in (1.0, 0.25):
            self._apply(Op(op="link", target="r", relation="extends", patch={"to": "other", "weight": weight}))
        assert self._get("r").links == (("extends", "other", 0.25),)
        self._apply(Op(op="update", target="r", patch={"status": "quarantined"}))
        assert self.ledger.view(ANA).records(status="quarantined")[0].id == "r"
        self._apply(Op(op="update", target="r", patch={"status": "active"}))
        self._apply(Op(op="retract", target="r", why="it was a joke"))
        assert self._get("r").status == "retracted"
        self._apply(Op(op="delete", target="other"))
        assert self.ledger.view(ANA).get(["other"]) == []
        self._sound()

    def test_authority_only_falls(self) -> None:
        """A weaker source lowers the record; nothing raises it."""
        a = self._append("a")[0].id
        web = self._append("b", origin=Origin.web("http://x.example"), authority=Authority.DATA)[0].id
        self._add("r", a)
        self._apply(Op(op="update", target="r", patch={"sources": [web]}))
        got = self._get("r")
        assert (got.sources, got.authority, got.origin.uri) == ((a, web), Authority.DATA, "http://x.example")
        with refused(OpRefused):
            self._add("up", "r")
        with refused(OpRefused):
            self._apply(Op(op="update", target="r", patch={"authority": Authority.ACT}))

    def test_every_broken_rule_refuses_the_whole_batch(self) -> None:
        """The state is the same to the byte after each refusal."""
        a, b = (event.id for event in self._append("a", "b"))
        foreign = self._append("c", scope=BOB)[0].id
        self._add("r", a)
        self._add("child", "r")
        self._add("done", b)
        self._apply(Op(op="retract", target="done"))
        broken = [
            Op(op="add"),
            Op(op="add", record=record("x", "nothing")),
            Op(op="add", record=record("x", foreign)),
            Op(op="add", record=record("r", a)),
            Op(op="add", record=record(a, a)),
            Op(op="add", record=record("", a)),
            Op(op="add", record=record("x", a, scope=BOB)),
            Op(op="add", record=record("x", a, authority=Authority.ACT)),
            Op(op="add", record=record("x", a, text="\ud800")),
            Op(op="add", record=record("x", a, key="\0")),
            Op(op="add", record=record("x", a, attrs={"bad": object()})),
            Op(op="add", record=record("x", a, stats={"bad": float("nan")})),
            Op(op="update", patch={"text": "x"}),
            Op(op="update", target="nothing", patch={"text": "x"}),
            Op(op="update", target="r", patch={"kind": "other"}),
            Op(op="update", target="r", patch={"roots": []}),
            Op(op="update", target="r", patch={"text": 5}),
            Op(op="update", target="r", patch={"sources": ["nothing"]}),
            Op(op="update", target="r", patch={"sources": "child"}),
            Op(op="update", target="r", patch={"sources": ["child"]}),
            Op(op="update", target="r", patch={"status": "superseded"}),
            Op(op="update", target="done", patch={"status": "active"}),
            Op(op="update", target="r", patch={"stats": {"a": "many"}}),
            Op(op="stat", target="r", patch={"a": "many"}),
            Op(op="supersede", target="done", record=record("x", a)),
            Op(op="supersede", target="nothing", record=record("x", a)),
            Op(op="supersede", target="r"),
            Op(op="retract", target="done"),
            Op(op="retract", target="r", patch={"text": "x"}),
            Op(op="delete", target="nothing"),
            Op(op="delete", target="r"),
            Op(op="link", target="r", relation="extends"),
            Op(op="link", target="r", relation="", patch={"to": "child"}),
            Op(op="link", target="r", relation="extends", patch={"to": "nothing"}),
        ]
        before = snapshot(self.ledger, ANA)
        for op in broken:
            with refused(OpRefused, InputError):
                self._apply(Op(op="add", record=record("fine", a)), op)
            assert snapshot(self.ledger, ANA) == before, op
        with self.ledger.transaction(ANA) as tx:
            tx.append([draft("kept")])
            with refused(OpRefused):
                tx.apply([Op(op="add", record=record("fine", a)), broken[0]])
            tx.apply([Op(op="add", record=record("good", b))])
        assert [found.id for found in self.ledger.view(ANA).records()] == ["r", "child", "good"]
        self._sound()


    # ------------------------------------------------------------------------------------ undo and history

    def test_undo_restores_exactly_what_was(self) -> None:
        """Batch by batch, in order, content, versions and places in the order of creation included."""
        a, b = (event.id for event in self._append("a", "b"))
        batches = [
            [Op(op="add", record=record(f"r{i}", a)) for i in range(3)],
            [Op(op="delete", target="r1"), Op(op="update", target="r0", patch={"text": "new", "sources": [b]})],
            [Op(op="supersede", target="r2", record=record("r9", b)), Op(op="stat", target="r9", patch={"n": 1})],
            [Op(op="add", record=record("r1", b)), Op(op="retract", target="r1"), Op(op="delete", target="r1")],
        ]
        states = []
        for ops in batches:
            states.append(state(self.ledger, ANA))
            self._apply(*ops)
        self._append("events are not undone", session="later")
        kept = state(self.ledger, ANA)[2]
        for expected in reversed(states):
            assert self.ledger.undo(ANA)
            assert [row for row in state(self.ledger, ANA) if row != kept] == expected
            self._sound()
        with refused(NotFoundError):
            self.ledger.undo(ANA)
        with refused(NotFoundError):
            self.ledger.undo(BOB)

    def test_a_transaction_is_one_batch(self) -> None:
        """Several applies in one transaction are undone together, and an undo is followed by new batches."""
        a = self._append("a")[0].id
        with self.ledger.transaction(ANA) as tx:
            tx.apply([Op(op="add", record=record("r1", a))])
            tx.apply([Op(op="add", record=record("r2", a))])
        assert self.ledger.undo(ANA) == ["r1", "r2"]
        self._add("r3", a)
        assert self.ledger.undo(ANA) == ["r3"]
        with refused(NotFoundError):
            self.ledger.undo(ANA)

    def test_history_tells_every_step(self) -> None:
        """Who did what to it and why, with the record before and after, undo included."""
        a = self._append("a")[0].id
        self._apply(Op(op="add", record=record("r", a), why="said so", by="extractor"))
        self._apply(Op(op="update", target="r", patch={"text": "two"}))
        self.ledger.undo(ANA)
        steps = self.ledger.history(ANA, "r")
        assert [step.op for step in steps] == ["add", "update", "undo"]
        assert (steps[0].why, steps[0].by, steps[0].before) == ("said so", "extractor", None)
        assert [step.after.text for step in steps if step.after] == ["text of r", "two", "text of r"]
        assert steps[1].before == steps[0].after == steps[2].after
        assert [step.tx for step in steps] == sorted({step.tx for step in steps})
        assert all(step.at for step in steps)
        for scope, id_ in ((ANA, "nothing"), (BOB, "r"), (ANA, "")):
            with refused(NotFoundError):
                self.ledger.history(scope, id_)

    # ---------------------------------------------------------------------------------- changes and cursors

    def test_changes_name_what_newer_batches_touched(self) -> None:
        """Each id once, in the order of first touch; both records of a supersede; nothing when nothing is newer."""
        a, b = (event.id for event in self._append("a", "b"))
        view = self.ledger.view(ANA)
        assert view.changes() == (0, [])
        self._apply(*(Op(op="add", record=record(id_, a)) for id_ in ("r1", "r2", "r3")))
        first, ids = view.changes()
        assert first > 0 and ids == ["r1", "r2", "r3"]
        assert view.changes(first) == (first, [])
        self._apply(Op(op="update", target="r2", patch={"text": "new"}), Op(op="stat", target="r2", patch={"n": 1}))
        self._apply(Op(op="supersede", target="r1", record=record("r4", b)), Op(op="retract", target="r2"))
        second, ids = view.changes(first)
        assert second > first and ids == ["r2", "r1", "r4"]
        assert view.changes() == (second, ["r1", "r2", "r3", "r4"])
        self._append("events change no record")
        assert view.changes(second) == (second, [])
        assert view.changes(second + 1000) == (second + 1000, [])

    def test_changes_belong_to_one_scope(self) -> None:
        """What another owner does is not seen, though batches are numbered over all of them."""
        a, b = self._append("a")[0].id, self._append("b", scope=BOB)[0].id
        self._add("r1", a)
        newest, _ = self.ledger.view(ANA).changes()
        self._apply(Op(op="add", record=record("r2", b, scope=BOB)), scope=BOB)
        assert self.ledger.view(ANA).changes() == (newest, ["r1"])
        others, ids = self.ledger.view(BOB).changes()
        assert others > newest and ids == ["r2"]
        assert self.ledger.view(Scope(user="nobody")).changes() == (0, [])

    def test_changes_follow_undo_and_leave_out_what_was_not_committed(self) -> None:
        """Undo is a batch; a transaction's own ops have none before it ends, and never one when it fails."""
        a = self._append("a")[0].id
        view = self.ledger.view(ANA)
        self._add("r1", a)
        first, _ = view.changes()
        with self.ledger.transaction(ANA) as tx:
            tx.apply([Op(op="add", record=record("r2", a))])
            assert tx.view.changes(first) == view.changes(first) == (first, [])
        second, ids = view.changes(first)
        assert ids == ["r2"]
        with refused(OpRefused), self.ledger.transaction(ANA) as tx:
            tx.apply([Op(op="add", record=record("r3", a))])
            tx.apply([Op(op="add", record=record("r1", a))])
        assert view.changes(second) == (second, [])
        generation = view.generation
        self.ledger.undo(ANA)
        third, ids = view.changes(second)
        assert third > second and ids == ["r2"] and view.get(ids) == [] and view.generation != generation

    def test_what_is_gone_changes_the_generation(self) -> None:
        """A delete, a forget: what an index holds may have gone. An add, an update and a retraction leave it as it is."""
        a, b = (event.id for event in self._append("a", "b"))
        view = self.ledger.view(ANA)
        start = view.generation
        self._add("r1", a)
        self._add("r2", b)
        self._apply(Op(op="update", target="r1", patch={"text": "new"}), Op(op="retract", target="r1"))
        assert view.generation == start
        self._apply(Op(op="delete", target="r1"))
        deleted = view.generation
        assert deleted != start
        self.ledger.forget(ANA, [b])
        assert view.generation not in (start, deleted) and view.records(status=None) == []

    def test_a_view_shows_the_cursors_that_were_committed(self) -> None:
        """A view's cursor is the transaction's once that is over, by name and by scope; a failed one leaves it."""
        seq = self._append("a")[0].seq
        view = self.ledger.view(ANA)
        assert view.cursor("deriver") == 0
        with self.ledger.transaction(ANA) as tx:
            tx.advance("deriver", seq)
            assert tx.view.cursor("deriver") == tx.cursor("deriver") == seq
        assert view.cursor("deriver") == seq
        with refused(OpRefused), self.ledger.transaction(ANA) as tx:
            tx.advance("deriver", seq + 7)
            tx.apply([Op(op="delete", target="nothing")])
        with self.ledger.transaction(ANA) as tx:
            assert tx.cursor("deriver") == view.cursor("deriver") == seq
        assert view.cursor("other") == self.ledger.view(BOB).cursor("deriver") == 0
