"""Weights fitted on one half of the conversations are reported on the other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tierkeep.errors import InputError
from tierkeep.evaluate import recall, tune
from tierkeep.models.doubles import HashEmbedder
from tierkeep.settings import RetrievalSettings

TOPICS = ("boat", "garden", "violin", "bridge", "kitchen", "letter")


def conversation(name: str) -> dict[str, Any]:
    events = [
        {"id": f"{name}{at}", "session": f"s{at // 3}", "at": f"2026-05-{at + 1:02}", "speaker": "Ana" if at % 2 else "Bo",
         "text": f"About the {topic}: it was {detail} when I looked."}
        for at, (topic, detail) in enumerate((topic, detail) for topic in TOPICS for detail in ("red", "broken", "sold"))
    ]  # fmt: skip
    questions = [
        {"id": f"{name}q{at}", "question": f"What happened to the {topic}, was it sold?", "answer": "sold", "category": "one",
         "evidence": [f"{name}{3 * at + 2}"]}
        for at, topic in enumerate(TOPICS)
    ]  # fmt: skip
    return {"id": name, "events": events, "questions": questions}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"format": "tierkeep-bench/1", "name": "made", "conversations": [conversation("a"), conversation("b")]}))
    return path


def test_candidates_lie_around_the_present_settings_and_begin_with_them() -> None:
    present = RetrievalSettings()
    tried = tune.candidates(("dense", "session"), 8, present)
    assert tried[0] == present and len(tried) == 9 and tried == tune.candidates(("dense", "session"), 8, present)
    for one in tried[1:]:
        assert present.dense / 2 <= one.dense <= present.dense * 2 and present.session / 2 <= one.session <= present.session * 2
        assert asdict(one) | {"dense": 0, "session": 0} == asdict(present) | {"dense": 0, "session": 0}
    assert len({one.dense for one in tried}) == 9


@pytest.mark.parametrize("name", ["nonsense", "neighbour_reach"])
def test_a_name_that_is_no_weight_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(InputError, match="session"):
        tune.candidates((name,), 4, RetrievalSettings())


def test_present_settings_score_what_bench_recall_says(data: Path) -> None:
    report = tune.run([data], names=("session", "neighbour"), count=4, budget=60, embedder=HashEmbedder(32))
    plain = recall.run(data, budget=60, embedder=HashEmbedder(32))
    halves = [report["a_to_b"]["reported_present"], report["b_to_a"]["reported_present"]]
    assert sum(halves) / 2 == pytest.approx(plain["evidence_recall"], abs=1e-3)
    assert report["questions"] == 12 and report["candidates"] == 5 and report["embedder"] == HashEmbedder(32).identity


def test_what_is_fitted_is_at_least_as_good_where_it_was_fitted(data: Path) -> None:
    report = tune.run([data], names=("session", "density"), count=8, budget=60)
    for way in ("a_to_b", "b_to_a"):
        assert report[way]["fitted"] >= report[way]["fitted_present"]
        gain = report[way]["reported"] - report[way]["reported_present"]
        assert report[way]["gain"]["value"] == pytest.approx(gain, abs=1e-3)
    assert set(report["a_to_b"]["by_data"]) == {"made"}


def test_one_conversation_cannot_be_split(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"format": "tierkeep-bench/1", "name": "made", "conversations": [conversation("a")]}))
    with pytest.raises(InputError, match="two"):
        tune.run([path], names=("session",), count=2)
