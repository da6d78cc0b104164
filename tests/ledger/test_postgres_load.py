"""A short day of load on a store in a server: several processes and tasks, one of them killed now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from tierkeep.cli.bench_soak import soak as command
from tierkeep.evaluate.soak import soak


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at processes in /proc")
def test_a_short_day_in_postgres_passes(postgres: Any) -> None:
    address = postgres.fresh(pool=4)
    report = soak(store=address, hours=4, minutes=0.1, users=8, processes=2, threads=2)
    assert report["ok"], report
    assert report["events"] and report["operations"]["turn"]["n"] and not report["http"]
    with pytest.raises(typer.Exit) as refused:  # it is in use now: a day of load erases owners
        command(store=address, minutes=0.05, as_json=True)
    assert refused.value.exit_code == 2
