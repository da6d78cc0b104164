"""Small data written for these tests, and a small embedder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep.terms import term_ids


class TermEmbedder:
    """Embeds a text as the counts of its index terms, folded into a few numbers. Counts the texts that it was given."""

    identity = "terms-64"
    dimension = 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            np.add.at(row, term_ids(text) % self.dimension, 1.0)
            row[0] += 1e-3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def embedder() -> TermEmbedder:
    return TermEmbedder()


def chat() -> dict[str, Any]:
    """Two conversations in the generic format: five questions, one of them adversarial, one with `before`."""
    return {
        "format": "tierkeep-bench/1", "name": "boats",
        "conversations": [
            {
                "id": "one",
                "events": [
                    _said("1", "a", "2026-05-02", "Ana", "My kayak is green and leaks."),
                    _said("2", "a", "2026-05-02", "Bo", "Buy a pump, then."),
                    _said("3", "b", "2026-06-10", "Ana", "The pump came by post from Setubal."),
                    _said("4", "b", "2026-06-10", "Bo", "My sister Ilse sails a catamaran."),
                    _said("5", "c", "2026-07-01", "Ana", "We paddled to the lighthouse yesterday."),
                ],
                "questions": [
                    _asked("q1", "Which colour is the kayak of Ana?", "green", "single", ["1"]),
                    _asked("q2", "Where did the pump come from?", "from Setubal", "single", ["3"]),
                    _asked("q3", "What does Ilse sail, and does the kayak of Ana leak?", "a catamaran; a kayak", "multi", ["1", "4"]),
                    _asked("q4", "What did Ana buy in Lisbon?", "", "adversarial", ["3"]),
                    _asked("q5", "What leaks?", "the kayak", "single", ["1"]) | {"before": 2},
                ],
            },
            {
                "id": "two",
                "events": [
                    _said("1", "a", "2026-05-02", "Cleo", "The rudder of the dinghy broke near Sines."),
                    _said("2", "a", "2026-05-02", "Dan", "Ask the joiner."),
                ],
                "questions": [_asked("q1", "What broke near Sines?", "the rudder", "single", ["1"])],
            },
        ],
    }  # fmt: skip


def _said(id: str, session: str, at: str, speaker: str, text: str) -> dict[str, str]:
    return {"id": id, "session": session, "at": at, "speaker": speaker, "text": text}


def _asked(id: str, question: str, answer: str, category: str, evidence: list[str]) -> dict[str, Any]:
    return {"id": id, "question": question, "answer": answer, "category": category, "evidence": evidence}


@pytest.fixture
def chat_file(tmp_path: Path) -> Path:
    path = tmp_path / "boats.json"
    path.write_text(json.dumps(chat()), encoding="utf-8")
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Writes a JSON document, or a text as it stands, and returns its path."""

    def put(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return path

    return put
