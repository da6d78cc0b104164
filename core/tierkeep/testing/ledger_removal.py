"""The ledger contract, part 3: forgetting, and scopes that never meet."""

from __future__ import annotations

from itertools import product

from tierkeep.errors import NotFoundError
from tierkeep.records import Op, Scope
from tierkeep.testing.ledger_under_test import ANA, BOB, LedgerUnderTest, record, refused, snapshot, state, term_rows

__all__ = ["RemovalContract"]


class RemovalContract(LedgerUnderTest):
    """What a ledger forgets, and what it keeps apart."""

    # ---------------------------------------------------------------------------------------------- forget

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


    # ---------------------------------------------------------------------------------------------- scopes

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
            assert [row.session for row in term_rows(view)] == [f"s{number}"]
            assert "secret" in snapshot(self.ledger, scope) and f"secret {number + 1}" not in snapshot(self.ledger, scope)
            with self.ledger.transaction(scope) as tx:
                assert tx.cursor("facts") == number + 1
        for stranger in (Scope(user="%"), Scope(user=""), Scope(tenant="*", user="*"), Scope(agent="ana")):
            assert state(self.ledger, stranger) == []
        doomed = scopes[5]
        self.ledger.forget(doomed, ["m"])
        assert [number for number, scope in enumerate(scopes) if not state(self.ledger, scope)] == [5]
        self._sound()
