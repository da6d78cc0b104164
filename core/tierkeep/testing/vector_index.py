"""The contract of vector indexes: subclass it, build your index in `make_index`, and let pytest collect it.

    class TestMyIndex(VectorIndexContract):
        def make_index(self) -> VectorIndex:
            return MyIndex(...)

The ledger is the embedded one, in memory: an index is a copy of its vectors, whatever is done to either.
"""

from __future__ import annotations

import threading
import unittest
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.ledger import SqliteLedger
from tierkeep.protocols import Near, VectorIndex
from tierkeep.records import Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, BOB, draft

__all__ = ["VectorIndexContract", "clustered", "uniform"]

_MODEL, _OTHER = "model/1/24/unit", "model/2/24/unit"
_D = 24
_TOP = 10
_CLOSE = 2e-3


def uniform(count: int, dimension: int = _D, seed: int = 0) -> NDArray[np.float32]:
    """Return unit vectors without any structure, shape (count, dimension): the hardest case for an approximate index."""
    return _unit(np.random.default_rng(seed).standard_normal((count, dimension)))


def clustered(count: int, dimension: int = _D, seed: int = 0, clusters: int = 40) -> NDArray[np.float32]:
    """Return unit vectors around some centres, shape (count, dimension), as those of texts lie."""
    random = np.random.default_rng(seed)
    centres = _unit(random.standard_normal((clusters, dimension)))
    return _unit(centres[random.integers(0, clusters, count)] + random.standard_normal((count, dimension)) * 0.5 / dimension**0.5)


def _unit(rows: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


class VectorIndexContract:
    """What every `VectorIndex` must do. Override `make_index`; `reopen` and `lose` too where they mean something.

    Attributes:
        crowd: How many more similar events stand before those of a session that must be found.
    """

    crowd: ClassVar[int] = 1_500

    def make_index(self) -> VectorIndex:
        """Return an index that holds nothing. It is closed after the test."""
        raise unittest.SkipTest("a contract itself has no index: subclass it")

    def reopen(self) -> VectorIndex:
        """Return a second index on what the first, which is closed by then, left behind."""
        raise unittest.SkipTest("this index lives and dies with its object")

    def lose(self) -> None:
        """Destroy what the index holds, behind its back."""
        raise unittest.SkipTest("there is nothing that could be lost without the object")

    def setup_method(self) -> None:
        """Make a ledger and an index for each test."""
        self.ledger = SqliteLedger(":memory:", clock=FixedClock())
        self.index = self.make_index()

    def teardown_method(self) -> None:
        """Close both; twice does no harm."""
        if hasattr(self, "index"):
            self.index.close()
            self.index.close()
            self.ledger.close()

    # ------------------------------------------------------------------------------------------------ what tests are made of

    def _add(
        self, vectors: Sequence[NDArray[np.float32]] | NDArray[np.float32], scope: Scope = ANA, identity: str = _MODEL, session: str = "s1"
    ) -> list[int]:
        """Store an event for each vector, or for each group of vectors, and return the events' places."""
        groups = [np.atleast_2d(group) for group in vectors]
        with self.ledger.transaction(scope) as tx:
            first = tx.view.last_seq
            drafts = [draft(f"message {first} {number}", session=session) for number in range(len(groups))]
            seqs = [appended.event.seq for appended in tx.append(drafts)]
            tx.put_vectors(identity, groups[0].shape[1], list(zip(seqs, groups, strict=True)), seqs[-1])
        return seqs

    def _near(
        self, vector: NDArray[np.float32], scope: Scope = ANA, identity: str = _MODEL, allowance: Allowance | None = None
    ) -> Near:
        near = self.index.near(self.ledger.view(scope), identity, vector, allowance or Allowance(FixedClock()))
        assert near.seqs.shape == near.similarities.shape and near.seqs.dtype == np.int64
        assert (np.diff(near.seqs) > 0).all(), "events come in ledger order, each once"
        return near

    def _truth(
        self, vector: NDArray[np.float32], scope: Scope = ANA, identity: str = _MODEL
    ) -> tuple[dict[int, float], NDArray[np.float32]]:
        """Return the similarity of each event's best part, and those of all vectors."""
        best: dict[int, float] = {}
        products = [np.zeros(0, np.float32)]
        for page in self.ledger.view(scope).vectors(identity):
            found = page.matrix @ vector
            products.append(found)
            for seq, similarity in zip(np.repeat(page.seqs, page.parts).tolist(), found.tolist(), strict=True):
                best[seq] = max(best.get(seq, -1.0), similarity)
        return best, np.concatenate(products)

    def _check(self, vector: NDArray[np.float32], scope: Scope = ANA, identity: str = _MODEL, near: Near | None = None) -> Near:
        """Ask, and make sure that what is said is true and, when it is said to be complete, that the best are there."""
        near = self._near(vector, scope, identity) if near is None else near
        best, products = self._truth(vector, scope, identity)
        for seq, similarity in zip(near.seqs.tolist(), near.similarities.tolist(), strict=True):
            assert seq in best, f"event {seq} has no vector of this embedder in this scope"
            assert abs(best[seq] - similarity) < _CLOSE, f"event {seq} has {best[seq]}, not {similarity}"
        if near.complete:
            top = sorted(best, key=lambda seq: -best[seq])[:_TOP]
            missing = [seq for seq in top if seq not in near.seqs and best[seq] > best[top[-1]] + _CLOSE]
            assert not missing, f"among the ten best and not found: {missing}"
            if near.spread is None:
                assert len(near.seqs) == len(best), "without a spread, these are all"
            else:
                assert abs(near.spread[0] - products.mean()) < _CLOSE and abs(near.spread[1] - products.std()) < _CLOSE
        return near

    # ------------------------------------------------------------------------------------------------ the contract

    def test_an_empty_scope_has_nothing_near(self) -> None:
        """Usual cause of failure: a query of an index that was never made."""
        near = self._near(uniform(1)[0])
        assert len(near.seqs) == 0 and near.complete

    def test_the_nearest_events_are_found(self) -> None:
        """With their cosines; random vectors and such that lie in clusters."""
        self._add(uniform(300))
        self._add(clustered(300, seed=1))
        for question in (*uniform(3, seed=2), *clustered(3, seed=1)):
            assert self._check(question).complete

    def test_an_event_is_as_near_as_its_nearest_part(self) -> None:
        """Usual cause of failure: parts counted as events, or their mean taken."""
        vectors = uniform(60)
        groups = [vectors[at : at + 1 + at % 3] for at in range(0, 55, 3)]
        self._add(groups)
        for question in vectors[:9]:
            self._check(question)
        one = self._add([np.concatenate([-vectors[:1], vectors[:1], vectors[1:2]])])[0]
        near = self._check(vectors[0])
        assert near.similarities[near.seqs == one][0] > 1 - _CLOSE

    def test_it_catches_up_with_what_was_added(self) -> None:
        """Between any two questions, a little or much."""
        vectors = uniform(900)
        at = 0
        for count in (1, 2, 37, 300, 1, 559):
            seqs = self._add(vectors[at : at + count])
            near = self._check(vectors[at])
            assert near.complete and seqs[0] in near.seqs
            at += count

    def test_what_was_forgotten_is_not_found(self) -> None:
        """At once when it is told, and also when another process forgot and nobody told it."""
        vectors = uniform(40)
        seqs = self._add(vectors)
        assert seqs[5] in self._check(vectors[5]).seqs
        view = self.ledger.view(ANA)
        for place, told in ((5, True), (6, False), (39, True), (38, False)):
            self.ledger.forget(ANA, [view.events_at([seqs[place]])[0].id])
            if told:
                self.index.forget(ANA)
            assert seqs[place] not in self._check(vectors[place]).seqs
            assert len(self._check(vectors[0]).seqs)

    def test_a_scope_that_was_forgotten_altogether_begins_anew(self) -> None:
        """Usual cause of failure: what was known of the scope is kept."""
        vectors = uniform(30)
        self._add(vectors)
        self._check(vectors[0])
        self.ledger.forget(ANA, [event.id for event in self.ledger.view(ANA).scan()])
        assert len(self._near(vectors[0]).seqs) == 0
        self.index.forget(ANA)
        assert len(self._near(vectors[0]).seqs) == 0
        seqs = self._add(vectors[:3])
        assert self._check(vectors[1]).seqs.tolist() == seqs

    def test_forgetting_somebody_unknown_does_nothing(self) -> None:
        """It may be told of scopes that it never saw."""
        vectors = uniform(5)
        self._add(vectors)
        self.index.forget(BOB)
        self._check(vectors[0])
        self.index.forget(BOB)
        assert len(self._check(vectors[0]).seqs) == 5

    def test_embedders_never_mix(self) -> None:
        """Vectors of another embedder are never compared, even of the same length."""
        vectors = uniform(20)
        first = self._add(vectors[:10])
        second = self._add(vectors[10:], identity=_OTHER)
        assert self._check(vectors[12]).seqs.tolist() == first
        assert self._check(vectors[2], identity=_OTHER).seqs.tolist() == second
        assert len(self._near(vectors[2], identity="model/3").seqs) == 0

    def test_scopes_never_mix(self) -> None:
        """Another owner's vectors are never found; neither are those of owners whose names run together."""
        vectors = uniform(40)
        owners = (ANA, BOB, Scope(tenant="a", user="na"), Scope(tenant="an", user="a"))
        seqs = {owner: self._add(vectors[10 * at : 10 * at + 10], scope=owner) for at, owner in enumerate(owners)}
        for _ in range(2):
            for owner in owners:
                for question in vectors[::7]:
                    assert self._check(question, scope=owner).seqs.tolist() == seqs[owner]
            self.index.forget(BOB)

    def test_a_session_is_found_behind_a_crowd(self) -> None:
        """The score looks at one session, so what is returned must hold that session's nearest, however near the others are."""
        question, away = uniform(2)
        near = _unit(question + 0.05 * uniform(self.crowd, seed=3))
        seqs = self._add(_unit(away + 0.5 * uniform(6, seed=4)), session="quiet")
        self._add(near, session="loud")
        bound = ANA.model_copy(update={"session": "quiet"})
        found = self._near(question, scope=bound)
        assert set(seqs) <= set(found.seqs.tolist())
        best, _ = self._truth(question)
        for seq, similarity in zip(found.seqs.tolist(), found.similarities.tolist(), strict=True):
            assert abs(best[seq] - similarity) < _CLOSE

    def test_a_deadline_that_has_passed_is_no_error(self) -> None:
        """What is returned is true, and the next question with more time gets all."""
        vectors = uniform(700)
        self._add(vectors)
        near = self._near(vectors[0], allowance=Allowance(FixedClock(), seconds=0))
        self._check(vectors[0], near=near)
        for seconds in (2, 3, 5):
            near = self._near(vectors[1], allowance=Allowance(FixedClock(step=1), seconds=seconds))
            self._check(vectors[1], near=near)
        assert self._check(vectors[2]).complete

    def test_a_vector_of_another_length_is_refused(self) -> None:
        """With a `ValueError` such as `InputError`; the index stays usable."""
        vectors = uniform(10)
        self._add(vectors)
        for wrong in (uniform(1, dimension=_D + 1)[0], uniform(1, dimension=3)[0]):
            try:
                self._near(wrong)
            except ValueError:
                pass
            else:
                raise AssertionError(f"a vector of {len(wrong)} numbers was compared with those of {_D}")
        assert len(self._check(vectors[0]).seqs) == 10

    def test_threads_may_share_it(self) -> None:
        """While others add; everybody sees what was there when they asked."""
        vectors = uniform(400)
        self._add(vectors[:100])
        failures: list[Exception] = []

        def ask(place: int) -> None:
            try:
                for at in range(place, 400, 40):
                    assert len(self._near(vectors[at]).seqs) >= 100
            except Exception as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for at in range(100, 400, 50):
            self._add(vectors[at : at + 50])
        for thread in threads:
            thread.join()
        assert not failures, failures
        assert self._check(vectors[399]).complete

    def test_it_is_made_again_when_it_is_lost(self) -> None:
        """The ledger has all vectors."""
        vectors = uniform(50)
        self._add(vectors)
        self._check(vectors[0])
        self.lose()
        assert len(self._check(vectors[1]).seqs) == 50
        self._add(uniform(5, seed=8))
        self.lose()
        assert len(self._check(vectors[2]).seqs) == 55

    def test_what_it_left_behind_is_used_and_brought_level(self) -> None:
        """After it was closed, whether or not something was added or forgotten meanwhile."""
        vectors = uniform(60)
        seqs = self._add(vectors[:50])
        self._check(vectors[0])
        self.index.close()
        self.index = self.reopen()
        assert len(self._check(vectors[0]).seqs) == 50
        self.index.close()
        self._add(vectors[50:])
        self.index = self.reopen()
        assert len(self._check(vectors[55]).seqs) == 60
        self.index.close()
        self.ledger.forget(ANA, [self.ledger.view(ANA).events_at([seqs[3]])[0].id])
        self.index = self.reopen()
        assert len(self._check(vectors[3]).seqs) == 59
