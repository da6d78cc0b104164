"""A framework's models as ours: every failure is ours, a limit holds, and what a model refused is not sent again."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest

from tierkeep.errors import InputError, ModelError, ModelReplyError
from tierkeep.models.framework import Accepted, FrameworkChat, outcome
from tierkeep.protocols import ChatRequest

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
PLAIN = ChatRequest("answer", "Be brief.", "Where?")
SHAPED = PLAIN._replace(schema=SCHEMA)


def chat(text: str, asked: list[str] | None = None, *counts: int | None) -> FrameworkChat:
    def reply(system: str, user: str, request: ChatRequest) -> tuple[str, int | None, int | None]:
        if asked is not None:
            asked.append(system)
        sent, received = counts or (None, None)
        return text, sent, received

    return FrameworkChat("it", reply)


def test_the_shape_is_said_in_the_prompt() -> None:
    asked: list[str] = []
    model = chat('{"answer": "Lisbon"}', asked)
    model.complete(PLAIN)
    model.complete(SHAPED)
    assert asked[0] == "Be brief."
    assert asked[1].startswith("Be brief.\n\nReply with one JSON object") and '"required": ["answer"]' in asked[1]
    with pytest.raises(InputError):
        model.complete(PLAIN._replace(schema={"type": "nonsense"}))


def test_tokens_are_the_models_count_or_an_estimate() -> None:
    assert chat("Lisbon", None, 7, 3).complete(PLAIN)[2:4] == (7, 3)
    estimated = chat("Lisbon").complete(PLAIN)
    assert estimated.tokens_in > 0 and estimated.tokens_out > 0


def test_an_object_is_checked() -> None:
    assert chat('Sure: {"answer": "Lisbon"}').complete(SHAPED).data == {"answer": "Lisbon"}
    for said in ("Lisbon", '{"answer": 1}'):
        with pytest.raises(ModelReplyError, match="the reply of it"):
            chat(said).complete(SHAPED)


def test_a_limit_holds() -> None:
    done = threading.Event()
    assert outcome(lambda: 1, "it") == 1
    with pytest.raises(ModelError, match=r"it took more than 0\.01 seconds"):
        outcome(lambda: done.wait(20), "it", 0.01)
    done.set()


def test_a_call_sees_the_callers_context() -> None:
    tracer = contextvars.ContextVar("tracer", default="none")
    tracer.set("theirs")
    assert outcome(tracer.get, "it") == "theirs"


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("bad"), "it failed: ValueError: bad"), (TimeoutError("slow"), "it failed: TimeoutError: slow"),
                           (ModelReplyError("ours"), "ours")], ids=["theirs", "timeout", "ours"],
)  # fmt: skip
def test_every_failure_is_ours(error: Exception, message: str) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(ModelError, match=f"^{message}$"):
        outcome(fail, "it", 5)


def test_what_is_refused_is_not_sent_again() -> None:
    sent: list[list[str]] = []

    def client(**options: Any) -> str:
        sent.append(sorted(options))
        if "temperature" in options:
            raise ValueError("Unsupported parameter: temperature")
        return "Lisbon"

    accepted = Accepted("it")
    for _ in range(2):
        assert accepted.call(client, {"temperature": 0, "max_tokens": 9}) == "Lisbon"
    assert sent == [["max_tokens", "temperature"], ["max_tokens"], ["max_tokens"]]
    with pytest.raises(ModelError, match="failed: ConnectionError"):
        accepted.call(lambda **_: (_ for _ in ()).throw(ConnectionError("down")), {"max_tokens": 9})
