from __future__ import annotations

import json
from pathlib import Path

import pytest

from tierkeep.errors import ImportFormatError
from tierkeep.evaluate import gate, route
from tierkeep.evaluate.categories import asks_for_time_by_label, unanswerable_by_label
from tierkeep.evaluate.gate import Case, halves


def _conversation(name: str) -> dict[str, object]:
    events = [
        {"id": "1", "session": "1", "at": "2026-05-02", "speaker": "Ana", "text": "My kayak is green."},
        {"id": "2", "session": "1", "at": "2026-05-02", "speaker": "Bo", "text": "I sold the old piano yesterday."},
    ]
    questions = [
        {"id": "q1", "question": "Which colour is Ana's kayak?", "category": "single", "evidence": ["1"]},
        {"id": "q2", "question": "When did Bo sell the piano?", "category": "temporal", "evidence": ["2"]},
        {"id": "q3", "question": "What did Bo sell in May 2026?", "category": "temporal", "evidence": ["2"]},
        {"id": "q4", "question": "When did Ana sell the kayak?", "category": "adversarial", "evidence": ["1"]},
        {"id": "q5", "question": "Which kayak is green?", "category": "single", "evidence": ["1", "gone"]},
        {"id": "q6", "question": "Who has a kayak?", "category": "single", "evidence": ["1"], "before": 1},
    ]
    return {"id": name, "events": events, "questions": questions}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "made-up.json"
    conversations = [_conversation("a"), _conversation("b")]
    path.write_text(json.dumps({"format": "tierkeep-bench/1", "name": "made up", "conversations": conversations}))
    return path


def test_the_temporal_rule_is_counted_against_the_labels(data: Path) -> None:
    report = route.run(data, per_question=True)
    assert report["temporal"] == {"labelled": 4, "fired": 2, "right": 2, "precision": 1.0, "recall": 0.5}
    assert {row["id"] for row in report["missed"]} == {"q3"}
    assert report["false_alarms"] == []


def test_unanswerable_questions_are_counted_apart(data: Path) -> None:
    report = route.run(data)
    assert report["questions"] == 10
    assert report["unanswerable"] == {"questions": 2, "intents": {"temporal": {"n": 2, "share": 1.0}}}


def test_the_shares_of_the_tiers_are_those_of_all_answerable_questions(data: Path) -> None:
    assert sum(tier["n"] for tier in route.run(data)["tiers"].values()) == 10


def test_evidence_that_is_not_stored_counts_as_a_miss(data: Path) -> None:
    report = gate.run(data, budgets=[600], per_question=True)
    complete = {row["id"]: row["complete"][0] for row in report["questions_detail"]}
    assert complete == {"q1": True, "q2": True, "q3": True, "q5": False, "q6": True}
    assert report["budgets"]["600"]["as_set"]["misses"] == 2


def test_a_budget_too_small_for_anything_is_a_miss_for_all(data: Path) -> None:
    assert gate.run(data, budgets=[1], axes=False)["budgets"]["1"]["all_evidence"] == 0.0


def test_both_directions_report_the_half_that_was_not_fitted_on(data: Path) -> None:
    report = gate.run(data, budgets=[600], axes=False)
    assert (report["half_a"], report["half_b"], report["split"]) == (["a"], ["b"], "conversations")
    assert [report["budgets"]["600"][way]["n"] for way in ("a_to_b", "b_to_a")] == [5, 5]


def test_the_axes_are_counted_for_every_question(data: Path) -> None:
    axes = gate.run(data, budgets=[600])["axes"]
    assert (axes["answerable"]["n"], axes["unanswerable"]["n"]) == (10, 2)
    assert axes["answerable"]["accepted_first"] <= axes["answerable"]["accepted_in_the_end"]


def test_the_same_data_gives_the_same_report(data: Path) -> None:
    assert gate.run(data) == gate.run(data)


def test_halves_are_in_file_order_and_one_conversation_is_halved_by_questions() -> None:
    cases = [Case(name, name, "", (0.0,), (True,)) for name in ("z", "a", "m")]
    first, second, split = halves(cases, ["z", "a", "m"])
    assert ([case.question for case in first], [case.question for case in second], split) == (["z", "a"], ["m"], "conversations")
    first, second, split = halves(cases, ["only"])
    assert (len(first), len(second), split) == (2, 1, "questions")


def test_files_in_another_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]")
    for run in (route.run, gate.run):
        with pytest.raises(ImportFormatError):
            run(path)


@pytest.mark.parametrize(("label", "time", "unanswerable"), [
    ("2 temporal", True, False), ("event_ordering", True, False), ("5 adversarial", False, True), ("abstention", False, True),
    ("Unanswerable", False, True), ("1 multi-hop", False, False), ("", False, False),
])
def test_what_labels_mean(label: str, time: bool, unanswerable: bool) -> None:
    assert (asks_for_time_by_label(label), unanswerable_by_label(label)) == (time, unanswerable)
