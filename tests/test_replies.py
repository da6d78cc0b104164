"""What another library's chat model said, as ours."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tierkeep.errors import InputError, ModelError, ModelReplyError
from tierkeep.protocols import ChatRequest
from tierkeep.replies import Accepted, read_reply, system_of, within

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
PLAIN = ChatRequest("answer", "Be brief.", "Where?")
SHAPED = PLAIN._replace(schema=SCHEMA)


def test_the_shape_is_said_in_the_prompt() -> None:
    assert system_of(PLAIN) == "Be brief."
    assert system_of(SHAPED).startswith("Be brief.\n\nReply with one JSON object")
    assert '"required": ["answer"]' in system_of(SHAPED)
    with pytest.raises(InputError):
        system_of(PLAIN._replace(schema={"type": "nonsense"}))


@pytest.mark.parametrize(
    ("content", "text"), [("Lisbon", "Lisbon"), (None, ""), ([{"type": "text", "text": "Lis"}, {"type": "image"}, "bon"], "Lisbon")],
    ids=["text", "nothing", "parts"],
)
def test_contents(content: Any, text: str) -> None:
    reply = read_reply(content, PLAIN, label="it")
    assert (reply.text, reply.data) == (text, None)
    assert reply.tokens_in > 0
    assert read_reply(content, PLAIN, label="it", tokens_in=7, tokens_out=3)[2:] == (7, 3)


def test_an_object_is_checked() -> None:
    assert read_reply('Sure: {"answer": "Lisbon"}', SHAPED, label="it").data == {"answer": "Lisbon"}
    for said in ("Lisbon", '{"answer": 1}'):
        with pytest.raises(ModelReplyError, match="the reply of it"):
            read_reply(said, SHAPED, label="it")


def test_within_a_limit() -> None:
    done = threading.Event()
    assert within(None, lambda: 1, label="it") == 1
    with pytest.raises(ModelError, match=r"it did not answer within 0\.01 s"):
        within(0.01, lambda: done.wait(20), label="it")
    done.set()


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("bad"), "it failed: ValueError: bad"), (TimeoutError("slow"), "it failed: TimeoutError: slow"),
                           (ModelReplyError("ours"), "ours")], ids=["theirs", "timeout", "ours"],
)  # fmt: skip
def test_every_failure_is_ours(error: Exception, message: str) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(ModelError, match=f"^{message}$"):
        within(5, fail, label="it")


def test_what_is_refused_is_not_sent_again() -> None:
    sent: list[list[str]] = []

    def client(**options: Any) -> str:
        sent.append(sorted(options))
        if "temperature" in options:
            raise ValueError("Unsupported parameter: temperature")
        if options.get("max_tokens") == 0:
            raise ValueError("max_tokens and no more")
        return "Lisbon"

    accepted = Accepted()
    for _ in range(2):
        assert accepted.call(client, {"temperature": 0, "max_tokens": 9}, seconds=None, label="it") == "Lisbon"
    assert sent == [["max_tokens", "temperature"], ["max_tokens"], ["max_tokens"]]
    with pytest.raises(ModelError, match="failed: ConnectionError"):
        accepted.call(lambda **_: (_ for _ in ()).throw(ConnectionError("down")), {"max_tokens": 9}, seconds=None, label="it")
