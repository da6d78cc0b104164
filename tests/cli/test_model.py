"""`tierkeep ask --model` with a model behind a real server on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tierkeep.testing.openai_server import Fault, OpenAIServer


def told(shell: Any) -> Any:
    shell.json("add", "The plumber who fixed the boiler is called Anselmo.", "--at", "2026-03-09")
    return shell


def test_a_model_answers_over_http_and_explain_says_what_it_cost(shell: Any) -> None:
    script: list[Any] = [{"label": "targeted"}, {"answer": "Anselmo", "needs_more": False, "used": [0]}]
    with OpenAIServer(script) as server:
        arguments = ("ask", "Who fixed the boiler?", "--model", "tiny", "--base-url", server.base_url)
        answer = told(shell).json(*arguments)
    assert answer["text"] == "Anselmo"
    assert answer["usage"]["calls"] == {"classify": 1, "answer": 1}
    assert answer["usage"]["tokens_in"] > 0
    assert [request.path for request in server.requests] == ["/v1/chat/completions"] * 2


def test_a_server_that_is_down_leaves_the_answer_of_the_rules(shell: Any) -> None:
    with OpenAIServer(lambda request: Fault(status=500)) as server:
        printed = told(shell)("ask", "Who fixed the boiler?", "--model", "tiny", "--base-url", server.base_url, "--explain")
    assert printed.exit_code == 0
    assert "Anselmo" in printed.stdout and "fallback" in printed.stdout


def test_a_preset_that_does_not_exist_and_a_server_without_a_model(shell: Any) -> None:
    told(shell)
    assert "auto, dmem, hymem, memflow" in shell.error("ask", "x?", "--preset", "nonsense", code=2)["message"]
    assert "--model" in shell.error("ask", "x?", "--base-url", "http://127.0.0.1:1/v1", code=2)["message"]


def test_a_streamed_answer_is_printed_as_it_comes_with_its_evidence_below(shell: Any) -> None:
    script: list[Any] = [{"label": "targeted"}, {"answer": "Anselmo, the plumber", "needs_more": False, "used": [0]}]
    with OpenAIServer(script) as server:
        printed = told(shell)("ask", "Who fixed the boiler?", "--model", "tiny", "--base-url", server.base_url, "--stream")
    assert printed.exit_code == 0
    assert printed.stdout.startswith("Anselmo, the plumber\nEvidence: ")
    assert server.requests[-1].body["stream"] is True


def test_a_streamed_answer_that_does_not_count_is_followed_by_a_line_that_says_so(shell: Any) -> None:
    unsure, sure = {"answer": "I think Bo", "needs_more": True, "used": []}, {"answer": "Anselmo", "needs_more": False, "used": [0]}
    script: list[Any] = [{"label": "targeted"}, unsure, sure]
    with OpenAIServer(script) as server:
        arguments = ("ask", "Who fixed the boiler?", "--model", "tiny", "--base-url", server.base_url, "--preset", "memflow")
        printed = told(shell)(*arguments, "--stream")
    assert printed.stdout.startswith("I think Bo\n(reconsidering …)\nAnselmo\nEvidence: ")


def test_a_streamed_answer_as_json_is_one_object_a_line(shell: Any) -> None:
    script: list[Any] = [{"label": "targeted"}, {"answer": "Anselmo, the plumber", "needs_more": False, "used": [0]}]
    with OpenAIServer(script) as server:
        arguments = ("ask", "Who fixed the boiler?", "--model", "tiny", "--base-url", server.base_url, "--stream", "--json")
        *progress, answer = map(json.loads, told(shell)(*arguments).stdout.splitlines())
    assert [line["progress"]["text"] for line in progress if line["progress"]["what"] == "answer"] == ["Anselmo,", " the", " plumber"]
    assert answer["text"] == "Anselmo, the plumber"
    assert answer["usage"]["calls"]["answer"] == 1


def test_the_rules_answer_is_streamed_in_one_piece(shell: Any) -> None:
    printed = told(shell)("ask", "Who fixed the boiler?", "--stream")
    assert printed.exit_code == 0
    assert "Anselmo" in printed.stdout.splitlines()[0]
    assert shell.error("ask", " ", "--stream", code=2)["type"] == "InputError"


def test_a_model_may_run_here(shell: Any, tmp_path: Path) -> None:
    for framework in ("torch", "transformers", "llguidance"):
        pytest.importorskip(framework)
    from tierkeep_transformers.proof import tiny_model

    for part in tiny_model():
        part.save_pretrained(tmp_path / "tiny")
    answer = told(shell).json("ask", "Who fixed the boiler?", "--model", f"transformers:{tmp_path / 'tiny'}")
    assert "Anselmo" in answer["text"]  # the rules', where the model says nonsense
    assert answer["trace"][0]["skills"]
    assert answer["trace"][0]["skills"][0]["stats"]["policy"] == "none"
    printed = shell("ask", "Who fixed the boiler?", "--model", "transformers:nowhere", "--explain")
    assert printed.exit_code == 0 and "fallback" in printed.stdout
    said = shell.error("ask", "x?", "--model", "transformers:nowhere", "--base-url", "http://127.0.0.1:1/v1", code=2)["message"]
    assert "--base-url names a server" in said
