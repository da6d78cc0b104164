from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXTS = [
    "Yesterday at the harbour I met Ilse, who carried a violin.", "In the orchard I met Kadir, who carried a lantern.",
    "It rained all day.", "That violin from the harbour still belongs to Ilse.", "That lantern from the orchard belongs to Kadir.",
]  # fmt: skip


@pytest.fixture
def told(shell: Any) -> Any:
    for number, text in enumerate(TEXTS):
        assert shell("add", text, "--at", f"2026-05-{number + 1:02}", "--session", f"s{number}").exit_code == 0
    return shell


def test_the_own_memory_is_probed_and_stays_as_it_is(told: Any) -> None:
    before = told("export").stdout
    report = told.json("bench", "probe", "--probes", "10")
    assert (report["messages"], report["probes"], report["recovery"], report["embedder"]) == (5, 4, 1.0, "none")
    assert "misses" not in report
    shown = told("bench", "probe").stdout
    assert "100.0 %" in shown and "name" in shown
    assert told("export").stdout == before


def test_misses_hold_the_texts_only_when_asked(told: Any) -> None:
    assert told.json("bench", "probe", "--misses")["misses"] == []


def test_data_sets_instead_of_a_store(shell: Any, file: Callable[..., str]) -> None:
    events = [
        {"id": str(n), "session": str(n), "at": f"2026-05-{n + 1:02}", "speaker": "Ana", "text": text} for n, text in enumerate(TEXTS)
    ]
    document = {"format": "tierkeep-bench/1", "name": "tiny", "conversations": [{"id": "c", "events": events, "questions": []}]}
    a, b = file("a.json", json.dumps(document)), file("b.json", json.dumps(document))
    assert shell.json("bench", "probe", "--data", a)["by_scope"]["c"]["probes"] == 4
    assert len(shell.json("bench", "probe", "--data", a, "--data", b, "--probes", "2")["runs"]) == 2
    assert "came back" in shell("bench", "probe", "--data", a).stdout
    assert not Path(shell.store).exists()


def test_errors(shell: Any, told: Any) -> None:
    assert "no embedder" in told.error("bench", "probe", "--embedder", "magic", code=2)["message"]
    assert "nothing to probe" in told.error("bench", "probe", "--user", "bo", code=2)["message"]
    assert told.error("bench", "probe", "--user", "", code=2)["type"] == "ScopeError"
    assert told.error("bench", "probe", "--session", "s1", code=2)["type"] == "InputError"


def test_no_store_yet(shell: Any) -> None:
    assert shell.error("bench", "probe", code=1)["type"] == "NotFoundError"
