"""`tierkeep ask --model` with a model behind a real server on loopback."""

from __future__ import annotations

from typing import Any

from tierkeep.testing.openai_server import Fault, OpenAIServer


def told(shell: Any) -> Any:
    shell.json("add", "The plumber who fixed the boiler is called Anselmo.", "--at", "2026-03-09")
    return shell


def test_a_model_answers_over_http_and_explain_says_what_it_cost(shell: Any) -> None:
    script = [{"label": "targeted"}, {"answer": "Anselmo", "needs_more": False, "used": [0]}]
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
    assert "auto, memflow" in shell.error("ask", "x?", "--preset", "nonsense", code=2)["message"]
    assert "--model" in shell.error("ask", "x?", "--base-url", "http://127.0.0.1:1/v1", code=2)["message"]
