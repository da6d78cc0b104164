"""Owners never mix: two hundred of them, ten thousand random operations, names made to be confused (S1.1, S1.2, S1.6)."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tierkeep import Memory
from tierkeep.errors import InputError, NotFoundError, OpRefused, ScopeError, TierkeepError
from tierkeep.ledger import Seal, SqliteLedger
from tierkeep.records import PARENTS, Authority, GuardEntry, Op, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import term_rows
from tierkeep.testing.store import draft, record

OWNERS = 200
RECORDS = 50
OPERATIONS = 10_000

#: Each stands beside its twins; every one is an owner of its own, exactly as it is written.
TWINS = [
    "ana", "Ana", "ANA", "ana ", " ana", "ana\u200b", "ana\u00a0", "an\u0430", "\u202eana", "ana\u202c", "\ufeffana", "an\u00e1",
    unicodedata.normalize("NFD", "an\u00e1"), "\uff41na", "\u00c5", "\u212b", "A\u030a", "\u017f", "s", "S", "stra\u00dfe", "strasse", "i",
    "\u0130", "I", "\u0131", "*", "%", "%%", "_", "a_a", "?", "..", "../t2", "t2", "null", "None", "NULL", "0", "-1", "true", "[]",
    "ana;bob", "ana,bob", "ana\nbob", "ana' OR '1'='1", "x" * 10_240, "x" * 10_241,
]  # fmt: skip


@pytest.fixture(params=[None, Seal(bytes(32))], ids=["plain", "sealed"])
def ledger(request: pytest.FixtureRequest) -> Iterator[SqliteLedger]:
    with SqliteLedger(":memory:", clock=FixedClock(), seal=request.param) as opened:
        yield opened
        assert opened.verify().ok


def test_names_made_to_be_confused_are_owners_of_their_own(ledger: SqliteLedger) -> None:
    """Matched byte for byte: neither case nor normal form nor blanks make two names one."""
    fields = ("tenant", "user", "agent")
    scopes = [Scope(**{field: name}) for name in TWINS for field in fields]
    for number, scope in enumerate(scopes):
        with ledger.transaction(scope) as tx:
            tx.append([draft(f"secret {number}", id="same")])
    for number, scope in enumerate(scopes):
        view = ledger.view(scope)
        assert [event.text for event in view.scan()] == [event.text for event in view.events(["same"])] == [f"secret {number}"]
        assert [row["event"]["text"] for row in ledger.export(scope) if "event" in row] == [f"secret {number}"]
    assert ledger.forget(scopes[0], ["same"]).report.events == 1
    assert ledger.stats()["events"] == len(scopes) - 1


def test_names_that_cannot_be_owners_are_refused(ledger: SqliteLedger, tmp_path: Path) -> None:
    for name in ("a\0b", "\0", "\ud800"):
        with pytest.raises(InputError), ledger.transaction(Scope(user=name)) as tx:
            tx.append([draft("x")])
    with Memory.open(tmp_path) as memory:
        for name in ("", None, " ", "\t", "a\0b", "\ud800", "a\nb", "x" * 10_240, 5, b"ana", ["ana"], {"$ne": ""}):
            with pytest.raises((ScopeError, TypeError)):
                memory.scope(user=name)  # type: ignore[arg-type]
        assert memory.stats()["scopes"] == 0


def test_a_value_of_another_field_is_no_owner(ledger: SqliteLedger) -> None:
    """The three parts of an owner are compared one by one; nothing is joined that could be split elsewhere."""
    scopes = [Scope(tenant="a", user="b"), Scope(tenant="ab"), Scope(tenant="a", agent="b"), Scope(user="a", agent="b"), Scope(user="ab")]
    for scope in scopes:
        with ledger.transaction(scope) as tx:
            tx.append([draft(str(scope), id="m")])
    assert [ledger.view(scope).events(["m"])[0].text for scope in scopes] == [str(scope) for scope in scopes]


# ---------------------------------------------------------------------------------------------------- ten thousand


class Crowd:
    """Two hundred owners with fifty records each. Ids are the same for all of them; what they say is not."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.noise = random.Random(1)
        self.scopes = [Scope(tenant=f"t{number % 20}", user=f"u{number}") for number in range(OWNERS)]
        for number, scope in enumerate(self.scopes):
            with ledger.transaction(scope) as tx:
                (event, *_) = tx.append([draft(f"mark{number}x event {n}", id=f"e{n}", session=f"s{n % 2}") for n in range(4)])
                ops = [
                    Op(op="add", record=record(f"r{n}", f"e{n % 4}", scope=scope, text=f"mark{number}x record {n}", key=f"mark{number}x"))
                    for n in range(RECORDS)
                ]
                tx.apply(ops)
                vector = np.full((1, 2), 0.5, np.float32)
                tx.put_vectors("m", 2, [(event.event.seq, vector)], event.event.seq)
                tx.append([draft(f"mark{number}x held", id="held", authority=Authority.QUARANTINED)])
                tx.log([GuardEntry(verb="quarantine", subject="held", by=f"mark{number}x")])
                tx.issue(number.to_bytes(32, "big"), "ab" * 32, 4e9)

    def fuzzed_id(self) -> str:
        known = [f"e{self.noise.randrange(6)}", f"r{self.noise.randrange(60)}", "held"]
        odd = ["", "*", "%", "_%", "../t2", "e1' OR 1=1 --", "None", f"u{self.noise.randrange(OWNERS)}", "E1", "e1 ", "\u202ee1"]
        return self.noise.choice(known * 3 + odd)

    def read(self, number: int) -> str:
        """One random operation as owner `number`; return everything that it answered."""
        scope, ledger, pick = self.scopes[number], self.ledger, self.fuzzed_id()
        view = ledger.view(scope)
        anywhere = self.noise.randrange(1, OWNERS * 5)
        kind = self.noise.randrange(17)
        if kind == 0:
            return repr(view.events([pick, self.fuzzed_id()]))
        if kind == 1:
            return repr(view.events_at([anywhere, anywhere + 1, -1]))
        if kind == 2:
            return repr(list(view.scan(after_seq=self.noise.randrange(OWNERS * 5), session=self.noise.choice([None, "s1", pick]))))
        if kind == 3:
            return repr(view.records(status=None, key=self.noise.choice([None, pick]), source=self.noise.choice([None, pick])))
        if kind == 4:
            return repr(view.records(prefix=self.noise.choice(["mark", "", "%", pick])))
        if kind == 5:
            return repr(view.get([pick, self.fuzzed_id()]))
        if kind == 6:
            return repr([row.session for row in term_rows(view)]) + repr(view.sessions()) + repr(view.changes())
        if kind == 7:
            return repr([page.seqs for page in view.vectors("m")]) + repr(view.quarantined())
        if kind == 8:
            return repr(list(view.guard_log(self.noise.randrange(5)))) + repr(view.cursor(pick))
        if kind == 9 and self.noise.random() < 0.1:
            return repr(list(ledger.export(scope)))
        return self.write(kind, number, pick)

    def write(self, kind: int, number: int, pick: str) -> str:
        scope, ledger = self.scopes[number], self.ledger
        try:
            if kind == 10:
                return repr(ledger.history(scope, pick))
            with ledger.transaction(scope) as tx:
                if kind == 11:
                    return repr(tx.append([draft(f"mark{number}x more", id=pick or None, authority=Authority.DATA)]))
                if kind == 12:
                    return repr(tx.append([draft(f"mark{number}x child", authority=Authority.DATA, meta={PARENTS: [pick]})]))
                if kind == 13:
                    return repr(tx.apply([Op(op="update", target=pick, patch={"attrs": {"n": 1}})])) + repr(tx.view.get([pick]))
                if kind == 14:
                    return repr(tx.release(pick))
                if kind == 15:
                    other = self.noise.randrange(OWNERS)
                    assert tx.redeem(other.to_bytes(32, "big"), "ab" * 32, 1.0) <= (other == number)
                    return ""
                if kind == 16:
                    tx.log([GuardEntry(verb="flag", subject=pick)])
        except (NotFoundError, OpRefused, InputError) as error:
            return str(error)
        return ""


def test_in_ten_thousand_operations_nobody_reads_anothers() -> None:
    with SqliteLedger(":memory:", clock=FixedClock()) as ledger:
        crowd = Crowd(ledger)
        crossed = answered = 0
        for _ in range(OPERATIONS):
            number = crowd.noise.randrange(OWNERS)
            said = crowd.read(number)
            answered += f"mark{number}x" in said
            crossed += "mark" in said.replace(f"mark{number}x", "")
        assert crossed == 0 and answered > OPERATIONS // 4
        for number in range(0, OWNERS, 67):
            scope = crowd.scopes[number]
            report = ledger.forget(scope, [event.id for event in ledger.view(scope).scan()]).report
            assert report.events >= 5 and report.records >= 1
        assert len([scope for scope in crowd.scopes if ledger.view(scope).last_seq]) == OWNERS - 3
        report = ledger.verify()
        assert report.ok, report.problems[:5]


def test_a_store_of_one_owner_holds_no_word_of_another(tmp_path: Path) -> None:
    """Nothing of an owner that was forgotten stays in any file of a store that others use (S1.6, S4.3)."""
    with SqliteLedger(tmp_path, clock=FixedClock(), seal=Seal(bytes(32))) as ledger:
        for name in ("ana", "zanzibarvoyage"):
            with ledger.transaction(Scope(user=name)) as tx:
                tx.append([draft(f"quokkaberry of {name}" if name != "ana" else "plain", id="held", authority=Authority.QUARANTINED)])
                tx.log([GuardEntry(verb="quarantine", subject="held")])
                tx.release("held")
                tx.issue(name.encode().ljust(32), "ab" * 32, 4e9)
                tx.put_vectors("m", 1, [], 1)
                tx.advance("d", 1)
        report = ledger.forget(Scope(user="zanzibarvoyage"), ["held"]).report
        assert (report.complete, report.residue) == (True, ())
        assert ledger.sweep(["zanzibarvoyage", "quokkaberry"]) == []
        assert ledger.verify().ok
    assert b"quokkaberry" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_typed_errors_only(ledger: SqliteLedger) -> None:
    with ledger.transaction(Scope(user="a")) as tx:
        tx.append([draft("x", id="x")])
        for bad in ("\0", "\ud800", "x" * 100_000):
            with pytest.raises(TierkeepError):
                tx.release(bad)
            with pytest.raises(TierkeepError):
                tx.log([GuardEntry(verb="flag", subject=bad)])
            with pytest.raises(TierkeepError):
                tx.issue(b"x" * 31, bad, 1.0)
            with suppress(TierkeepError):
                assert not tx.redeem(b"", bad, 1.0)
