"""The peers benchmark: its data, its sums and tables, and one small run of the systems that are installed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from peers import data, environments, figures, systems
from peers.adapters.base import Known

RUN = Path(__file__).parents[1] / "benchmarks" / "peers" / "run.py"


def test_the_same_numbers_give_the_same_data(tmp_path: Path) -> None:
    one, two, other = data.make(200, questions=20), data.make(200, questions=20), data.make(200, questions=20, seed=2)
    assert one.items == two.items and np.array_equal(one.vectors, two.vectors) and one.questions == two.questions
    assert one.items != other.items and not np.array_equal(one.vectors, other.vectors)
    data.save(one, tmp_path)
    again = data.load(tmp_path)
    assert again.items == one.items and again.first == one.first and np.array_equal(again.question_vectors, one.question_vectors)


def test_texts_differ_and_vectors_lie_as_those_of_an_encoder_do() -> None:
    made = data.make(1_000, per_scope=250, questions=50)
    assert len({item.text for item in made.items}) == 1_000 and len({item.scope for item in made.items}) == 4
    assert len({one.text for one in (*made.first, *made.questions)}) == len(made.first) + 50
    assert max(len(item.text) for item in made.items) < 1_000
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    best = [max(made.vectors @ vector) for vector in made.question_vectors]
    assert 0.7 < float(np.mean(best)) < 0.8
    assert {one.scope for one in made.first} == {one.scope for one in made.questions}


def test_owners_are_filled_in_turn_and_single_adds_go_round() -> None:
    owners = data.scopes_of(1_000, 250, 100)
    assert owners[:50] == [0] * 50 and owners[50:100] == [1] * 50 and owners[-4:] == [0, 1, 2, 3]
    assert data.scopes_of(100, 250, 10) == [0] * 100


def test_nearest_is_brute_force_over_what_one_owner_has_stored() -> None:
    made = data.make(300, per_scope=150, questions=5)
    stored = range(200)
    for question, vector, found in zip(made.questions, made.question_vectors, data.nearest(stored, made, 3), strict=True):
        own = [place for place in stored if made.items[place].scope == question.scope]
        cosines = {made.items[place].id: float(made.vectors[place] @ vector) for place in own}
        assert found == set(sorted(cosines, key=lambda id: -cosines[id])[:3])


def test_recall_is_the_share_of_the_neighbours_that_were_found() -> None:
    assert data.recall_of([["a", "b"], ["c"]], [{"a", "x"}, {"c"}]) == 0.75
    assert data.recall_of([["a"]], [set()]) is None
    assert data.recall_of([["a"]], [{"a"}, {"b"}]) == 1.0  # the second question was not asked in time


def test_vectors_are_found_by_text_in_what_systems_put_around_it() -> None:
    known = Known(["hello", "Ana: hi"], np.eye(2, 3, dtype=np.float32))
    for text in ("hello", " hello ", '{"text": "hello"}', "user: hello", "<message role='user'>hello</message>"):
        assert known.list(text) == [1, 0, 0] and not known.unknown
    assert known.list("Ana: hi") == [0, 1, 0]
    assert known.rows(["other", "other"]).shape == (2, 3) and known.unknown == {"other"}


def report() -> dict[str, Any]:
    def filled(one: float, **more: Any) -> dict[str, Any]:
        return {"count": 100, "batched": 80, "of": 80, "batch_s": 2.0, "single_ms": [one] * 20, "single_s": one / 50, "single_cpu_ms": one,
                "rss_mb": 90.0, "disk_mb": 1.5} | more  # fmt: skip

    def asked(mode: str, one: float, ids: list[str]) -> dict[str, Any]:
        own = {"touch_ms": [2 * one], "ms": [one] * 100, "cpu_ms": one / 2, "found": [ids], "rss_mb": 70.0}
        return {mode: own, "open_ms": 5.0, "first_ms": 1.0, "started_ms": 900.0}

    made: dict[str, Any] = {
        "sizes": [100], "limit": 9, "fsyncs": {"chromadb, filter": 2.0}, "import_s": {"tierkeep": 0.25},
        "main": {"tierkeep": "nearest", "chromadb, filter": "search"},
        "versions": {"chromadb, filter": {"chromadb": "1.5.9", "python": "3.11"}}, "machine": "PC",
        "about": {"chromadb, filter": "a filter"},
        "missing": [{"system": "mem0, qdrant", "size": 100, "why": "not installed: no such version"}],
        "writing": [figures.writing("tierkeep", 100, filled(0.5)), figures.writing("chromadb, filter", 100, filled(20.0, batched=40))],
        "reading": [
            figures.reading("tierkeep", 100, "nearest", asked("nearest", 0.1, ["a"]), 1.0, 100),
            figures.reading("tierkeep", 100, "recall 2048", asked("recall 2048", 4.0, ["a"]), None, 100),
            figures.reading("chromadb, filter", 100, "search", asked("search", 3.0, ["a"]), 0.8, 60),
        ],
    }  # fmt: skip
    return made | {"ratios": figures.ratios(made)}


def test_ratios_say_for_each_row_whether_its_floor_is_met() -> None:
    told = {(row["ours"], row["against"]): (row["ratio"], row["met"], row["cpu_ratio"]) for row in report()["ratios"]}
    assert told == {
        ("tierkeep", "chromadb, filter"): (40.0, True, 40.0),
        ("tierkeep: the nearest 10", "chromadb, filter"): (30.0, True, 30.0),
        ("tierkeep: `recall`, 2,048 tokens", "chromadb, filter"): (0.75, False, 0.75),
    }


def test_tables_name_what_did_not_end_and_what_is_not_there(tmp_path: Path) -> None:
    made = figures.tables(report())
    assert "| chromadb, filter | 2.0 | 20.0 / 20.0 | 20.0* |" in made["writing"]
    assert "chromadb, filter at 100: 40 of 80 were stored when 9 s were over" in made["writing"]
    assert "mem0, qdrant at 100: not installed: no such version" in made["writing"]
    assert "| chromadb, filter | 3.00 / 3.00 / 3.00 | 80.0 % |" in made["reading"]
    assert "0.75 × (0.75 ×), **not met**" in made["floors"] and "40.0 × (40.0 ×), met" in made["floors"]
    assert "| chromadb, filter | a filter | chromadb 1.5.9 | – |" in made["about"]
    figures.draw(report(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_tables_go_between_their_marks_and_nowhere_else() -> None:
    page = "before\n<!-- peers-cold -->\nold\n<!-- /peers-cold -->\nafter"
    assert figures.into(page, {"cold": "new"}) == page.replace("\nold\n", "\nnew\n")
    with pytest.raises(ValueError, match="peers-floors"):
        figures.into(page, {"floors": "new"})


def test_the_page_has_all_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert figures.into(page, dict.fromkeys((*figures.tables(report()), "evidence"), "…")) != page


def test_every_peer_has_pinned_requirements() -> None:
    for system in systems.SYSTEMS:
        if not system.env:
            continue
        lines = (environments.HERE / "requirements" / f"{system.env}.txt").read_text(encoding="utf-8").splitlines()
        pinned = {line.partition("==")[0] for line in lines if line and not line.startswith("#")}
        assert all("==" in line for line in lines if line and not line.startswith("#")) and set(system.packages) <= pinned
    assert [one.name for one in systems.chosen(["chroma"])] == ["chromadb, filter", "chromadb, collections"]
    with pytest.raises(ValueError, match="no system 'mem1'"):
        systems.chosen(["mem1"])


def worked(phase: str, adapter: str, folder: Path, **more: Any) -> dict[str, Any]:
    out = folder / f"{adapter.replace(':', '-')}-{phase}.json"
    job = {"adapter": adapter, "options": {}, "data": str(folder / "data"), "store": str(folder / adapter.replace(":", "-")), "limit": 60,
           "k": 10, "singles": 20, "out": str(out), "started": 0.0}  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-m", "peers.worker", phase, json.dumps(job | more)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ())
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def environ() -> dict[str, str]:
    import os

    path = [str(RUN.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def test_tierkeep_and_chromadb_store_and_find_the_same(tmp_path: Path) -> None:
    made = data.make(120, per_scope=60, singles=20, questions=12)
    data.save(made, tmp_path / "data")
    truth = data.nearest(range(120), made)
    adapters = ["tierkeep:Tierkeep"]
    if environments.installed("chromadb"):
        adapters.append("chroma:Chroma")
    answers = {}
    for adapter in adapters:
        filled = worked("fill", adapter, tmp_path)
        assert filled["count"] == 120 and filled["singles"] == 20 and filled["disk_mb"] > 0 and filled["unknown"] == 0
        answers[adapter] = asked = worked("ask", adapter, tmp_path)
        first = next(key for key, value in asked.items() if isinstance(value, dict))
        assert data.recall_of(asked[first]["found"], truth) == 1.0
        assert asked["open_ms"] > 0 and len(asked[first]["ms"]) == 12
    owners = {item.id: item.scope for item in made.items}
    for question, found in zip(made.questions, answers["tierkeep:Tierkeep"]["recall 2048"]["found"], strict=True):
        assert found and {owners[id] for id in found} == {question.scope}
