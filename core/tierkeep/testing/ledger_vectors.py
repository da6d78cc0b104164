"""The ledger contract, part 5: vectors of events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError
from tierkeep.protocols import View
from tierkeep.testing.ledger_under_test import ANA, BOB, LedgerUnderTest, refused, snapshot

__all__ = ["VectorContract"]

_MODEL = "model/1/3/unit"


def _unit(*rows: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.asarray(rows, np.float32)


_X, _Y, _Z = _unit((1, 0, 0)), _unit((0, 1, 0)), _unit((0, 0, 1))


def _stored(view: View, identity: str = _MODEL, after: int = 0) -> list[tuple[int, list[list[float]]]]:
    rows = []
    for page in view.vectors(identity, after):
        assert page.matrix.dtype == np.float32 and len(page.matrix) == page.parts.sum() and len(page.seqs) == len(page.parts)
        ends = np.cumsum(page.parts)
        rows += [(int(seq), page.matrix[end - n : end].tolist()) for seq, n, end in zip(page.seqs, page.parts, ends, strict=True)]
    return rows


class VectorContract(LedgerUnderTest):
    """What a ledger keeps of vectors, for whom, and for how long."""

    def _put(self, *rows: tuple[int, NDArray[np.float32]], upto: int = 0, identity: str = _MODEL) -> int:
        with self.ledger.transaction(ANA) as tx:
            return tx.put_vectors(identity, 3, rows, upto)

    def test_vectors_come_back_in_ledger_order(self) -> None:
        """Several parts of one event stay together, and the mark says how far the embedder came."""
        a, b, c = self._append("alpha", "beta", "gamma")
        view = self.ledger.view(ANA)
        assert (_stored(view), view.embedded(_MODEL)) == ([], 0)
        assert self._put((b.seq, np.concatenate([_Y, _Z])), (a.seq, _X), upto=b.seq) == 2
        assert _stored(view) == [(a.seq, _X.tolist()), (b.seq, [*_Y.tolist(), *_Z.tolist()])]
        assert _stored(view, after=a.seq) == [(b.seq, [*_Y.tolist(), *_Z.tolist()])]
        assert view.embedded(_MODEL) == b.seq
        self._put(upto=c.seq)
        assert view.embedded(_MODEL) == c.seq
        self._put((a.seq, _Z), upto=a.seq)
        assert _stored(view)[0] == (a.seq, _Z.tolist()) and view.embedded(_MODEL) == c.seq
        self._sound()

    def test_vectors_bring_no_erased_owner_back(self) -> None:
        """An embedder may still be at work when everything of an owner is forgotten; not even the name comes back with what it made."""
        (a,) = self._append("alpha")
        self.ledger.forget(ANA, [a.id])
        assert self.ledger.owners() == []
        assert self._put((a.seq, _X), upto=a.seq) == 0
        assert self.ledger.owners() == [] and self.ledger.view(ANA).embedded(_MODEL) == 0
        self._sound()

    def test_embedders_never_mix(self) -> None:
        """Another identity's vectors are another's, and dropping them forgets how far it came."""
        a, b = self._append("alpha", "beta")
        self._put((a.seq, _X), (b.seq, _Y), upto=b.seq)
        self._put((a.seq, _Z), upto=a.seq, identity="other")
        view = self.ledger.view(ANA)
        assert _stored(view, "other") == [(a.seq, _Z.tolist())] and len(_stored(view)) == 2
        with self.ledger.transaction(ANA) as tx:
            assert tx.drop_vectors(but="other") == 2
        assert (_stored(view), view.embedded(_MODEL), view.embedded("other")) == ([], 0, a.seq)
        assert _stored(view, "other") == [(a.seq, _Z.tolist())]
        self._sound()

    def test_scopes_never_see_anothers_vectors(self) -> None:
        """Neither to read, nor to overwrite, nor to drop."""
        a = self._append("alpha")[0]
        bobs = self._append("his", scope=BOB)[0]
        assert self._put((a.seq, _X), (bobs.seq, _Y), upto=bobs.seq) == 1
        assert _stored(self.ledger.view(BOB)) == [] and self.ledger.view(BOB).embedded(_MODEL) == 0
        with self.ledger.transaction(BOB) as tx:
            tx.drop_vectors(but="other")
        assert _stored(self.ledger.view(ANA)) == [(a.seq, _X.tolist())]

    def test_forget_takes_vectors_along(self) -> None:
        """A vector says much of its text; what comes late for a forgotten event is not stored."""
        a, b = self._append("alpha", "beta")
        self._put((a.seq, _X), (b.seq, _Y), upto=b.seq)
        report, _ = self.ledger.forget(ANA, [a.id])
        assert report.complete and report.residue == (), report
        view = self.ledger.view(ANA)
        assert _stored(view) == [(b.seq, _Y.tolist())]
        assert self._put((a.seq, _X), upto=b.seq) == 0
        assert _stored(view) == [(b.seq, _Y.tolist())]
        self.ledger.forget(ANA, [b.id])
        assert _stored(self.ledger.view(ANA)) == [] and self.ledger.view(ANA).embedded(_MODEL) == 0
        self._sound()

    def test_wrong_vectors_are_refused(self) -> None:
        """A dimension that is not the embedder's, or an event without any vector; nothing of it is stored."""
        a = self._append("alpha")[0]
        self._put(upto=0)
        for rows, dimension in (((a.seq, np.zeros((1, 4), np.float32)),), 3), (((a.seq, _X),), 4), (((a.seq, _X[:0]),), 3):
            with refused(InputError), self.ledger.transaction(ANA) as tx:
                tx.put_vectors(_MODEL, dimension, rows, a.seq)
        assert _stored(self.ledger.view(ANA)) == [] and self.ledger.view(ANA).embedded(_MODEL) == 0

    def test_a_transaction_that_fails_stores_none(self) -> None:
        """Vectors are in the transaction like everything else."""
        a = self._append("alpha")[0]
        with refused(InputError), self.ledger.transaction(ANA) as tx:
            tx.put_vectors(_MODEL, 3, [(a.seq, _X)], a.seq)
            raise InputError("broken off")
        assert _stored(self.ledger.view(ANA)) == [] and self.ledger.view(ANA).embedded(_MODEL) == 0

    def test_vectors_are_not_exported(self) -> None:
        """Whoever has the texts can make them again, with an embedder of their own."""
        a = self._append("alpha")[0]
        before = snapshot(self.ledger, ANA)
        self._put((a.seq, _X), upto=a.seq)
        assert snapshot(self.ledger, ANA) == before
