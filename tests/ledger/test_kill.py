"""What was acknowledged before `kill -9` is there afterwards."""

from __future__ import annotations

from pathlib import Path

from tierkeep.evaluate.kill import kill_trials


def test_acknowledged_writes_survive_sigkill(tmp_path: Path) -> None:
    result = kill_trials(20, tmp_path, seed=7)
    assert result["acknowledged"] > 20  # otherwise nothing was tried
    assert result == {**result, "trials": 20, "lost": 0, "unopenable": 0, "verify_failed": 0}
