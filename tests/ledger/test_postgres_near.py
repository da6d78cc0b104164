"""pgvector compares the vectors of one scope inside of the server, and keeps the contract of vector indexes there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tierkeep import Memory
from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.errors import InputError, SettingsError
from tierkeep.ledger.postgres.ledger import PostgresLedger
from tierkeep.ledger.postgres.near import PgVectors
from tierkeep.models.doubles import HashEmbedder
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA
from tierkeep.testing.vector_index import VectorIndexContract, uniform

MODEL = "model/1/24/unit"


class TestInPostgres(VectorIndexContract):
    """On the ledger that has the vectors; a `k` below the numbers of the tests, so that the spread is told too."""

    crowd = 300

    @pytest.fixture(autouse=True)
    def _opened(self, postgres) -> Iterator[None]:  # type: ignore[no-untyped-def]
        self.ledger = PostgresLedger(postgres.fresh(partitions=1), clock=FixedClock())  # type: ignore[assignment]
        self.index = self.make_index()
        yield
        super().teardown_method()

    def setup_method(self) -> None:
        """The server comes from a fixture, which pytest runs after this."""

    def teardown_method(self) -> None:
        """What the fixture made, it also closes."""

    def make_index(self) -> PgVectors:
        return PgVectors(k=200)

    def reopen(self) -> PgVectors:
        return self.make_index()

    def lose(self) -> None:
        """There is nothing beside the ledger that could be lost."""

    def test_a_deadline_holds_inside_of_the_server(self) -> None:
        """A comparison that takes longer is cancelled there, and the connection is as it was."""
        vectors = uniform(4_000)
        self._add(vectors)
        view = self.ledger.view(ANA)
        near = self.index.near(view, MODEL, vectors[0], Allowance(SystemClock(), seconds=0.001))
        assert near.complete == bool(len(near.seqs))
        assert self._check(vectors[0]).complete
        with view.lend() as connection:  # type: ignore[attr-defined]
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)

    def test_numbers_that_are_not_finite(self) -> None:
        self._add(uniform(3))
        with pytest.raises(InputError, match="finite"):
            self._near(np.full(24, np.nan, np.float32))


def test_a_memory_finds_what_one_that_compares_itself_finds(postgres) -> None:  # type: ignore[no-untyped-def]
    address = postgres.fresh()
    texts = [f"In room {number} stands the {what}" for number, what in enumerate(("oak table", "red lamp", "iron stove", "old piano") * 10)]
    questions = ("Where is the piano?", "what is red")
    found = []
    for vectors in (None, PgVectors()):
        with Memory.open(address, embedder=HashEmbedder(), vectors=vectors) as memory:
            mine = memory.scope(user="ana")
            if vectors is None:
                mine.add(texts)
                memory.settle()
            else:
                assert memory.describe()["vectors"] == "pgvector"
            found.append([item.text for question in questions for item in mine.recall(question, budget=200).items])
    assert found[0] == found[1] != []


def test_a_file_has_no_pgvector(tmp_path: Path) -> None:
    with Memory.open(tmp_path, embedder=HashEmbedder(), vectors=PgVectors(), derive="on_request") as memory:
        mine = memory.scope(user="ana")
        mine.add("The piano stands in the hall.")
        with pytest.raises(SettingsError, match="postgresql://"):
            mine.recall("Where is the piano?")
    with pytest.raises(SettingsError, match="k must be"):
        PgVectors(k=0)
