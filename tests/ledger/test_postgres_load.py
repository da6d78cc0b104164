"""A short day of load on a store in a server: several processes and tasks, one of them killed now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tierkeep.evaluate.soak import soak


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at processes in /proc")
def test_a_short_day_in_postgres_passes(postgres: Any) -> None:
    report = soak(store=postgres.fresh(pool=4), hours=4, minutes=0.1, users=8, processes=2, threads=2)
    assert report["ok"], report
    assert report["events"] and report["operations"]["turn"]["n"] and not report["http"]
