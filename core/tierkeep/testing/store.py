"""The conformance suite of ledgers: one class, one method to override, and a new store is proved.

    class TestMyLedger(LedgerContract):
        def make_ledger(self) -> Ledger:
            return MyLedger(...)

Run it with pytest. A store that outlives its object also overrides `reopen`.
"""

from __future__ import annotations

import json
import threading
import unittest
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import Any, ClassVar

import numpy as np

from tierkeep.errors import (
    ImportFormatError,
    InputError,
    NotFoundError,
    OpRefused,
    StorageError,
    TierkeepError,
)
from tierkeep.protocols import Ledger
from tierkeep.records import Authority, Event, EventDraft, Op, Origin, Record, Scope
from tierkeep.terms import term_ids

__all__ = ["LedgerContract", "draft", "record", "snapshot"]

ANA = Scope(user="ana")
BOB = Scope(user="bob")


def draft(text: str, *, session: str = "s1", **fields: Any) -> EventDraft:
    """Return a user's message as an event draft; `fields` override."""
    given: dict[str, Any] = {
        "session": session,
        "role": "user",
        "speaker": "Ana",
        "text": text,
        "at": "2026-05-02T10:00:00+01:00",
        "ts": 1777712400.0,
        "origin": Origin.user("ana"),
        "authority": Authority.ADVISE,
    }
    return EventDraft(**{**given, **fields})


def record(id_: str, *sources: str, scope: Scope = ANA, **fields: Any) -> Record:
    """Return a fact as a draft record; `fields` override."""
    given: dict[str, Any] = {"kind": "fact", "text": f"text of {id_}", "key": f"key of {id_}"}
    given |= {"origin": Origin.user("ana"), "authority": Authority.ADVISE, "observed_at": "2026-05-02"}
    return Record(id=id_, scope=scope, sources=sources, **{**given, **fields})


def snapshot(ledger: Ledger, scope: Scope) -> str:
    """Return everything the scope holds as one text: equal texts are equal states."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in ledger.export(scope))


def _state(ledger: Ledger, scope: Scope) -> list[dict[str, Any]]:
    """Events and records as they stand, without their history."""
    return [dict(row) for row in ledger.export(scope) if "event" in row or "record" in row]


@contextmanager
def refused(*errors: type[TierkeepError]) -> Iterator[None]:
    """Context whose body must raise one of these typed errors."""
    try:
        yield
    except errors as error:
        assert str(error), "an error says what happened"
    else:
        raise AssertionError(f"nothing was raised, expected {errors}")


class LedgerContract:
    """What every ledger must do. Override `make_ledger`; pytest runs the rest.

    Attributes:
        threads: How many threads write at once in the concurrency tests.
    """

    threads: ClassVar[int] = 4

    def make_ledger(self) -> Ledger:
        """Return an empty ledger. It is closed after the test."""
        raise unittest.SkipTest("LedgerContract itself has no ledger: subclass it")

    def reopen(self) -> Ledger:
        """Return a second ledger on the store of the last `make_ledger`, as another process would open it."""
        raise unittest.SkipTest("this store lives and dies with its object")

    def setup_method(self) -> None:
        """Open a ledger for each test."""
        self.ledger = self.make_ledger()

    def teardown_method(self) -> None:
        """Close it; it must then still be sound."""
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.ledger.close()

    def _append(self, *texts: str, scope: Scope = ANA, **fields: Any) -> list[Event]:
        with self.ledger.transaction(scope) as tx:
            return [appended.event for appended in tx.append([draft(text, **fields) for text in texts])]

    def _apply(self, *ops: Op, scope: Scope = ANA) -> list[str]:
        with self.ledger.transaction(scope) as tx:
            return tx.apply(list(ops))

    def _add(self, id_: str, *sources: str, **fields: Any) -> None:
        self._apply(Op(op="add", record=record(id_, *sources, **fields)))

    def _get(self, id_: str, scope: Scope = ANA) -> Record:
        return self.ledger.view(scope).get([id_])[0]

    def _sound(self) -> None:
        report = self.ledger.verify()
        assert report.ok, report.problems

    # -------------------------------------------------------------------------------------------------- events

    def test_an_empty_scope_reads_as_empty(self) -> None:
        """A scope nobody wrote to has nothing, and reading it creates nothing."""
        view = self.ledger.view(ANA)
        assert view.scope == ANA
        assert (view.last_seq, view.sessions(), view.records(status=None)) == (0, [], [])
        assert (list(view.scan()), list(view.term_rows()), view.events(["x"]), view.events_at([1])) == ([], [], [], [])
        assert view.get([]) == view.events([]) == view.events_at([]) == []
        assert self.ledger.stats()["scopes"] == 0
        self._sound()

    def test_an_appended_event_reads_back_as_it_was_given(self) -> None:
        """Every field survives, whatever the text is made of."""
        texts = ["I moved to Lisbon", "", "a\r\n\tb", "日本語 \U0001f600 é e\u0301", "x" * 200_000, "'; DROP TABLE events; --"]
        meta = {"k": [1, 2.5, None, True, {"é": "\u2028"}], "empty": {}}
        with self.ledger.transaction(ANA) as tx:
            appended = tx.append([draft(text, meta=meta, speaker="Zoë", kind="tool_result", role="tool") for text in texts])
            assert tx.view.events([a.event.id for a in appended]) == [a.event for a in appended]
        events = list(self.ledger.view(ANA).scan())
        assert [a.event for a in appended] == events
        assert [event.text for event in events] == texts
        first = events[0]
        assert (first.speaker, first.kind, first.role, dict(first.meta)) == ("Zoë", "tool_result", "tool", meta)
        assert (first.origin, first.authority, first.at) == (Origin.user("ana"), Authority.ADVISE, "2026-05-02T10:00:00+01:00")
        assert first.scope == Scope(user="ana", session="s1")
        assert not any(a.duplicate for a in appended)
        self._sound()

    def test_positions_count_per_session_and_seq_grows(self) -> None:
        """Sessions interleave; each counts its own events from 0."""
        with self.ledger.transaction(ANA) as tx:
            got = [a.event for a in tx.append([draft(str(i), session=s) for i, s in enumerate(["a", "b", "a", "", "b"])])]
        assert [event.position for event in got] == [0, 0, 1, 0, 1]
        assert [event.seq for event in got] == sorted({event.seq for event in got})
        assert self._append("later", session="a")[0].position == 2
        assert self.ledger.view(ANA).sessions() == [("a", 3), ("b", 2), ("", 1)]
        assert self.ledger.view(ANA).last_seq == max(event.seq for event in self.ledger.view(ANA).scan())

    def test_reading_orders_and_limits(self) -> None:
        """Ids and places come back in the order asked for; scans respect start, session and limit."""
        events = self._append(*[str(i) for i in range(1100)]) + self._append("x", "y", session="other")
        view = self.ledger.view(ANA)
        assert view.events([events[5].id, "nothing", events[2].id]) == [events[5], events[2]]
        assert view.events_at([events[9].seq, 10**9, events[0].seq]) == [events[9], events[0]]
        assert list(view.scan()) == events
        assert list(view.scan(after_seq=events[1000].seq)) == events[1001:]
        assert list(view.scan(session="other")) == events[-2:]
        assert list(view.scan(session="s1", after_seq=events[10].seq, limit=600)) == events[11:611]
        assert list(view.scan(limit=0)) == list(view.scan(session="nothing")) == []

    def test_an_id_is_stored_once(self) -> None:
        """The application's own id makes a second delivery harmless, inside a batch and across them."""
        with self.ledger.transaction(ANA) as tx:
            got = tx.append([draft("one", id="m1"), draft("again", id="m1"), draft("two")])
        assert [a.duplicate for a in got] == [False, True, False]
        assert got[1].event == got[0].event
        assert [a.event.position for a in got] == [0, 0, 1]
        with self.ledger.transaction(ANA) as tx:
            again = tx.append([draft("third delivery", id="m1", session="elsewhere")])
        assert again[0].duplicate and again[0].event == got[0].event
        assert [event.text for event in self.ledger.view(ANA).scan()] == ["one", "two"]
        self._sound()

    def test_derived_ids_are_deterministic_and_distinct(self) -> None:
        """The same conversation gives the same ids; the same words said twice are two events."""
        ids = [event.id for event in self._append("hello", "hello", "bye")]
        assert len(set(ids)) == 3
        assert all(len(id_) == 26 and id_.isascii() and id_.isalnum() for id_ in ids)
        assert ids != [event.id for event in self._append("hello", "hello", "bye", scope=BOB)]
        self.ledger.close()
        self.ledger = self.make_ledger()
        assert [event.id for event in self._append("hello", "hello", "bye")] == ids

    def test_a_given_id_that_equals_a_derived_one_is_a_duplicate(self) -> None:
        """Nobody can make two events share an id by guessing one."""
        first, second = (event.id for event in self._append("a", "b"))
        with self.ledger.transaction(BOB) as tx:
            foreign = tx.append([draft("x", id=first)])[0]
        assert not foreign.duplicate
        derived = self._append("a", "b", scope=Scope(user="c"))
        other = Scope(user="d")
        with self.ledger.transaction(Scope(user="c")) as tx:
            assert [a.duplicate for a in tx.append([draft("z", id=derived[1].id)])] == [True]
        assert second not in {event.id for event in self.ledger.view(other).scan()}
        self._sound()

    def test_what_cannot_be_stored_is_refused_whole(self) -> None:
        """A bad text, value or id is a typed error, and nothing of its batch is kept."""
        bad = [
            draft("half \ud800 of a pair"),
            draft("nul \0 inside"),
            draft("x", speaker="\udfff"),
            draft("x", session="a\0b"),
            draft("x", id=""),
            draft("x", ts=float("nan")),
            draft("x", ts=float("inf")),
            draft("x", meta={"a": float("nan")}),
            draft("x", meta={"a": {1, 2}}),
            draft("x", meta={"a": "\ud800"}),
        ]
        self._append("kept")
        before = snapshot(self.ledger, ANA)
        for one in bad:
            with refused(InputError), self.ledger.transaction(ANA) as tx:
                tx.append([draft("good"), one])
            assert snapshot(self.ledger, ANA) == before
        for name in ("\ud800", "a\0b"):
            with refused(InputError), self.ledger.transaction(Scope(user=name)) as tx:
                tx.append([draft("x")])
        assert self.ledger.stats()["scopes"] == 1
        self._sound()

    def test_a_refused_append_leaves_the_rest_of_its_transaction(self) -> None:
        """Catching the error inside the block keeps what was done before and after it."""
        with self.ledger.transaction(ANA) as tx:
            tx.append([draft("before")])
            with refused(InputError):
                tx.append([draft("lost"), draft("\ud800")])
            tx.append([draft("after")])
        assert [event.text for event in self.ledger.view(ANA).scan()] == ["before", "after"]
        self._sound()

    def test_an_exception_takes_the_whole_transaction_back(self) -> None:
        """Events, records and cursors alike."""
        self._append("kept")
        before = snapshot(self.ledger, ANA)
        with refused(StorageError), self.ledger.transaction(ANA) as tx:
            event = tx.append([draft("gone")])[0].event
            tx.apply([Op(op="add", record=record("r", event.id))])
            tx.advance("deriver", event.seq)
            raise StorageError("the application gave up")
        assert snapshot(self.ledger, ANA) == before
        with refused(StorageError):
            tx.append([draft("too late")])
        with refused(StorageError):
            tx.cursor("deriver")
        self._sound()

    def test_term_rows_carry_what_an_index_needs(self) -> None:
        """One row per event, in order, in the transaction that stored the event."""
        texts = ["I moved to Lisbon", "Where do you live?", 'She asked: "why?"', "", "日本語"]
        events = self._append(*texts, session="s9")
        rows = list(self.ledger.view(ANA).term_rows())
        assert [row.seq for row in rows] == [event.seq for event in events]
        assert all(row.session == "s9" and row.speaker == "Ana" and row.ts == events[0].ts for row in rows)
        assert [row.length for row in rows] == [len(text) for text in texts]
        assert [row.asks for row in rows] == [False, True, True, False, False]
        for row, text in zip(rows, texts, strict=True):
            assert row.terms.dtype == np.uint32
            assert row.terms.tolist() == term_ids(text).tolist()
        assert [row.seq for row in self.ledger.view(ANA).term_rows(events[2].seq)] == [event.seq for event in events[3:]]

    def test_cursors_belong_to_a_scope_and_a_name(self) -> None:
        """A deriver finds its place again, and nobody else's."""
        with self.ledger.transaction(ANA) as tx:
            assert tx.cursor("facts") == 0
            tx.advance("facts", 5)
            assert tx.cursor("facts") == 5
            tx.advance("facts", 7)
        with self.ledger.transaction(ANA) as tx:
            assert (tx.cursor("facts"), tx.cursor("other")) == (7, 0)
        with self.ledger.transaction(BOB) as tx:
            assert tx.cursor("facts") == 0

    def test_a_thread_cannot_begin_two_transactions(self) -> None:
        """It would wait for itself for ever; it is told instead."""
        with self.ledger.transaction(ANA) as tx:
            tx.append([draft("outer")])
            with refused(StorageError), self.ledger.transaction(BOB):
                pass
        assert [event.text for event in self.ledger.view(ANA).scan()] == ["outer"]

    # ------------------------------------------------------------------------------------------------- records

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
        assert ids(source="nothing") == ids(kind="%") == []
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

    # ------------------------------------------------------------------------------------------ undo and history

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
            states.append(_state(self.ledger, ANA))
            self._apply(*ops)
        self._append("events are not undone", session="later")
        kept = _state(self.ledger, ANA)[2]
        for expected in reversed(states):
            assert self.ledger.undo(ANA)
            assert [row for row in _state(self.ledger, ANA) if row != kept] == expected
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

    # -------------------------------------------------------------------------------------------------- forget

    def test_forget_closes_over_provenance(self) -> None:
        """Records without a source left die; those that lost one are blanked, quarantined and named."""
        a, b, c = (event.id for event in self._append("alpha secretword", "beta", "gamma"))
        self._add("dead", a, text="secretword derived")
        self._add("dead2", "dead", text="secretword twice derived")
        self._add("hurt", a, b, text="secretword and beta", attrs={"of": "secretword"}, links=(("extends", "dead", 1.0),))
        self._add("hurt2", "hurt", c, text="from secretword")
        self._add("fine", b, links=(("extends", "dead2", 1.0), ("extends", "hurt", 1.0)))
        generation = self.ledger.view(ANA).generation
        report, rederive = self.ledger.forget(ANA, [a, "unknown"])
        assert (report.events, report.records, report.residue, report.complete) == (1, 2, (), True), report
        assert report.canaries > 0
        assert [found.id for found in rederive] == ["hurt", "hurt2"]
        for found in rederive:
            assert (found.text, found.key, dict(found.attrs), found.status) == ("", "", {}, "quarantined")
        assert (rederive[0].sources, rederive[0].roots, rederive[0].links) == ((b,), (b,), ())
        assert (rederive[1].sources, rederive[1].roots) == (("hurt", c), (b, c))
        view = self.ledger.view(ANA)
        assert view.get([found.id for found in rederive]) == list(rederive)
        assert view.get(["dead", "dead2"]) == [] and view.events([a]) == []
        assert self._get("fine").links == (("extends", "hurt", 1.0),)
        assert view.generation != generation
        assert self.ledger.sweep(["secretword"]) == []
        assert "secretword" not in snapshot(self.ledger, ANA)
        self._sound()
        self._apply(Op(op="update", target="hurt", patch={"text": "beta", "status": "active"}))
        self._sound()

    def test_forget_reaches_history_and_undo(self) -> None:
        """No image of a forgotten text stays in the journal, and it cannot be undone into being."""
        a, b = (event.id for event in self._append("zanzibarvoyage", "beta"))
        self._apply(Op(op="add", record=record("dead", a, text="zanzibarvoyage"), why="zanzibarvoyage"))
        self._apply(Op(op="update", target="dead", patch={"text": "zanzibarvoyage again"}))
        self._add("undone", a, text="zanzibarvoyage undone")
        self.ledger.undo(ANA)
        self._add("leak", b, text="beta")
        self._apply(Op(op="update", target="leak", patch={"text": "zanzibarvoyage without provenance"}))
        self._apply(Op(op="update", target="leak", patch={"text": "beta again"}))
        report, _ = self.ledger.forget(ANA, [a])
        assert report.complete and report.residue == (), report
        assert self.ledger.sweep(["zanzibarvoyage"]) == []
        with refused(NotFoundError):
            self.ledger.history(ANA, "dead")
        assert "zanzibarvoyage" not in str(self.ledger.history(ANA, "leak"))
        with refused(NotFoundError):
            self.ledger.undo(ANA)
        assert self._get("leak").text == "beta again"
        self._sound()
        self._add("next", b)
        assert self.ledger.undo(ANA) == ["next"]
        self._sound()

    def test_forget_leaves_other_scopes_alone(self) -> None:
        """Ids are the scope's own; the same id elsewhere is another event."""
        self._append("mine", id="m1")
        self._append("theirs", id="m1", scope=BOB)
        before = snapshot(self.ledger, BOB)
        assert self.ledger.forget(Scope(user="carol"), ["m1"]).report.events == 0
        assert self.ledger.forget(ANA, ["m1"]).report.events == 1
        assert snapshot(self.ledger, BOB) == before
        assert list(self.ledger.view(ANA).scan()) == []
        assert self.ledger.forget(ANA, ["m1"]).report.events == 0
        assert self.ledger.forget(ANA, []).report.complete
        self._sound()

    def test_forgetting_everything_leaves_no_name(self) -> None:
        """The owner and the conversation have names too. The scope can be used again afterwards."""
        scope = Scope(tenant="acmecorp", user="zebediah")
        ids = [event.id for event in self._append("one", "two", scope=scope, session="divorcetalks")]
        self._apply(Op(op="add", record=record("r", ids[0], scope=scope)), scope=scope)
        with self.ledger.transaction(scope) as tx:
            tx.advance("facts", 2)
        generation = self.ledger.view(scope).generation
        assert self.ledger.forget(scope, ids).report.complete
        assert self.ledger.sweep(["zebediah", "acmecorp", "divorcetalks"]) == []
        assert self.ledger.view(scope).generation != generation
        assert [event.position for event in self._append("three", scope=scope)] == [0]
        self._sound()

    # -------------------------------------------------------------------------------------------------- scopes

    def test_no_scope_sees_another(self) -> None:
        """Every read and write over tenants, users and agents with hostile names finds its own things only."""
        tenants = ("", "%", "a/../b")
        users = ("ana", "' OR 1=1 --", "*", "аna")  # the last begins with a Cyrillic letter
        agents = ("", "_", "ana")
        scopes = [Scope(tenant=t, user=u, agent=a) for t, u, a in product(tenants, users, agents)]
        for number, scope in enumerate(scopes):
            self._append(f"secret {number}", scope=scope, id="m", session=f"s{number}")
            self._apply(Op(op="add", record=record("r", "m", scope=scope, text=f"secret {number}")), scope=scope)
            with self.ledger.transaction(scope) as tx:
                tx.advance("facts", number + 1)
        seqs = list(range(200))
        for number, scope in enumerate(scopes):
            view = self.ledger.view(scope)
            said = [f"secret {number}"]
            assert [event.text for event in view.events(["m", "%"])] == said
            assert [event.text for event in view.events_at(seqs)] == said
            assert [event.text for event in view.scan()] == said
            assert [found.text for found in view.records(status=None)] == said
            assert [found.text for found in view.records(source="m")] == said
            assert [found.text for found in view.get(["r"])] == said
            assert [step.after.text for step in self.ledger.history(scope, "r") if step.after] == said
            assert view.sessions() == [(f"s{number}", 1)]
            assert [row.session for row in view.term_rows()] == [f"s{number}"]
            assert "secret" in snapshot(self.ledger, scope) and f"secret {number + 1}" not in snapshot(self.ledger, scope)
            with self.ledger.transaction(scope) as tx:
                assert tx.cursor("facts") == number + 1
        for stranger in (Scope(user="%"), Scope(user=""), Scope(tenant="*", user="*"), Scope(agent="ana")):
            assert _state(self.ledger, stranger) == []
        doomed = scopes[5]
        self.ledger.forget(doomed, ["m"])
        assert [number for number, scope in enumerate(scopes) if not _state(self.ledger, scope)] == [5]
        self._sound()

    # ------------------------------------------------------------------------------------------ export and restore

    def _lived_in(self) -> None:
        """Fill ANA with a bit of everything."""
        a, b, c, d = (event.id for event in self._append("a ? é", "b", "c", "d", meta={"n": 1}))
        self._append("other", session="s2", at="2026-05-03")
        self._add("r1", a, attrs={"b": 1, "a": [1.5]})
        self._add("r2", b, "r1", c)
        self._apply(Op(op="supersede", target="r1", record=record("r3", c)), Op(op="stat", target="r2", patch={"n": 1}))
        self._apply(Op(op="update", target="r2", patch={"sources": ["r3"]}))
        self._add("r4", d)
        self.ledger.undo(ANA)
        self._add("r5", a, d)
        self.ledger.forget(ANA, [d])
        with self.ledger.transaction(ANA) as tx:
            tx.advance("facts", tx.view.last_seq - 1)

    def test_export_and_restore_lose_nothing(self) -> None:
        """Restored into another scope it exports to the same bytes, and restoring twice changes nothing."""
        self._lived_in()
        rows = list(self.ledger.export(ANA))
        assert rows[0]["format"] == "tierkeep/1"
        assert self.ledger.restore(BOB, json.loads(json.dumps(rows))) == (4, 4)
        assert snapshot(self.ledger, BOB) == snapshot(self.ledger, ANA)
        assert self.ledger.restore(BOB, rows) == (0, 0)
        assert snapshot(self.ledger, BOB) == snapshot(self.ledger, ANA)
        with self.ledger.transaction(BOB) as tx:
            assert len(list(tx.view.scan(after_seq=tx.cursor("facts")))) == 1
        self._sound()
        with refused(NotFoundError):
            self.ledger.undo(BOB)

    def test_restore_beside_what_is_there(self) -> None:
        """Events of a file join a scope that has its own; a taken place moves, ids stay."""
        self._lived_in()
        rows = list(self.ledger.export(ANA))
        self._append("mine", scope=BOB, id="mine")
        assert self.ledger.restore(BOB, rows) == (4, 4)
        events = list(self.ledger.view(BOB).scan(session="s1"))
        assert len({event.position for event in events}) == len(events) == 4
        assert {event.id for event in self.ledger.view(ANA).scan()} < {event.id for event in self.ledger.view(BOB).scan()}
        self._sound()

    def test_a_broken_export_restores_nothing(self) -> None:
        """Whatever is wrong with a file, the scope stays as it was and the error says where."""
        self._lived_in()
        rows: list[dict[str, Any]] = json.loads(json.dumps(list(self.ledger.export(ANA))))
        events = [i for i, row in enumerate(rows) if "event" in row]
        records = [i for i, row in enumerate(rows) if "record" in row]

        def edited(index: int, **fields: Any) -> list[Mapping[str, Any]]:
            (kind,) = rows[index]
            return [*rows[:index], {kind: {**rows[index][kind], **fields}}, *rows[index + 1 :]]

        files: list[list[Any]] = [
            [],
            rows[1:],
            rows[:-1],
            rows[:3],
            [{"format": "tierkeep/99"}, *rows[1:]],
            [rows[0], {"surprise": {}}],
            [rows[0], {}],
            [rows[0], "text"],
            edited(events[1], text="nul \0"),
            edited(events[1], text="\ud800"),
            edited(events[1], unknown=1),
            edited(events[1], at="yesterday"),
            edited(events[1], ts=float("inf")),
            edited(events[1], position=-1),
            edited(events[1], origin={"source": "god"}),
            edited(records[0], sources=[]),
            edited(records[0], sources=["nothing"]),
            edited(records[0], sources=["r2"]),
            edited(records[0], authority=3),
            edited(records[0], status="blessed"),
            [*rows[: events[1]], *rows[events[1] + 1 :]],
        ]
        self._append("kept", scope=BOB)
        before = snapshot(self.ledger, BOB)
        for number, file in enumerate(files):
            with refused(ImportFormatError):
                self.ledger.restore(BOB, file)
            assert snapshot(self.ledger, BOB) == before, number
        self._sound()

    # --------------------------------------------------------------------------------------------- many at once

    def test_threads_share_a_ledger(self) -> None:
        """Everything that many threads acknowledge is there, once, in gapless sessions."""
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for step in range(25):
                    with self.ledger.transaction(ANA) as tx:
                        event = tx.append([draft(f"{number} {step}", session=f"s{step % 2}")])[0].event
                        tx.apply([Op(op="add", record=record(f"r{number}-{step}", event.id))])
                    assert self.ledger.view(ANA).events([event.id]) == [event]
            except BaseException as error:  # handed to the main thread
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors
        events = list(self.ledger.view(ANA).scan())
        assert len({event.text for event in events}) == len(events) == 25 * self.threads
        for session, count in self.ledger.view(ANA).sessions():
            assert sorted(e.position for e in events if e.session == session) == list(range(count))
        assert len(self.ledger.view(ANA).records()) == len(events)
        self._sound()

    def test_a_reader_never_sees_half_a_transaction(self) -> None:
        """What another thread has not committed is not there."""
        started, may_end = threading.Event(), threading.Event()

        def write() -> None:
            with self.ledger.transaction(ANA) as tx:
                tx.append([draft("first")])
                started.set()
                may_end.wait(0.2)
                tx.append([draft("second")])

        thread = threading.Thread(target=write)
        thread.start()
        started.wait(5)
        seen = len(list(self.ledger.view(ANA).scan()))
        may_end.set()
        thread.join()
        assert seen in (0, 2)
        assert len(list(self.ledger.view(ANA).scan())) == 2

    def test_what_one_has_written_the_other_reads(self) -> None:
        """Two ledgers on one store see each other's commits at the next read, forgetting included."""
        other = self.reopen()
        try:
            view = other.view(ANA)
            generation = view.generation
            event = self._append("shared", id="m1")[0]
            assert view.last_seq == event.seq and list(view.scan()) == [event]
            self._add("r", "m1")
            assert [found.id for found in view.records()] == ["r"]
            self.ledger.forget(ANA, ["m1"])
            assert view.generation != generation and view.last_seq == 0 and view.records() == []
            with other.transaction(ANA) as tx:
                tx.append([draft("back", id="m2")])
            assert [e.id for e in self.ledger.view(ANA).scan()] == ["m2"]
        finally:
            other.close()
        self._sound()

    def test_a_store_outlives_its_ledger(self) -> None:
        """Closing and opening again changes nothing, and a closed ledger says that it is closed."""
        self._lived_in()
        before = snapshot(self.ledger, ANA)
        self.ledger.close()
        with refused(StorageError):
            self.ledger.view(ANA).sessions()
        with refused(StorageError), self.ledger.transaction(ANA):
            pass
        again = self.reopen()
        try:
            assert snapshot(again, ANA) == before
            assert again.verify().ok
        finally:
            again.close()
