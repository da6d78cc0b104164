"""The PostgreSQL server of the ledger's tests, for those that stop and kill it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..ledger.conftest import _started


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    """A server that the tests of one module may do with what they like, as long as it runs at the end of each."""
    yield from _started()
