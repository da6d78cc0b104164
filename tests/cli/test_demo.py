"""`tierkeep demo` keeps its promises, says which one it breaks, and never touches a memory that exists."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.cli.demo import run
from tierkeep.demo import load_conversation, load_script
from tierkeep.errors import InputError
from tierkeep.evaluate.demonstration import Demonstration

SECTIONS = ["store", "questions", "changed_fact", "poison", "tokens", "forget", "verify"]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All sections of one run, as the JSON document has them."""
    demonstration = Demonstration(tmp_path_factory.mktemp("demo") / "memory")
    sections: dict[str, Any] = dict(demonstration.sections())
    return {**sections, "failures": demonstration.failures}


def failures_with(script: dict[str, Any], folder: Path) -> list[str]:
    demonstration = Demonstration(folder / "memory", script=script)
    for _ in demonstration.sections():
        pass
    return demonstration.failures


def test_every_promise_is_kept(document: dict[str, Any]) -> None:
    assert document["failures"] == []
    assert list(document)[:-1] == SECTIONS


def test_the_whole_conversation_is_stored(document: dict[str, Any]) -> None:
    turns = load_conversation()
    assert document["store"]["messages"] == len(turns)
    assert document["store"]["sessions"] == len({turn["session"] for turn in turns})
    assert document["store"]["bytes"] > sum(len(turn["text"]) for turn in turns)


@pytest.mark.parametrize("tier", ["profile", "targeted", "deep"])
def test_each_tier_answers_a_question_rightly(document: dict[str, Any], tier: str) -> None:
    assert any(entry["ok"] and entry["answered_by"] == tier for entry in document["questions"]["questions"])


def test_evidence_is_cited_with_day_and_speaker(document: dict[str, Any]) -> None:
    for entry in document["questions"]["questions"]:
        assert entry["evidence"], entry["id"]
        for line in entry["evidence"]:
            assert re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d", line["source"]["at"])
            assert line["source"]["speaker"] == "Ines"
        assert {word for line in entry["evidence"] for word in line["has"]} == set(entry["needed"])


def test_the_old_value_is_history_with_its_dates(document: dict[str, Any]) -> None:
    fact, script = document["changed_fact"], load_script()["changed_fact"]
    assert script["before"] in fact["before"]["text"] and fact["before"]["status"] == "superseded"
    assert script["now"] in fact["now"]["text"] and fact["now"]["until"] is None
    assert fact["before"]["until"] == fact["now"]["since"] == script["changed_on"]
    assert [step["op"] for step in fact["history"]].count("supersede") == 1


def test_an_attack_is_kept_but_never_recalled(document: dict[str, Any]) -> None:
    for attack in document["poison"]["attacks"]:
        assert attack["authority"] == "quarantined"
        assert attack["signals"]
        assert attack["leaked"] == []
        assert not attack["asked_for_by_name"]["recalled"]
        assert any(word in attack["stored"]["text"] for word in attack["forbidden"])


def test_evidence_costs_less_than_reading_everything(document: dict[str, Any]) -> None:
    tokens = document["tokens"]
    assert tokens["evidence_tokens"] < tokens["reading_everything_tokens"]
    assert tokens["reading_everything_tokens"] == tokens["questions"] * tokens["conversation_tokens"]
    assert tokens["tokenizer"]


def test_what_is_forgotten_is_gone_from_answers_and_files(document: dict[str, Any]) -> None:
    forget = document["forget"]
    assert forget["before_has"] and not forget["after_has"]
    assert sum(forget["files_before"].values()) > 0 == sum(forget["files_after"].values())
    assert forget["report"]["complete"] and forget["report"]["residue"] == []


def test_an_answer_that_lacks_a_word_fails_the_demo(tmp_path: Path) -> None:
    script = load_script()
    script["questions"][0]["must_contain"] = ["Fahrenheit"]
    failures = failures_with(script, tmp_path)
    assert [failure for failure in failures if script["questions"][0]["id"] in failure and "Fahrenheit" in failure]


def test_a_wrong_day_fails_the_demo(tmp_path: Path) -> None:
    script = load_script()
    question = next(entry for entry in script["questions"] if re.fullmatch(r"\d{4}-\d\d-\d\d", entry["answer"]))
    question["answer"] = "2026-03-11"
    assert any("11 March 2026" in failure for failure in failures_with(script, tmp_path))


def test_a_forbidden_word_in_the_evidence_fails_the_demo(tmp_path: Path) -> None:
    script = load_script()
    script["poison"]["forbidden"] = [script["poison"]["expected"]]
    assert any("the attack reached" in failure for failure in failures_with(script, tmp_path))


def test_a_page_that_is_not_quarantined_fails_the_demo(tmp_path: Path) -> None:
    script = load_script()
    benign = copy.deepcopy(script["poison"])
    benign["session"] = "2026-04-29-a"  # its tool result is an honest fault list
    script["poison_also"].append(benign)
    assert any("was not quarantined" in failure for failure in failures_with(script, tmp_path))


def test_a_term_that_outlives_the_forgetting_fails_the_demo(tmp_path: Path) -> None:
    script = load_script()
    script["forget"]["rare_terms"] = ["Zeferino"]  # told of in many other sessions
    assert any("still in the files" in failure for failure in failures_with(script, tmp_path))


def test_json_is_one_document_and_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == [*SECTIONS, "ok", "failures"]
    assert document["ok"] is True


def test_people_see_every_section_and_no_terminal_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fast=True) == 0
    shown = capsys.readouterr().out
    for number in range(1, 8):
        assert re.search(rf"^ ?{number}\. ", shown, re.MULTILINE)
    assert "ATTACK" in shown and "kept" in shown and "tierkeep doctor" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)


def test_a_named_folder_keeps_the_memory(tmp_path: Path) -> None:
    assert run(as_json=True, store=tmp_path / "kept") == 0
    script = load_script()
    with Memory.open(tmp_path / "kept") as memory:
        assert script["changed_fact"]["now"] in memory.scope(user=script["user"]).ask(script["changed_fact"]["question"]).text


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        run(store=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
