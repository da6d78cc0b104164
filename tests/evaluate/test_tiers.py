"""The simulation: the oracle answers exactly when the evidence was shown, and the report adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tierkeep.errors import InputError
from tierkeep.evaluate import tiers
from tierkeep.evaluate.datasets import BenchQuestion
from tierkeep.evaluate.oracle import OracleChat
from tierkeep.protocols import ChatRequest
from tierkeep.tokens import EstimateCounter

EVENTS = [("e0", "I moved to Lisbon. The weather is fine."), ("e1", "My sister Bea has a boat."), ("e2", "The boat is called Gaivota.")]


def asked(evidence: tuple[str, ...] = ("e0",), **rates: float) -> OracleChat:
    oracle = OracleChat(EstimateCounter(), **rates)
    oracle.face(BenchQuestion(id="q", question="Where did Ana move?", answer="Lisbon", evidence=evidence), dict(EVENTS))
    return oracle


def request(skill: str, user: str, **properties: Any) -> ChatRequest:
    return ChatRequest(skill, "system", user, {"type": "object", "properties": properties})


def test_it_answers_when_the_sentence_that_tells_was_shown_and_else_declines() -> None:
    oracle = asked()
    assert oracle.complete(request("answer", "0| Ana: I moved to Lisbon.")).data == {"answer": "Lisbon", "needs_more": False, "used": [0]}
    assert oracle.complete(request("answer", "0| Ana: The weather is fine.")).data == {"answer": "", "needs_more": True, "used": []}
    assert oracle.calls == 2


def test_it_needs_all_of_the_evidence() -> None:
    oracle = asked(("e0", "e1"))
    assert not oracle.would_answer("I moved to Lisbon.")
    assert oracle.would_answer("I moved to Lisbon. My sister Bea has a boat.")


def test_it_selects_the_lines_that_tell() -> None:
    oracle = asked(("e0", "e2"))
    lines = "0| [d] Ana: My sister Bea has a boat.\n1| [d] Ana: The boat is called Gaivota.\n2| [d] Ana: I moved to Lisbon."
    assert oracle.complete(request("select", lines)).data == {"ids": [1, 2]}


def test_its_judgement_is_as_fallible_as_asked() -> None:
    right, wrong = "Question: x\nAnswer: Lisbon", "Question: x\nAnswer: Porto"

    def passed(oracle: OracleChat, said: str) -> bool:
        data = oracle.complete(request("judge", said, verdict={}, missing={})).data
        return data is not None and data["verdict"] == "supported"

    assert (passed(asked(), right), passed(asked(), wrong)) == (True, False)
    assert (passed(asked(alarm=1.0), right), passed(asked(miss=1.0), wrong)) == (False, True)
    assert asked(wrong=1.0).complete(request("answer", "nothing")).data == {"answer": "(a wrong answer)", "needs_more": False, "used": [0]}


def data(tmp_path: Path) -> Path:
    events = [
        {"id": id, "session": f"s{n}", "at": f"2026-05-0{n + 1}", "speaker": "Ana", "text": text} for n, (id, text) in enumerate(EVENTS)
    ]
    questions = [
        {"id": "q0", "question": "Where did Ana move?", "answer": "Lisbon", "category": "single", "evidence": ["e0"]},
        {"id": "q1", "question": "What is the boat of Bea called?", "answer": "Gaivota", "category": "multi", "evidence": ["e1", "e2"]},
        {"id": "q2", "question": "What is the dog called?", "answer": "", "category": "adversarial", "evidence": ["e2"]},
        {"id": "q3", "question": "Too early?", "answer": "yes", "category": "single", "evidence": ["e0"], "before": 1},
    ]
    file = tmp_path / "mine.json"
    conversations = [{"id": "c", "events": events, "questions": questions}]
    file.write_text(json.dumps({"format": "tierkeep-bench/1", "name": "mine", "conversations": conversations}))
    return file


def test_every_preset_is_simulated_beside_the_baselines(tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    report = tiers.run(data(tmp_path), progress=lambda done, total: ticks.append((done, total)))
    assert report["questions"] == 2  # the unanswerable one and the one asked too early are left out
    assert set(report["ways"]) == {
        "full context", *(f"flat {size}" for size in (512, 1024, 2048, 3072, 4096, 6144, 8192)), "memflow", "hymem", "dmem", "auto",
        "full deliberation",
    }
    for name in ("memflow", "hymem", "dmem", "auto", "full deliberation"):
        way = report["ways"][name]
        assert way["right"] == 1.0 and way["calls"] >= 1 and way["tokens"] > 0, name
        assert sum(way["tiers"].values()) == 2
    assert report["ways"]["full deliberation"]["tiers"] == {"deliberation": 2}
    assert report["compared"]["dmem"]["right_of_deliberation"] == 1.0
    assert ticks[-1][0] == ticks[-1][1]


def test_an_unknown_preset_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        tiers.run(data(tmp_path), presets=["nothing"])
