"""`tierkeep bench growth`: every figure is there at every size, what was measured is kept, and what is asked wrongly is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tierkeep import Memory
from tierkeep.evaluate import growth, growth_plot, growth_probe
from tierkeep.evaluate.made_up import Timed


def test_a_store_is_filled_measured_and_gone_on_with(tmp_path: Path) -> None:
    told: list[float] = []
    report = growth.run([50], scopes=2, one=0, folder=tmp_path / "kept", repeats=1, progress=lambda done, total: told.append(done / total))
    (stage,) = report["many_scopes"]
    assert (stage["events"], stage["scopes"], report["events_in_each_scope"], stage["touched"]) == (50, 2, 25, 2)
    assert all(value > 0 for name, value in stage.items() if name != "load_average")
    assert stage["open_ms"] <= stage["open_to_answer_ms"] <= stage["process_to_answer_ms"]
    assert stage["recall_p50_ms"] <= stage["recall_p95_ms"] <= stage["recall_p99_ms"]
    assert told == sorted(told) and told[-1] == 1
    with Memory.open(tmp_path / "kept" / "many") as memory:
        held = {owner.scope.user: owner.size.events for owner in memory.owners()}
        assert memory.verify().ok
    assert (held["u0000"], held["u0001"]) == (25, 25)
    assert growth.run([50], scopes=2, one=0, folder=tmp_path / "kept", repeats=1)["many_scopes"] == [stage]
    growth_plot.draw({**report, "one_scope": [{**stage, "events": 5}, stage]}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_of_the_times_does_not_exceed_a_share() -> None:
    times = [float(number) for number in range(100, 0, -1)]
    found = growth_probe.shares("x", [Timed(number, number / 2) for number in times], 0.0, 0.5, 0.95, 1.0)
    assert found == {"x_p0_ms": 1, "x_p50_ms": 51, "x_p95_ms": 96, "x_p100_ms": 100, "x_cpu_p50_ms": 25.5}


@pytest.mark.parametrize("dimension", [0, 8])
def test_a_probe_reads_what_is_there(tmp_path: Path, dimension: int) -> None:
    with growth_probe._opened(str(tmp_path), dimension) as memory:
        memory.scope(user="one").add(["The boat lies in the old harbour.", "The lamp is lit at seven."])
        memory.settle()
    figures = growth_probe.reading(str(tmp_path), ["one"], seed=1, recalls=5, dimension=dimension, index_bytes=growth.BOUND)
    assert figures["touched"] == 1 and figures["rss_touched_mb"] > 10 and all(value > 0 for value in figures.values())
