"""A day of load in a few seconds passes, and one with a leak, or with a lost event, does not."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tierkeep.evaluate.soak import soak
from tierkeep.evaluate.soak.day import DayClock, Plan, busy
from tierkeep.evaluate.soak.journal import Told
from tierkeep.evaluate.soak.oracle import differences
from tierkeep.evaluate.soak.watch import growth, leaks

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at processes in /proc")


def test_a_short_day_passes() -> None:
    report = soak(hours=4, minutes=0.1, users=12, processes=2, threads=2, http=False)
    assert report["ok"], report
    assert report["events"] and report["operations"]["turn"]["n"]


def test_a_careless_caller_and_a_lost_event_are_reported() -> None:
    report = soak(hours=4, minutes=0.13, users=6, processes=1, threads=2, http=False, leak_bytes=4_000_000, leak_files=3, lose=2)
    assert not report["ok"]
    assert any("descriptors grew" in one for one in report["leaks"]) and any("memory grew" in one for one in report["leaks"])
    assert any("acknowledged events are lost" in one for one in report["wrong"]), report["wrong"]
    assert not report["errors"]


def test_growth_is_not_moved_by_outliers() -> None:
    at = [float(second) for second in range(100)]
    flat = [10.0 + (90.0 if second % 10 == 0 else 0.0) for second in range(100)]
    assert growth(at, flat) == 0
    assert growth(at, [value + second for second, value in enumerate(flat)]) == pytest.approx(99)
    assert growth(at[:3], [1.0, 2.0, 3.0]) == 0


def test_only_what_the_indexes_do_not_explain_is_a_leak() -> None:
    grows = [{"at": float(n), "rss_mib": 100.0 + n, "held_mib": 5.0 + n} for n in range(100)]
    leaks_it = [{**one, "held_mib": 5.0} for one in grows]
    dies = [one for one in leaks_it if one["at"] > 60]
    assert leaks({"w": grows}, 50.0)[1] == [] and leaks({"w": dies}, 50.0)[1] == []
    (said,) = leaks({"w": leaks_it}, 50.0)[1]
    assert said.startswith("w: memory grew by 49.0 MiB")


def test_the_day_has_a_night() -> None:
    plan = Plan("s", "f", hours=24, seconds=480, users=1, processes=1, threads=2, seed=1, began=0.0)
    assert plan.speed == 180 and Plan.read(plan.json()) == plan
    assert busy(4 * 3600) == pytest.approx(0.06) and busy(16 * 3600) == pytest.approx(1)
    noon = DayClock(replace(plan, began=time.time() - 240))
    assert noon.now().hour == 12 and 0 <= noon.monotonic() - 43_200 < 3_600


def test_what_is_wrong_with_an_owner_is_named() -> None:
    told = Told(sure={"a": 10.0, "b": 10.0, "old": 1.0}, maybe={"m"}, gone={"g"})
    assert differences("ana", told, [], 5.0, str) == ["ana: 2 acknowledged events are lost, such as ['a', 'b']"]
    assert differences("ana", told, [], 11.0, str) == []
