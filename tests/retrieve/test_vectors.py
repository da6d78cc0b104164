"""The exact index keeps the contract of vector indexes: in memory, and page by page when a scope is too large for it."""

from __future__ import annotations

import numpy as np

from tierkeep.allowance import Allowance
from tierkeep.retrieve.vectors import ExactVectors
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA
from tierkeep.testing.vector_index import VectorIndexContract, uniform


class TestInMemory(VectorIndexContract):
    def make_index(self) -> ExactVectors:
        return ExactVectors(1 << 24)


class TestTooLargeForMemory(VectorIndexContract):
    def make_index(self) -> ExactVectors:
        return ExactVectors(1_000)

    def test_it_holds_nothing_of_a_scope_that_is_too_large(self) -> None:
        index = ExactVectors(1_000)
        self._add(uniform(50))
        near = index.near(self.ledger.view(ANA), "model/1/24/unit", uniform(1)[0], Allowance(FixedClock()))
        assert near.complete and len(near.seqs) == 50 and np.isclose(near.similarities[0], 1)
        assert index.nbytes() <= 1_000
