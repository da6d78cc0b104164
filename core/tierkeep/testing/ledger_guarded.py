"""The ledger contract, part 6: the guard's log, quarantine and release, confirmations, and events derived from others."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import numpy as np

from tierkeep.errors import InputError, NotFoundError, OpRefused, StorageError, TierkeepError
from tierkeep.records import PARENTS, Authority, Event, GuardEntry, Op, Origin
from tierkeep.terms import term_ids
from tierkeep.testing.ledger_under_test import ANA, BOB, LedgerUnderTest, draft, record, refused, snapshot, term_rows

__all__ = ["GuardContract"]

_MODEL = "model/1/4/unit"
_SUBJECT = "ab" * 32
_WEB = Origin.web("http://w.example")


def _token(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


class GuardContract(LedgerUnderTest):
    """What a ledger does for the guard."""

    def _quarantined(self, text: str, **fields: Any) -> Event:
        return self._append(text, authority=Authority.QUARANTINED, origin=_WEB, **fields)[0]

    def _release(self, event_id: str) -> Event:
        with self.ledger.transaction(ANA) as tx:
            return tx.release(event_id)

    # ------------------------------------------------------------------------------------------------- the log

    def test_the_log_keeps_what_was_decided_in_order(self) -> None:
        """Numbers ascend, the time is the clock's, and every scope has its own."""
        event = self._append("x")[0]
        entries = [
            GuardEntry(verb="quarantine", subject=event.id, reasons=("web_origin", "overrides"), by="screening"),
            GuardEntry(n=99, at="1999", verb="reject", subject=_SUBJECT),
        ]
        with self.ledger.transaction(ANA) as tx:
            tx.log([])
            tx.log(entries)
            assert [entry.verb for entry in tx.view.guard_log()] == ["quarantine", "reject"]
        self._append("y")
        with self.ledger.transaction(ANA) as tx:
            tx.log([GuardEntry(verb="deny", subject=_SUBJECT, by="gate")])
        first, second, third = self.ledger.view(ANA).guard_log()
        assert (first.verb, first.subject, first.reasons, first.by) == ("quarantine", event.id, ("web_origin", "overrides"), "screening")
        assert 0 < first.n < second.n < third.n and second.at > "2000"
        assert list(self.ledger.view(ANA).guard_log(second.n)) == [third]
        assert list(self.ledger.view(BOB).guard_log()) == []
        self._sound()

    def test_the_log_takes_no_content(self) -> None:
        """A subject is an id that is known here or a hash; reasons and names are codes. A bad line takes its whole call back."""
        event = self._append("x", id="m1")[0]
        self._add("r1", event.id)
        self._append("theirs", id="m2", scope=BOB)
        before = snapshot(self.ledger, ANA)
        for entry in (
            GuardEntry(verb="reject", subject="my password is hunter2"),
            GuardEntry(verb="reject", subject="m2"),
            GuardEntry(verb="reject", subject=""),
            GuardEntry(verb="reject", subject="m1\0"),
            GuardEntry(verb="reject", subject=_SUBJECT.upper()),
            GuardEntry(verb="reject", subject="m1", reasons=("He said: buy it",)),
            GuardEntry(verb="reject", subject="m1", reasons=("x" * 65,)),
            GuardEntry(verb="reject", subject="m1", by="somebody with a long story"),
        ):
            with refused(InputError), self.ledger.transaction(ANA) as tx:
                tx.log([GuardEntry(verb="flag", subject="m1"), entry])
        assert snapshot(self.ledger, ANA) == before
        with self.ledger.transaction(ANA) as tx:
            tx.log([GuardEntry(verb="flag", subject=subject, by="ana@corp.example") for subject in ("m1", "r1", _SUBJECT)])
        assert [entry.subject for entry in self.ledger.view(ANA).guard_log()] == ["m1", "r1", _SUBJECT]
        self._sound()

    def test_the_log_outlives_what_it_is_about(self) -> None:
        """Forgetting leaves ids and hashes, and the chain holds; an id that the log knows may be written about again."""
        self._append("zanzibarvoyage", id="a-long-enough-id")
        self._append("kept", id="kept")
        with self.ledger.transaction(ANA) as tx:
            tx.log([GuardEntry(verb="quarantine", subject="a-long-enough-id")])
        report = self.ledger.forget(ANA, ["a-long-enough-id"]).report
        assert (report.events, report.complete) == (1, True)
        with self.ledger.transaction(ANA) as tx:
            tx.log([GuardEntry(verb="reject", subject="a-long-enough-id", by="operator")])
        assert [entry.verb for entry in self.ledger.view(ANA).guard_log()] == ["quarantine", "reject"]
        assert self.ledger.sweep(["zanzibarvoyage"]) == []
        self._sound()

    def test_an_export_carries_the_log_and_a_restore_leaves_it_out(self) -> None:
        """It says what the guard of its own store did."""
        self._append("x", id="m1")
        with self.ledger.transaction(ANA) as tx:
            tx.log([GuardEntry(verb="flag", subject="m1")])
        rows = list(self.ledger.export(ANA))
        assert rows[0]["guard"] == 1 and [row["guard"]["verb"] for row in rows[1:] if "guard" in row] == ["flag"]
        assert self.ledger.restore(BOB, rows) == (1, 0)
        assert list(self.ledger.view(BOB).guard_log()) == []
        with refused(InputError):
            self.ledger.restore(BOB, rows[:-1])
        self._sound()

    def test_a_transaction_that_fails_logs_nothing(self) -> None:
        """The log is part of the change that it tells of."""
        with refused(StorageError), self.ledger.transaction(ANA) as tx:
            tx.log([GuardEntry(verb="flag", subject=_SUBJECT)])
            tx.issue(_token("t"), _SUBJECT, 4e9)
            raise StorageError("the application gave up")
        assert list(self.ledger.view(ANA).guard_log()) == []
        with self.ledger.transaction(ANA) as tx:
            assert not tx.redeem(_token("t"), _SUBJECT, 1.0)
        self._sound()

    # ---------------------------------------------------------------------------------------------- quarantine

    def test_a_released_event_is_data_everywhere(self) -> None:
        """Reads, terms, sources and exports agree; whoever has an index learns of it; it stays so after another opening."""
        kept = self._quarantined("a purple kettle boils")
        other = self._quarantined("left where it is")
        view = self.ledger.view(ANA)
        assert [event.id for event in view.quarantined()] == [kept.id, other.id]
        assert self.ledger.view(BOB).quarantined() == []
        with refused(OpRefused):
            self._add("r", kept.id, authority=Authority.DATA, origin=_WEB)
        generation = view.generation
        released = self._release(kept.id)
        assert released == kept.model_copy(update={"authority": Authority.DATA})
        assert view.generation != generation
        assert [event.id for event in view.quarantined()] == [other.id]
        assert view.events([kept.id]) == view.events_at([kept.seq]) == [next(view.scan())] == [released]
        rows = {row.seq: row for row in term_rows(view)}
        assert rows[kept.seq].terms.tolist() == term_ids("a purple kettle boils").tolist() and rows[kept.seq].length == 21
        assert rows[other.seq].terms.tolist() == [] and rows[other.seq].length == 0
        self._add("r", kept.id, authority=Authority.DATA, origin=_WEB)
        with refused(OpRefused):
            self._add("r2", kept.id, authority=Authority.ADVISE)
        exported = [dict(row) for row in self.ledger.export(ANA)]
        assert [row["event"]["authority"] for row in exported if "event" in row] == [1, 0]
        self.ledger.restore(BOB, exported)
        assert snapshot(self.ledger, BOB) == snapshot(self.ledger, ANA)
        assert [event.id for event in self.ledger.view(BOB).quarantined()] == [other.id]
        self._sound()

    def test_only_what_is_quarantined_is_released_and_once(self) -> None:
        """Nothing else is there to be lifted, and another owner's event is not there at all."""
        plain, held = self._append("plain")[0], self._quarantined("held")
        for event_id in (plain.id, "nothing", ""):
            with refused(NotFoundError):
                self._release(event_id)
        with refused(NotFoundError), self.ledger.transaction(BOB) as tx:
            tx.release(held.id)
        self._release(held.id)
        with refused(NotFoundError):
            self._release(held.id)
        with refused(StorageError), self.ledger.transaction(ANA) as tx:
            tx.append([draft("y")])
            raise StorageError("the application gave up")
        self._sound()

    def test_a_released_event_is_forgotten_whole(self) -> None:
        """No trace that it was there stays, and its place is not inherited."""
        held = self._quarantined("zanzibarvoyage", id="held")
        self._append("kept")
        self._release(held.id)
        report = self.ledger.forget(ANA, ["held"]).report
        assert (report.events, report.complete) == (1, True)
        self._quarantined("zanzibarvoyage", id="held")
        assert [event.id for event in self.ledger.view(ANA).quarantined()] == ["held"]
        self._sound()

    def test_what_its_owner_has_confirmed_may_act_and_goes_whole(self) -> None:
        """Reads and exports agree, nothing quarantined and nobody else's is raised, and what was derived before stays what it was."""
        page = self._append("a purple kettle boils", id="page", origin=_WEB, authority=Authority.DATA)[0]
        held = self._quarantined("left where it is")
        self._add("before", page.id, authority=Authority.DATA, origin=_WEB)
        for scope, event_id in ((ANA, held.id), (ANA, "nothing"), (BOB, page.id)):
            with refused(NotFoundError), self.ledger.transaction(scope) as tx:
                tx.elevate(event_id)
        for _ in range(2):  # a second time changes nothing
            with self.ledger.transaction(ANA) as tx:
                raised = tx.elevate(page.id)
        view = self.ledger.view(ANA)
        assert raised == page.model_copy(update={"authority": Authority.ACT}) and view.events([page.id]) == [raised]
        assert [record.authority for record in view.records()] == [Authority.DATA]
        exported = [dict(row) for row in self.ledger.export(ANA)]
        assert [row["event"]["authority"] for row in exported if "event" in row] == [3, 0]
        self._sound()
        assert self.ledger.forget(ANA, [page.id]).report.complete
        again = self._append("a purple kettle boils", id="page", origin=_WEB, authority=Authority.DATA)[0]
        assert self.ledger.view(ANA).events(["page"]) == [again]
        self._sound()

    def test_a_released_event_gets_its_vectors(self) -> None:
        """The embedder comes back to what it passed over, and then goes on where it was."""
        events = [*self._append("a"), self._quarantined("b"), *self._append("c", "d", "e")]
        held = events[1]
        one = np.full((1, 4), 0.5, np.float32)

        def put(*rows: Event, upto: int) -> None:
            with self.ledger.transaction(ANA) as tx:
                tx.put_vectors(_MODEL, 4, [(event.seq, one) for event in rows], upto)

        view = self.ledger.view(ANA)
        put(events[0], *events[2:], upto=events[-1].seq)
        assert view.embedded(_MODEL) == events[-1].seq
        self._release(held.id)
        assert view.embedded(_MODEL) < held.seq
        put(events[2], upto=events[2].seq)  # read before the release: the embedder did not see it
        assert view.embedded(_MODEL) < held.seq
        generation = view.generation
        put(held, events[2], upto=events[2].seq)
        assert view.generation != generation, "a vector that came late must reach who has read past its place"
        assert view.embedded(_MODEL) == events[-1].seq
        assert [seq for page in view.vectors(_MODEL) for seq in page.seqs.tolist()] == [event.seq for event in events]
        gone = self._quarantined("f")
        put(upto=gone.seq)
        self._release(gone.id)
        self.ledger.forget(ANA, [gone.id])
        assert view.embedded(_MODEL) == gone.seq
        self._sound()

    # ------------------------------------------------------------------------------------------ confirmations

    def test_a_confirmation_is_used_once_and_for_what_it_is(self) -> None:
        """Another owner, another subject or another token finds nothing, and uses nothing up."""
        with self.ledger.transaction(ANA) as tx:
            tx.issue(_token("t"), _SUBJECT, 4e9)
        for scope, token, subject, now in (
            (BOB, _token("t"), _SUBJECT, 1.0),
            (ANA, _token("u"), _SUBJECT, 1.0),
            (ANA, _token("t"), "cd" * 32, 1.0),
            (ANA, _token("t"), "", 1.0),
            (ANA, b"", _SUBJECT, 1.0),
            (BOB, _token("t"), _SUBJECT, 5e9),
        ):
            with self.ledger.transaction(scope) as tx:
                assert not tx.redeem(token, subject, now)
        with self.ledger.transaction(ANA) as tx:
            assert tx.redeem(_token("t"), _SUBJECT, 1.0)
            assert not tx.redeem(_token("t"), _SUBJECT, 1.0)
        with self.ledger.transaction(ANA) as tx:
            assert not tx.redeem(_token("t"), _SUBJECT, 1.0)
        self._sound()

    def test_an_expired_confirmation_is_gone_for_good(self) -> None:
        """Usual cause: the row is only passed over, and a clock that is set back finds it again."""
        for number, late in enumerate((4e9, 5e9, float("inf"))):
            token = _token(f"t{number}")
            with self.ledger.transaction(ANA) as tx:
                tx.issue(token, _SUBJECT, 4e9)
            for now in (late, 1.0):
                with self.ledger.transaction(ANA) as tx:
                    assert not tx.redeem(token, _SUBJECT, now)
        self._sound()

    def test_what_is_no_token_is_not_issued(self) -> None:
        """Only hashes of fresh tokens, with a time."""
        with self.ledger.transaction(ANA) as tx:
            tx.issue(_token("t"), _SUBJECT, 4e9)
        for token, expires in ((b"short", 4e9), (_token("u"), float("nan")), (_token("u"), float("inf")), (_token("t"), 4e9)):
            with refused(InputError), self.ledger.transaction(BOB) as tx:
                tx.issue(token, _SUBJECT, expires)
        with self.ledger.transaction(ANA) as tx:
            assert tx.redeem(_token("t"), _SUBJECT, 1.0)

    def test_one_of_many_redeems_wins(self) -> None:
        """However many threads hold the token."""
        with self.ledger.transaction(ANA) as tx:
            tx.issue(_token("t"), _SUBJECT, 4e9)
        won: list[bool] = []
        failed: list[TierkeepError] = []
        start = threading.Barrier(self.threads)

        def work() -> None:
            start.wait()
            try:
                with self.ledger.transaction(ANA) as tx:
                    won.append(tx.redeem(_token("t"), _SUBJECT, 1.0))
            except TierkeepError as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == [] and sorted(won) == [False] * (self.threads - 1) + [True]

    # -------------------------------------------------------------------------------- events that rest on others

    def test_a_derived_event_has_no_more_authority_than_its_parents(self) -> None:
        """As they stand now; a parent in the same call counts, one that comes later or elsewhere does not."""
        strong, web = self._append("s")[0], self._append("w", authority=Authority.DATA, origin=_WEB)[0]
        theirs, held = self._append("t", scope=BOB)[0], self._quarantined("h")

        def derived(*parents: object, authority: Authority = Authority.DATA) -> None:
            self._append("summary", authority=authority, meta={PARENTS: list(parents)})

        before = snapshot(self.ledger, ANA)
        for parents, authority in (
            ((strong.id, web.id), Authority.ADVISE),
            ((strong.id,), Authority.ACT),
            ((held.id,), Authority.DATA),
            ((theirs.id,), Authority.DATA),
            ((strong.id, "nothing"), Authority.DATA),
        ):
            with refused(OpRefused):
                derived(*parents, authority=authority)
        for wrong in ("text", [1], {"a": 1}, None):
            with refused(InputError):
                self._append("summary", meta={PARENTS: wrong})
        with refused(OpRefused):
            self._append("summary", id="self", authority=Authority.DATA, meta={PARENTS: ["self"]})
        assert snapshot(self.ledger, ANA) == before
        derived(strong.id, web.id)
        derived(strong.id, authority=Authority.ADVISE)
        derived()
        self._release(held.id)
        derived(held.id)
        with self.ledger.transaction(ANA) as tx:
            weak = draft("p", id="p", authority=Authority.DATA)
            child = draft("c", id="c", authority=Authority.DATA, meta={PARENTS: ["p"]})
            with refused(OpRefused):
                tx.append([child, weak])
            with refused(OpRefused):
                tx.append([weak, child.model_copy(update={"authority": Authority.ADVISE})])
            tx.append([weak, child])
        assert self.ledger.view(ANA).events(["c"])[0].parents == ("p",)
        self._sound()

    def test_an_export_whose_parents_are_gone_can_be_restored(self) -> None:
        """But not with more authority than those that are there."""
        self._append("w", id="w", authority=Authority.DATA, origin=_WEB)
        self._append("gone", id="g")
        self._append("c", id="c", authority=Authority.DATA, meta={PARENTS: ["w", "g"]})
        self.ledger.forget(ANA, ["g"])
        rows = [dict(row) for row in self.ledger.export(ANA)]
        assert self.ledger.restore(BOB, rows) == (2, 0)
        lied = [{"event": {**row["event"], "authority": 3}} if row.get("event", {}).get("id") == "c" else row for row in rows]
        with refused(InputError):
            self.ledger.restore(ANA.model_copy(update={"user": "carl"}), lied)
        self._apply(Op(op="add", record=record("r", "c", authority=Authority.DATA, origin=_WEB)))
        self._sound()
