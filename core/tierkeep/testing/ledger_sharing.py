"""The ledger contract, part 4: export and restore, threads, and several ledgers on one store."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from tierkeep.errors import ImportFormatError, NotFoundError, StorageError, TierkeepError
from tierkeep.records import Op
from tierkeep.testing.ledger_under_test import ANA, BOB, LedgerUnderTest, draft, record, refused, snapshot

__all__ = ["SharingContract"]


class SharingContract(LedgerUnderTest):
    """What a ledger gives away, and what many users of it see."""

    # ---------------------------------------------------------------------------------- export and restore

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

    def test_every_owner_is_listed_with_what_it_holds(self) -> None:
        """The counters are exact after every kind of change, inside a transaction too, and follow what was taken back."""

        def stated() -> dict[str, tuple[int, int]]:
            return {owner.scope.user: (owner.size.events, owner.size.chars) for owner in self.ledger.owners()}

        def exact() -> None:
            for owner in self.ledger.owners():
                said = [event.text for event in self.ledger.view(owner.scope).scan()]
                assert owner.size == self.ledger.view(owner.scope).size() == (len(said), sum(map(len, said)))

        assert self.ledger.owners() == [] and self.ledger.view(ANA).size() == (0, 0)
        self._append("zwölf", "\U0001f431", scope=BOB, id=None)
        self._lived_in()
        exact()
        before = stated()
        with self.ledger.transaction(ANA) as tx:
            known = next(tx.view.scan())
            tx.append([draft("again", id=known.id), draft("new", id="n1")])
            assert tx.view.size().events == before[ANA.user][0] + 1
            with refused(TierkeepError):
                tx.append([draft("good"), draft("bad\0")])
            assert tx.view.size().events == before[ANA.user][0] + 1
        exact()
        with refused(NotFoundError), self.ledger.transaction(ANA) as tx:
            tx.append([draft("lost")])
            raise NotFoundError("taken back")
        self._add("undone", "n1")
        self.ledger.undo(ANA)
        exact()
        self.ledger.restore(BOB, list(self.ledger.export(ANA)))
        exact()
        self.ledger.forget(BOB, ["n1"])
        exact()
        assert list(stated()) == [ANA.user, BOB.user]
        self.ledger.forget(ANA, [event.id for event in self.ledger.view(ANA).scan()])
        assert list(stated()) == [BOB.user]
        self._sound()

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


    # ---------------------------------------------------------------------------------------- many at once

    def test_threads_share_a_ledger(self) -> None:
        """Everything that many threads acknowledge is there, once, in gapless sessions."""
        errors: list[Exception] = []

        def work(number: int) -> None:
            try:
                for step in range(25):
                    with self.ledger.transaction(ANA) as tx:
                        event = tx.append([draft(f"{number} {step}", session=f"s{step % 2}")])[0].event
                        tx.apply([Op(op="add", record=record(f"r{number}-{step}", event.id))])
                    assert self.ledger.view(ANA).events([event.id]) == [event]
            except (TierkeepError, AssertionError) as error:
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
