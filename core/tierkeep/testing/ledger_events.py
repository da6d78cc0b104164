"""The ledger contract, part 1: events, terms and cursors."""

from __future__ import annotations

import numpy as np

from tierkeep.errors import InputError, StorageError
from tierkeep.records import Authority, Op, Origin, Scope
from tierkeep.terms import term_ids
from tierkeep.testing.ledger_under_test import ANA, BOB, LedgerUnderTest, draft, record, refused, snapshot, term_rows

__all__ = ["EventContract"]


class EventContract(LedgerUnderTest):
    """What a ledger does with events, terms and cursors."""

    def test_an_empty_scope_reads_as_empty(self) -> None:
        """A scope nobody wrote to has nothing, and reading it creates nothing."""
        view = self.ledger.view(ANA)
        assert view.scope == ANA
        assert (view.last_seq, view.sessions(), view.records(status=None)) == (0, [], [])
        assert (list(view.scan()), term_rows(view), view.events(["x"]), view.events_at([1])) == ([], [], [], [])
        assert view.get([]) == [] and view.events([]) == view.events_at([]) == []
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
        assert view.newest(10_000) == events[::-1]
        assert view.newest(3) == events[:-4:-1]
        assert view.newest(600, session="s1", before=events[700].seq) == events[699:99:-1]
        assert view.newest(5, before=events[2].seq) == [events[1], events[0]]
        assert view.newest(0) == view.newest(5, session="nothing") == view.newest(5, before=events[0].seq) == []

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
        with refused(InputError):
            self.ledger.view(Scope(user="\ud800")).sessions()
        with refused(InputError):
            self.ledger.view(ANA).events(["\ud800"])
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

    def test_term_pages_carry_what_an_index_needs(self) -> None:
        """One row per event, in order, in the transaction that stored the event."""
        texts = ["I moved to Lisbon", "Where do you live?", 'She asked: "why?"', "", "日本語"]
        events = self._append(*texts, session="s9")
        rows = term_rows(self.ledger.view(ANA))
        assert [row.seq for row in rows] == [event.seq for event in events]
        assert all(row.session == "s9" and row.speaker == "Ana" and row.ts == events[0].ts for row in rows)
        assert [row.length for row in rows] == [len(text) for text in texts]
        assert [row.asks for row in rows] == [False, True, True, False, False]
        for row, text in zip(rows, texts, strict=True):
            assert row.terms.dtype == np.uint32
            assert row.terms.tolist() == term_ids(text).tolist()
        assert [row.seq for row in term_rows(self.ledger.view(ANA), events[2].seq)] == [event.seq for event in events[3:]]

    def test_term_pages_are_not_empty_and_of_one_owner(self) -> None:
        """In ledger order, from any place on; nothing after the last."""
        self._append("I moved to Lisbon", "Where do you live?", session="s9")
        self._append("", "In Lisbon, I said", session="s1")
        events = [*self.ledger.view(ANA).scan(), *self._append("I moved to Porto", session="s9")]
        view = self.ledger.view(ANA)
        for after, expected in ((0, events), (events[1].seq, events[2:])):
            pages = list(view.term_pages(after))
            rows = [row for page in pages for row in page.rows()]
            assert [(row.seq, row.session, row.speaker, row.ts) for row in rows] == [
                (event.seq, event.session, event.speaker, event.ts) for event in expected
            ]
            assert all(len(page.seq) and len(page.terms) == page.size.sum() for page in pages)
            assert all(page.terms.dtype == np.uint32 and page.seq.dtype == np.int64 for page in pages)
        assert not list(view.term_pages(view.last_seq)) and not list(self.ledger.view(BOB).term_pages())

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
