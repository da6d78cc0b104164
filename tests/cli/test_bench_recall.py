from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _data(question: str = "Which colour is the kayak?") -> str:
    events = [
        {"id": "1", "session": "1", "at": "2026-05-02", "speaker": "Ana", "text": "My kayak is green."},
        {"id": "2", "session": "1", "at": "2026-05-02", "speaker": "Bo", "text": "Good for you."},
    ]
    questions = [{"id": "q1", "question": question, "answer": "green", "category": "single [bold]", "evidence": ["1"]}]
    conversations = [{"id": "c", "events": events, "questions": questions}, {"id": "d", "events": events, "questions": questions}]
    return json.dumps({"format": "tierkeep-bench/1", "name": "tiny", "conversations": conversations})


def test_one_document(shell: Any, file: Callable[..., str]) -> None:
    report = shell.json("bench", "recall", "--data", file("a.json", _data()), "--budget", "200", "--embedder", "none")
    assert (report["questions"], report["budget"], report["evidence_recall"]) == (2, 200, 1.0)


def test_several_files_and_in_words(shell: Any, file: Callable[..., str]) -> None:
    a, b = file("a.json", _data()), file("b.json", _data("Who is good?"))
    assert len(shell.json("bench", "recall", "--data", a, "--data", b)["runs"]) == 2
    shown = shell("bench", "recall", "--data", a, "--budget", "200", "--budget", "50").stdout
    assert "evidence_recall" in shown and "single [bold]" in shown and "100.0" in shown


def test_baselines_in_the_same_table(shell: Any, file: Callable[..., str]) -> None:
    pytest.importorskip("bm25s")
    report = shell.json("bench", "recall", "--data", file("a.json", _data()), "--baselines", "recency, bm25+stem")
    assert list(report["baselines"]) == ["recency", "bm25+stem"]
    shown = shell("bench", "recall", "--data", file("a.json", _data()), "--baselines", "all").stdout
    assert "session-bm25" in shown and "ours minus it" in shown
    assert "no baseline 'x'" in shell.error("bench", "recall", "--data", file("a.json", _data()), "--baselines", "x", code=2)["message"]


def test_a_report_folder_compares_all_unless_told_otherwise(shell: Any, file: Callable[..., str], tmp_path: Path) -> None:
    for package in ("bm25s", "matplotlib", "scipy"):
        pytest.importorskip(package)
    a, b = file("a.json", _data()), file("b.json", _data())
    assert shell("bench", "recall", "--data", a, "--data", b, "--report", str(tmp_path / "r")).exit_code == 0
    text = (tmp_path / "r" / "a" / "report.md").read_text()
    assert "$ tierkeep bench recall --data a.json --budget 2048 --embedder none --baselines all --report report" in text
    assert str(tmp_path) not in text and "| recency |" in text
    assert (tmp_path / "r" / "b" / "report.json").exists()
    assert shell("bench", "recall", "--data", a, "--baselines", "none", "--report", str(tmp_path / "bare")).exit_code == 0
    assert "recency" not in (tmp_path / "bare" / "report.md").read_text()
    assert shell.error("bench", "recall", "--data", a, "--report", a, code=3)["type"] == "StoreUnavailable"
    assert "one name" in shell.error("bench", "recall", "--data", a, "--data", a, "--report", str(tmp_path / "s"), code=2)["message"]


def test_an_earlier_report_is_compared(shell: Any, file: Callable[..., str]) -> None:
    pytest.importorskip("scipy")
    a = file("a.json", _data())
    earlier = file("earlier.json", json.dumps(shell.json("bench", "recall", "--data", a, "--per-question")))
    assert shell.json("bench", "recall", "--data", a, "--compare", earlier)["compared"]["difference"]["value"] == 0.0
    assert "Against 0." in shell("bench", "recall", "--data", a, "--compare", earlier).stdout
    assert "per-question" in shell.error("bench", "recall", "--data", a, "--compare", file("x.json", "{}"), code=2)["message"]
    assert "is not JSON" in shell.error("bench", "recall", "--data", a, "--compare", file("x.json", "["), code=2)["message"]
    assert "one run" in shell.error("bench", "recall", "--data", a, "--compare", file("x.json", '{"runs": []}'), code=2)["message"]


@pytest.mark.parametrize(
    "args", [["bench", "recall"], ["bench", "recall", "--data", "x", "--budget", "0"], ["bench", "recall", "--data", "x", "--magic"]]
)
def test_usage_errors(shell: Any, args: list[str]) -> None:
    assert shell(*args).exit_code == 2


def test_wrong_data_format_and_embedder(shell: Any, file: Callable[..., str]) -> None:
    assert shell("bench", "recall", "--data", file("a.json", "[]")).exit_code == 2
    assert shell("bench", "recall", "--data", "gone.json").exit_code == 2
    b = file("b.json", _data())
    assert "no embedder" in shell.error("bench", "recall", "--data", b, "--embedder", "magic", code=2)["message"]
    assert "no data format" in shell.error("bench", "recall", "--data", b, "--format", "magic", code=2)["message"]
    assert "no conversation" in shell.error("bench", "recall", "--data", b, "--only", "z", code=2)["message"]
