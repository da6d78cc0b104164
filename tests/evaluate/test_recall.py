from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.errors import InputError
from tierkeep.evaluate.recall import run

#: What an outside reader of the report relies on.
KEYS = {
    "name", "questions", "budget", "tokenizer", "evidence_recall", "all_evidence", "mrr", "mean_tokens", "recall_p50_ms", "recall_p95_ms",
    "ingest_events_per_s", "embedder", "by_category", "by_conversation", "settings_sha256", "version",
}  # fmt: skip


def test_the_report_of_a_small_set(chat_file: Path) -> None:
    report = run(chat_file, budget=200)
    assert set(report) >= KEYS
    assert (report["name"], report["questions"], report["scored_questions"], report["budget"]) == ("boats", 6, 5, 200)
    assert report["evidence_recall"] == 1.0 and report["session_recall"] == 1.0
    assert report["by_category"]["single"] == {"n": 4, "evidence_recall": 1.0} and "adversarial" in report["by_category"]
    assert {name: group["n"] for name, group in report["by_conversation"].items()} == {"one": 4, "two": 1}
    assert report["events"] == 7 and report["max_tokens"] <= 200
    assert json.loads(json.dumps(report)) == report


def test_the_first_budget_is_the_headline_and_others_stand_beside_it(chat_file: Path) -> None:
    report = run(chat_file, budget=[60, 300])
    assert report["budget"] == 60
    assert list(report["budgets"]) == ["60", "300"]
    assert report["budgets"]["60"]["evidence_recall"] == report["evidence_recall"] < report["budgets"]["300"]["evidence_recall"] == 1.0
    assert report["ranked"]["budget"] == 300


def test_a_question_with_before_sees_no_later_event(chat_file: Path, write: Callable[[str, Any], Path]) -> None:
    data = json.loads(chat_file.read_text())
    data["conversations"] = data["conversations"][:1]
    data["conversations"][0]["questions"] = [
        {"id": "q", "question": "Where is the lighthouse that we paddled to?", "category": "x", "evidence": ["5"], "before": 4},
    ]
    path = write("early.json", data)
    pytest.importorskip("bm25s")
    report = run(path, budget=500, baselines=["all"])
    assert report["evidence_recall"] == 0.0
    assert {name: one["evidence_recall"] for name, one in report["baselines"].items()} == dict.fromkeys(report["baselines"], 0.0)
    data["conversations"][0]["questions"][0]["before"] = 5
    assert run(write("late.json", data), budget=500, baselines=["bm25"])["baselines"]["bm25"]["evidence_recall"] == 1.0


def test_a_question_before_everything_is_no_error(chat_file: Path, write: Callable[[str, Any], Path]) -> None:
    data = json.loads(chat_file.read_text())
    data["conversations"][0]["questions"][0]["before"] = 0
    pytest.importorskip("bm25s")
    assert run(write("zero.json", data), budget=500, baselines=["recency"])["by_conversation"]["one"]["evidence_recall"] == 0.75


def test_baselines_are_measured_by_the_same_rule(chat_file: Path) -> None:
    pytest.importorskip("bm25s")
    pytest.importorskip("scipy")
    report = run(chat_file, budget=[60, 300], baselines=["all"])
    assert list(report["baselines"]) == ["recency", "bm25", "bm25+stem", "session-bm25"]
    recency = report["baselines"]["recency"]
    assert 0 < recency["mean_tokens"] <= 60 and set(recency["budgets"]) == {"60", "300"}
    assert recency["budgets"]["300"]["evidence_recall"] == 1.0
    assert recency["difference"]["value"] == pytest.approx(report["evidence_recall"] - recency["evidence_recall"], abs=1e-4)
    low, high = recency["difference"]["by_question"]
    assert low <= recency["difference"]["value"] <= high


def test_the_same_run_gives_the_same_figures(chat_file: Path) -> None:
    pytest.importorskip("bm25s")
    timed = {"recall_p50_ms", "recall_p95_ms", "recall_p50_ms_without_embedding", "recall_p95_ms_without_embedding",
             "ingest_events_per_s", "index_events_per_s"}  # fmt: skip
    first, second = (
        {key: value for key, value in run(chat_file, budget=60, baselines=["bm25"], per_question=True).items() if key not in timed}
        for _ in range(2)
    )
    assert first == second


def test_an_earlier_run_is_compared_by_pairs(chat_file: Path) -> None:
    pytest.importorskip("scipy")
    earlier = run(chat_file, budget=60, per_question=True)
    compared = run(chat_file, budget=300, earlier=earlier)["compared"]
    assert (compared["questions"], compared["with"]["budget"]) == (5, 60)
    assert compared["difference"]["value"] == pytest.approx(1.0 - earlier["evidence_recall"], abs=1e-4)
    with pytest.raises(InputError, match="per-question"):
        run(chat_file, budget=300, earlier={})
    with pytest.raises(InputError, match="of other data"):
        run(chat_file, budget=300, earlier={"questions_detail": [{"conversation": "x", "id": "y", "recall": 1.0}]})


def test_only_some_conversations(chat_file: Path) -> None:
    assert run(chat_file, budget=60, only=["two"])["questions"] == 1
    with pytest.raises(InputError, match="no conversation 'three'; it has: one, two"):
        run(chat_file, budget=60, only=["three"])


@pytest.mark.parametrize("budget", [0, [], [100, 0]])
def test_a_budget_must_be_one(chat_file: Path, budget: Any) -> None:
    with pytest.raises(InputError, match="from 1 on"):
        run(chat_file, budget=budget)


def test_data_without_evidence_says_so(chat_file: Path, write: Callable[[str, Any], Path]) -> None:
    data = json.loads(chat_file.read_text())
    for conversation in data["conversations"]:
        for question in conversation["questions"]:
            question["evidence"] = []
    report = run(write("bare.json", data), budget=60)
    assert report["scored_questions"] == 0 and "no question of this data names its evidence" in report["notes"][0]
    assert report["answer_contained"] is None


def test_progress_reaches_the_end(chat_file: Path) -> None:
    told: list[tuple[int, int]] = []
    run(chat_file, budget=60, progress=lambda done, total: told.append((done, total)))
    assert told == [(place, 6) for place in range(1, 7)]


def test_an_embedder_serves_the_memory_and_the_dense_baselines(chat_file: Path, embedder: Any) -> None:
    if "embedder" not in inspect.signature(Memory.open).parameters:
        pytest.skip("this version's memory takes no embedder")
    pytest.importorskip("bm25s")
    report = run(chat_file, budget=300, baselines=["all"], embedder=embedder)
    assert {"dense", "rrf"} <= set(report["baselines"])
    assert report["embedding"]["texts"] > 0 and report["embedder"] != "none"
    assert len(embedder.asked) == len(set(embedder.asked)), "no text is embedded twice"
