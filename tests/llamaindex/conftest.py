"""A memory for each test: one handed over, one at a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep_llamaindex import TierkeepMemory


@pytest.fixture(params=["function", "react"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def mine(memory: Memory) -> TierkeepMemory:
    return TierkeepMemory.from_defaults(memory=memory, user_id="ana", session_id="today")


@pytest.fixture
def at_path(tmp_path: Path) -> Iterator[TierkeepMemory]:
    made = TierkeepMemory.from_defaults(path=tmp_path / "store", user_id="ana", session_id="today")
    yield made
    made.close()
