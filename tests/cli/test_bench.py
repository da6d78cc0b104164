from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


def _data(question: str = "Which colour is the kayak?") -> str:
    events = [
        {"id": "1", "session": "1", "at": "2026-05-02", "speaker": "Ana", "text": "My kayak is green."},
        {"id": "2", "session": "1", "at": "2026-05-02", "speaker": "Bo", "text": "Good for you."},
    ]
    questions = [{"id": "q1", "question": question, "answer": "green", "category": "single", "evidence": ["1"]}]
    return json.dumps(
        {
            "format": "tierkeep-bench/1",
            "name": "tiny",
            "conversations": [{"id": "c", "events": events, "questions": questions}],
        }
    )


def test_bench_speed_is_small_when_asked(shell: Any) -> None:
    assert shell.json("bench", "speed", "--n", "20")["n"] == 20


@pytest.mark.parametrize(
    "args",
    [
        ["bench", "speed", "--n", "none"],
        ["bench", "growth", "--events", "none"],
        ["bench", "growth", "--events", "10,-1"],
        ["bench", "kill", "--trials", "0"],
        ["bench", "dates"],
        ["bench", "everything"],
    ],
)
def test_usage_errors(shell: Any, args: list[str]) -> None:
    assert shell(*args).exit_code == 2


def test_bench_dates_takes_a_format(shell: Any, file: Callable[..., str]) -> None:
    assert shell.json("bench", "dates", "--data", file("a.json", _data()))["questions"] == 0
    assert "no data format" in shell.error("bench", "dates", "--data", file("a.json", _data()), "--format", "magic", code=2)["message"]


def test_bench_kill_finds_nothing_lost(shell: Any) -> None:
    report = shell.json("bench", "kill", "--trials", "1", "--paths", "add")
    assert (report["trials"], report["lost"], report["ok"]) == (1, 0, True)
    assert [(row["path"], row["store"], row["trials"]) for row in report["rows"]] == [("add", "sqlite", 1)]
    assert "no write path 'nonsense'" in shell.error("bench", "kill", "--paths", "nonsense", code=2)["message"]
    for store in ("mysql://ana:secret@db/mem", "sqlit", ""):
        message = shell.error("bench", "kill", "--trials", "1", "--store", store, code=2)["message"]
        assert "postgresql://" in message and "secret" not in message


def test_bench_soak_takes_nothing_that_could_be_somebodys(shell: Any, file: Callable[..., str]) -> None:
    """It erases owners."""
    assert "is not empty" in shell.error("bench", "soak", "--store", file("a.db", ""), code=2)["message"]


def test_bench_tiers_route_and_gate_print_one_document(shell: Any, file: Callable[..., str]) -> None:
    data = file("a.json", _data())
    tiers = shell.json("bench", "tiers", "--data", data, "--presets", "memflow, auto")
    assert tiers["questions"] == 1 and {"memflow", "auto", "full context"} <= set(tiers["ways"])
    assert shell.json("bench", "route", "--data", data)["name"] == "tiny"
    assert shell.json("bench", "gate", "--data", data, "--budget", "200")["name"] == "tiny"
    assert "memflow" in shell("bench", "tiers", "--data", data, "--presets", "memflow").stdout
    assert "nonsense" in shell.error("bench", "tiers", "--data", data, "--presets", "nonsense", code=2)["message"]
