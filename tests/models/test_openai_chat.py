from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

import tierkeep
from tierkeep.errors import InputError, ModelError, ModelReplyError, SettingsError
from tierkeep.models.openai import OpenAIChat
from tierkeep.protocols import ChatModel, ChatReply, ChatRequest
from tierkeep.testing.chat import SCHEMA, ChatModelContract
from tierkeep.testing.openai_server import Fault, OpenAIServer, Request
from tierkeep.tokens import EstimateCounter

SYSTEM, SECRET = "You answer briefly.", "where is the purple pelican buried"
FITS = {"answer": "Paris", "needs_more": False}
FORMATS = ["json_schema", "json_object", None]


@pytest.fixture
def open_() -> Iterator[Callable[[AbstractContextManager[Any]], Any]]:
    """Enter servers and models that are closed after the test, models first."""
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def talk(open_: Callable[[AbstractContextManager[Any]], Any]) -> Callable[..., tuple[OpenAIChat, OpenAIServer]]:
    """A model and its server, from a script; `server` and other keywords go to the one or the other."""

    def make(script: Any = (), *, server: dict[str, Any] | None = None, **options: Any) -> tuple[OpenAIChat, OpenAIServer]:
        double = open_(OpenAIServer(script, **(server or {})))
        return open_(OpenAIChat("m", base_url=double.base_url, **options)), double

    return make


def ask(schema: Any = None, **more: Any) -> ChatRequest:
    return ChatRequest("answer", SYSTEM, SECRET, schema=schema, **more)


def fails(chat: OpenAIChat, match: str, schema: Any = None, **more: Any) -> ModelError:
    """Assert that the request fails, and that nothing that is shown of the failure holds the prompt."""
    with pytest.raises(ModelError, match=match) as caught:
        chat.complete(ask(schema, **more))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    assert "pelican" not in shown
    assert SYSTEM not in shown
    return caught.value


def forms(server: OpenAIServer) -> list[str | None]:
    """How each request asked for an object."""
    return [(request.body.get("response_format") or {}).get("type") for request in server.requests]


def whole(text: str = "Paris", **choice: Any) -> dict[str, Any]:
    """A reply of any shape."""
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": message, **choice}]}


def fill(request: Request) -> Any:
    return FITS if "JSON" in str(request.body) or "response_format" in request.body else "Paris"


@pytest.fixture(
    scope="class",
    params=[{}, {"structured": False}, {"structured": "json_object"}, {"ignore_format": True}, {"usage": False}],
    ids=lambda options: "_".join(options) or "plain",
)
def contract_server(request: pytest.FixtureRequest) -> Iterator[None]:
    with OpenAIServer(fill, **request.param) as server, OpenAIServer([Fault(garbage=True)]) as broken:
        request.cls.url, request.cls.broken_url = server.base_url, broken.base_url
        yield


@pytest.mark.usefixtures("contract_server")
class TestContract(ChatModelContract):
    url: str
    broken_url: str

    def make_chat(self) -> ChatModel:
        return OpenAIChat("m", base_url=self.url)

    def make_broken_chat(self) -> ChatModel:
        return OpenAIChat("m", base_url=self.broken_url)


# ------------------------------------------------------------------------------------------------------ what is sent


def test_the_request_and_the_reply(talk: Any) -> None:
    chat, server = talk(["Paris it is"], extra={"seed": 7})
    reply = chat.complete(ask(max_tokens=99, temperature=0.5))
    assert reply == ChatReply("Paris it is", None, 9, 3)
    (sent,) = server.requests
    assert sent.body == {
        "model": "m",
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": SECRET}],
        "temperature": 0.5,
        "max_tokens": 99,
        "seed": 7,
    }


def test_a_schema_is_sent_and_strict_only_where_it_can_be(talk: Any) -> None:
    chat, server = talk(lambda _: FITS)
    loose = {"type": "object", "properties": {"answer": {"type": "string"}, "more": {"type": "string"}}, "required": ["answer"]}
    chat.complete(ask(SCHEMA))
    chat.complete(ask(loose))
    sent = [request.body["response_format"]["json_schema"] for request in server.requests]
    assert [(one["name"], one["schema"], one["strict"]) for one in sent] == [("answer", SCHEMA, True), ("answer", loose, False)]


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "prompt"])
def test_the_system_text_stands_first_and_stays_the_same(talk: Any, structured: str) -> None:
    chat, server = talk(lambda _: FITS, structured=structured)
    chat.complete(ask(SCHEMA))
    chat.complete(ask(SCHEMA)._replace(user="something else"))
    firsts = [request.body["messages"][0] for request in server.requests]
    assert firsts[0] == firsts[1]
    assert firsts[0]["role"] == "system"
    assert firsts[0]["content"].startswith(SYSTEM)
    assert ('"needs_more"' in firsts[0]["content"]) is (structured != "json_schema")


def test_half_of_a_character_can_be_sent(talk: Any) -> None:
    chat, server = talk(["fine"])
    assert chat.complete(ask()._replace(user="broken \ud83d here")).text == "fine"
    assert server.requests[0].body["messages"][1]["content"] == "broken ? here"


def test_an_empty_reply_is_a_text(talk: Any) -> None:
    chat, _ = talk([Fault(body=whole(message={"content": None})), Fault(body=whole(message={"content": [{"type": "text", "text": "a"}]}))])
    assert [chat.complete(ask()).text, chat.complete(ask()).text] == ["", "a"]


def test_missing_usage_is_estimated(talk: Any) -> None:
    chat, _ = talk(["Paris it is"], server={"usage": False})
    reply = chat.complete(ask())
    count = EstimateCounter().count
    assert reply[2:4] == (count(SYSTEM) + count(SECRET), count("Paris it is"))


@pytest.mark.parametrize("usage", [{"prompt_tokens": -1, "completion_tokens": "many"}, "free", [], {"prompt_tokens": True}])
def test_nonsense_usage_is_estimated(talk: Any, usage: Any) -> None:
    chat, _ = talk([Fault(body={**whole(), "usage": usage})])
    assert chat.complete(ask()).tokens_in > 1


# ------------------------------------------------------------------------------------------------------------- keys


def test_a_server_that_is_named_gets_no_key_of_another(talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    chat, server = talk(["a", "b"])
    chat.complete(ask())
    with OpenAIChat("m", base_url=server.base_url, api_key="sk-mine") as keyed:
        keyed.complete(ask())
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer not-needed", "Bearer sk-mine"]


@pytest.mark.parametrize("key", [None, "sk-environment"])
def test_the_environment_is_read_when_nothing_is_given(talk: Any, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    _, server = talk(["a"])
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with OpenAIChat("m") as chat:
        chat.complete(ask())
    assert server.requests[0].headers["authorization"] == f"Bearer {key or 'not-needed'}"


def test_a_missing_key_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"api_key=.*OPENAI_API_KEY.*base_url="):
        OpenAIChat("m")


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "localhost:8000"},
        {"base_url": "http://[oops/v1"},
        {"base_url": "http://h:port/v1"},
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"retries": -1},
        {"structured": "yaml"},
        {"extra": {"messages": []}},
        {"extra": {"seed": {1, 2}}},
    ],
    ids=str,
)
def test_arguments_that_cannot_hold(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        OpenAIChat("m", **{"base_url": "http://127.0.0.1:1/v1", **options})


@pytest.mark.parametrize(("blocked", "statement"), [("openai", "OpenAIChat('m', api_key='k')"), ("jsonschema", "chat.complete(asked)")])
def test_a_missing_extra_says_the_command(blocked: str, statement: str) -> None:
    """In a process of its own whose import system does not find the package."""
    program = f"""
import sys
real = list(sys.meta_path)
class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            return None
        return next((spec for finder in real if (spec := finder.find_spec(name, path, target)) is not None), None)
sys.meta_path[:] = [Hiding()]
from tierkeep.models.openai import OpenAIChat
from tierkeep.protocols import ChatRequest
from tierkeep.errors import MissingExtraError
try:
    if {blocked!r} != "openai":
        chat = OpenAIChat("m", base_url="http://127.0.0.1:1/v1")
        asked = ChatRequest("answer", "s", "u", schema={{"type": "object"}})
    {statement}
except MissingExtraError as error:
    sys.stdout.write(f"{{error.extra}}: {{error}}")
"""
    path = os.pathsep.join(filter(None, (str(Path(tierkeep.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.stdout.startswith("openai: "), done.stderr
    assert 'pip install "tierkeep[openai]"' in done.stdout


# ---------------------------------------------------------------------------------------------------- objects in replies


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, ["json_schema"] * 2),
        ({"structured": "json_object"}, ["json_schema", "json_object", "json_object"]),
        ({"structured": False}, ["json_schema", "json_object", None, None]),
        ({"ignore_format": True}, ["json_schema", "json_object", "json_object"]),
    ],
)
def test_a_server_that_knows_less_is_asked_for_less_and_remembered(talk: Any, server: dict[str, Any], expected: list[Any]) -> None:
    chat, double = talk(fill, server=server)
    assert [chat.complete(ask(SCHEMA)).data, chat.complete(ask(SCHEMA)).data] == [FITS, FITS]
    assert forms(double) == expected


def test_both_requests_are_paid_for_when_the_format_was_ignored(talk: Any) -> None:
    chat, _ = talk(["no object here", FITS])
    reply = chat.complete(ask(SCHEMA))
    assert reply.tokens_out == 3 + len(json.dumps(FITS).split())


def test_a_server_that_kept_the_format_once_is_not_asked_for_less(talk: Any) -> None:
    chat, double = talk([FITS, "no object here"])
    chat.complete(ask(SCHEMA))
    assert fails(chat, "no JSON object", SCHEMA).reply == "no object here"  # type: ignore[attr-defined]
    assert forms(double) == ["json_schema"] * 2


@pytest.mark.parametrize("structured", ["json_schema", "json_object"])
def test_a_fixed_format_is_kept_to(talk: Any, structured: str) -> None:
    chat, double = talk(fill, server={"structured": False}, structured=structured)
    fails(chat, "HTTP 400", SCHEMA)
    assert forms(double) == [structured]


def test_an_error_about_something_else_lowers_nothing(talk: Any) -> None:
    chat, double = talk([Fault(400, {"error": {"message": f"too long: {SECRET}", "code": "context_length_exceeded"}}), FITS])
    fails(chat, r"HTTP 400 \(context_length_exceeded\)", SCHEMA)
    assert chat.complete(ask(SCHEMA)).data == FITS
    assert forms(double) == ["json_schema"] * 2


def test_fields_that_a_server_does_not_take_are_left_out(talk: Any) -> None:
    def picky(request: Request) -> Any:
        if "max_tokens" in request.body:
            return Fault(400, {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}})
        if "temperature" in request.body:
            return Fault(400, {"error": {"message": "'temperature' does not support 0 with this model."}})
        return "Paris"

    chat, double = talk(picky)
    assert [chat.complete(ask(max_tokens=9)).text, chat.complete(ask()).text] == ["Paris", "Paris"]
    assert len(double.requests) == 4
    assert double.requests[2].body["max_completion_tokens"] == 9


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FITS),
        f"\n```json\n{json.dumps(FITS, indent=2)}\n```\n",
        f"Here it is {{not json}}: {json.dumps(FITS)} -- I hope {{it}} helps.",
        f'<think>Maybe {{"answer": "Rome", "needs_more": true}}?</think>{json.dumps(FITS)}',
        f"{json.dumps(FITS)} once more: {json.dumps(FITS)}",
        f'{{"other": 1}} {json.dumps(FITS)}',
    ],
)
def test_the_object_is_found(talk: Any, text: str) -> None:
    chat, _ = talk([text])
    assert chat.complete(ask(SCHEMA)) == ChatReply(text, FITS, 9, len(text.split()))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no object", "no JSON object"),
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"answer": "cut', "no JSON object"),
        ('{"outer": {"answer": "x", "needs_more": true}', "no JSON object"),
        ('{"answer": NaN}', "no JSON object"),
        ('{"answer": ' + "9" * 5_000 + "}", "no JSON object"),
        ('{"a":' * 100_000, "no JSON object"),
        ('{"' * 100_000, "no JSON object"),
        ('{"answer": "pelican"}', "schema at required"),
        ('{"answer": "pelican", "needs_more": "pelican"}', "schema at properties/needs_more/type"),
        ('{"answer": "x", "needs_more": true, "pelican": 1}', "schema at additionalProperties"),
        ('{"answer": "\\ud83d", "needs_more": true}', "half of a character"),
        ('{"answer": "x", "needs_more": true} or {"answer": "y", "needs_more": true}', "2 different objects"),
    ],
    ids=lambda value: value[:30],
)
def test_a_reply_that_does_not_fit(talk: Any, text: str, problem: str) -> None:
    chat, double = talk([text], structured="json_schema")
    error = fails(chat, problem, SCHEMA)
    assert isinstance(error, ModelReplyError)
    assert error.reply == text
    assert len(double.requests) == 1


def test_a_schema_that_is_none_is_the_callers_mistake(talk: Any) -> None:
    chat, double = talk()
    with pytest.raises(InputError, match="schema"):
        chat.complete(ask({"type": "thing"}))
    assert not double.requests


# -------------------------------------------------------------------------------------------------------------- faults

ECHO = {"error": {"message": f"you said: {SECRET}", "code": SECRET}}


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (Fault(401, ECHO), "HTTP 401 .the server does not accept the API key.$"),
        (Fault(403, SECRET), "HTTP 403"),
        (Fault(404, {"error": {"message": "no", "code": "model_not_found"}}), "HTTP 404 .no such model or address. .model_not_found."),
        (Fault(400, SECRET), "HTTP 400"),
        (Fault(400, ""), "HTTP 400"),
        (Fault(400, {"error": SECRET}), "HTTP 400"),
        (Fault(400, {"error": {"code": 7, "message": [SECRET]}}), "HTTP 400"),
        (Fault(garbage=True), "not a JSON object"),
        (Fault(body="[1]"), "not a JSON object"),
        (Fault(body='{"a":' * 100_000), "not a JSON object"),
        (Fault(body={}), "without a message"),
        (Fault(body={"choices": []}), "without a message"),
        (Fault(body={"choices": [SECRET]}), "without a message"),
        (Fault(body=whole(message={"refusal": SECRET})), "refused"),
        (Fault(body=whole(finish_reason="content_filter")), "content filter"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_failure_that_is_not_tried_again(talk: Any, fault: Fault, match: str) -> None:
    chat, double = talk([fault, "too late"])
    assert not isinstance(fails(chat, match), ModelReplyError)
    assert len(double.requests) == 1


def test_a_reply_that_was_cut_off_is_handed_over(talk: Any) -> None:
    chat, _ = talk([Fault(body=whole('{"answer": "Par', finish_reason="length"))])
    error = fails(chat, "max_tokens=5", SCHEMA, max_tokens=5)
    assert isinstance(error, ModelReplyError)
    assert error.reply == '{"answer": "Par'


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(429, ECHO, retry_after=0.01)],
        [Fault(500, retry_after=0.01), Fault(503, retry_after=0)],
        [Fault(408, retry_after=0)],
        [Fault(close=True)],
    ],
    ids=["429", "500 twice", "408", "closed"],
)
def test_what_passes_is_tried_again(talk: Any, faults: list[Fault]) -> None:
    chat, double = talk([*faults, "Paris"])
    assert chat.complete(ask()).text == "Paris"
    assert len(double.requests) == len(faults) + 1


@pytest.mark.parametrize(
    ("fault", "match"), [(Fault(429, ECHO, retry_after=0), "HTTP 429"), (Fault(close=True), "broke off"), (Fault(500, SECRET), "HTTP 500")]
)
def test_what_does_not_pass_fails_after_the_last_try(talk: Any, fault: Fault, match: str) -> None:
    chat, double = talk([fault] * 9, retries=1)
    fails(chat, match)
    assert len(double.requests) == 2


def test_a_pause_beyond_the_deadline_is_not_waited_for(talk: Any) -> None:
    chat, double = talk([Fault(429, retry_after=600), "too late"], timeout_s=30.0)
    fails(chat, "HTTP 429")
    assert len(double.requests) == 1


def test_nobody_is_there() -> None:
    with OpenAIServer() as gone:
        url = gone.base_url
    with OpenAIChat("m", base_url=url, retries=0) as chat:
        fails(chat, "connection failed")


@pytest.mark.parametrize(
    "fault", [Fault(delay_s=600.0), Fault(drip=True), Fault(drip="headers"), Fault(500, drip=True)], ids=["slow", "body", "headers", "500"]
)
def test_no_server_stretches_the_deadline(talk: Any, fault: Fault) -> None:
    """The server would go on until it is stopped: that the test ends is the proof. Afterwards the model is as good as new."""
    chat, _ = talk([fault, "Paris"])
    fails(chat, r"did not reply within 0\.3 s", timeout_s=0.3)
    assert chat.complete(ask()).text == "Paris"


def test_retries_are_inside_the_deadline(talk: Any) -> None:
    chat, _ = talk(lambda _: Fault(500, delay_s=0.1, retry_after=0.1), retries=1_000)
    fails(chat, "HTTP 500|did not reply", timeout_s=0.5)


def test_the_models_own_limit_holds_when_the_request_has_none(talk: Any) -> None:
    chat, _ = talk([Fault(drip=True)], timeout_s=0.3)
    fails(chat, r"0\.3 s")


# ------------------------------------------------------------------------------------------------------------- streams


def test_a_stream_has_its_reply_at_the_end(talk: Any) -> None:
    chat, server = talk(["Paris it is"])
    with chat.stream(ask()) as stream:
        assert next(stream) == "Paris"
        assert stream.reply is None
        assert list(stream) == [" it", " is"]
    assert stream.reply == ChatReply("Paris it is", None, 9, 3)
    assert list(stream) == []
    assert server.requests[0].body["stream"] is True


def test_a_stream_without_usage_is_estimated(talk: Any) -> None:
    chat, _ = talk(["Paris it is"], server={"usage": False})
    stream = chat.stream(ask())
    assert "".join(stream) == "Paris it is"
    assert stream.reply[2:4] == (EstimateCounter().count(SYSTEM) + EstimateCounter().count(SECRET), EstimateCounter().count("Paris it is"))


def test_a_server_without_stream_options(talk: Any) -> None:
    chat, _ = talk(lambda request: Fault(400, "unknown field stream_options") if "stream_options" in request.body else "Paris")
    assert list(chat.stream(ask())) == ["Paris"]


OBJECT = '{"answer": "It is Paris", "needs_more": false}'
WORDS = ['{"answer":', ' "It', " is", ' Paris",', ' "needs_more":', " false}"]


def test_an_object_is_streamed_as_it_is_written(talk: Any) -> None:
    chat, server = talk([OBJECT, OBJECT])
    with chat.stream(ask(SCHEMA)) as stream:
        assert list(stream) == WORDS
    assert stream.reply.data == {"answer": "It is Paris", "needs_more": False}
    assert stream.reply.text == OBJECT
    assert server.requests[0].body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert chat.complete(ask(SCHEMA)) == stream.reply


@pytest.mark.parametrize("server", [{"structured": False}, {"structured": "json_object"}])
def test_a_stream_finds_out_how_to_ask_for_an_object(talk: Any, server: dict[str, Any]) -> None:
    chat, double = talk(lambda _: OBJECT, server=server)
    for _ in range(2):
        assert list(chat.stream(ask(SCHEMA))) == WORDS
    last = "json_object" if server["structured"] else None
    assert forms(double) == [*FORMATS[: FORMATS.index(last) + 1], last]


def test_nothing_is_shown_of_the_text_of_a_server_that_ignores_the_schema(talk: Any) -> None:
    chat, double = talk(lambda request: OBJECT if "JSON" in str(request.body) else "Paris it is", server={"ignore_format": True})
    stream = chat.stream(ask(SCHEMA))
    assert list(stream) == WORDS
    assert stream.reply.tokens_out == 3 + len(WORDS)  # what the first attempt cost is not lost
    assert forms(double) == ["json_schema", "json_object"]


@pytest.mark.parametrize("said", ["no {json", '{"answer": "x"}', '{"answer": 1, "needs_more": false}', f"{OBJECT} {OBJECT[:-6]}true}}"])
def test_a_streamed_object_that_does_not_fit_fails_at_its_end(talk: Any, said: str) -> None:
    chat, _ = talk(lambda _: said)
    stream = chat.stream(ask(SCHEMA))
    got = []
    with pytest.raises(ModelReplyError) as caught:
        for piece in stream:
            got.append(piece)
    assert "".join(got) == said == caught.value.reply
    assert stream.reply is None


def test_a_schema_that_is_none_is_refused_before_a_stream_begins(talk: Any) -> None:
    chat, server = talk()
    with pytest.raises(InputError, match="not a JSON schema"):
        chat.stream(ask({"type": "nonsense"}))
    assert server.requests == []


FIRST = 'data: {"choices":[{"index":0,"delta":{"content":"half a"},"finish_reason":null}]}\n\n'


@pytest.mark.parametrize(
    ("fault", "match", "pieces"),
    [
        (Fault(close=True, body="half a"), "broke off", ["half", " a"]),
        (Fault(garbage=True, body="half a"), "broke off", ["half", " a"]),
        (Fault(body=FIRST), "broke off", ["half a"]),
        (Fault(body=FIRST + f'data: {{"error": {{"message": "{SECRET}"}}}}\n\n'), "broke off", ["half a"]),
        (Fault(body=FIRST + 'data: {"choices": "odd"}\n\ndata: [1]\n\n'), "broke off", ["half a"]),
        (Fault(body=FIRST.replace("null", '"length"') + "data: [DONE]\n\n"), "cut off", ["half a"]),
        (Fault(body=FIRST.replace('"content"', '"refusal"').replace("null", '"stop"')), "refused", []),
        (Fault(401, ECHO), "HTTP 401", []),
        (Fault(drip=True), "did not reply", []),
        (Fault(drip="headers"), "did not reply", []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_stream_that_fails(talk: Any, fault: Fault, match: str, pieces: list[str]) -> None:
    chat, _ = talk([fault])
    stream = chat.stream(ask(timeout_s=2.0 if pieces else 0.5))
    got = []
    with pytest.raises(ModelError, match=match) as caught:
        for piece in stream:
            got.append(piece)
    assert got == pieces
    assert stream.reply is None
    assert "pelican" not in "".join(traceback.format_exception(caught.value))
    assert list(stream) == []


def test_a_stream_is_tried_again_before_its_first_piece(talk: Any) -> None:
    chat, _ = talk([Fault(500, retry_after=0), "Paris"])
    assert list(chat.stream(ask())) == ["Paris"]


def test_a_stream_may_be_left(talk: Any) -> None:
    chat, _ = talk(lambda request: Fault(drip=True) if request.body.get("stream") else "Paris")
    with chat.stream(ask()) as stream:
        pass
    assert list(stream) == []
    assert chat.complete(ask()).text == "Paris"


# ------------------------------------------------------------------------------------------------------------- threads


def test_threads_share_a_model(talk: Any) -> None:
    """Each gets its own reply, and a format that the server does not know is given up once for all."""
    chat, _ = talk(lambda request: {"answer": request.body["messages"][-1]["content"], "needs_more": False}, server={"structured": False})
    got: dict[str, Any] = {}

    def work(name: str) -> None:
        for turn in range(5):
            got[f"{name}{turn}"] = chat.complete(ChatRequest("answer", SYSTEM, f"{name}{turn}", schema=SCHEMA)).data["answer"]  # type: ignore[index]

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 10
    assert all(key == value for key, value in got.items())


def test_a_slow_call_does_not_hold_up_another(talk: Any) -> None:
    chat, _ = talk(lambda request: Fault(drip=True) if request.body["messages"][-1]["content"] == "slow" else "Paris")
    failed: list[ModelError] = []

    def slow() -> None:
        try:
            chat.complete(ask()._replace(user="slow"))
        except ModelError as error:
            failed.append(error)

    thread = threading.Thread(target=slow)
    thread.start()
    assert chat.complete(ask()).text == "Paris"
    chat.close()
    thread.join()
    assert "closed" in str(failed[0])


def at_work() -> set[threading.Thread]:
    """Return the threads of models; one that an earlier test dropped may still wait to be collected."""
    return {thread for thread in threading.enumerate() if thread.name == "tierkeep-openai"}


def test_a_closed_model_opens_again_and_leaves_no_thread(talk: Any) -> None:
    before = at_work()
    chat, _ = talk(["a", "b"])
    chat.close()
    assert chat.complete(ask()).text == "a"
    chat.close()
    chat.close()
    assert chat.complete(ask()).text == "b"
    chat.close()
    assert at_work() <= before


def test_a_model_that_is_dropped_takes_its_thread_along() -> None:
    before = at_work()
    with OpenAIServer(["a"]) as server:
        chat = OpenAIChat("m", base_url=server.base_url)
        chat.complete(ask())
        assert at_work() - before
        del chat
        assert at_work() <= before


def test_inside_a_running_event_loop(talk: Any) -> None:
    import asyncio

    chat, _ = talk(["Paris"])

    async def agent() -> str:
        return chat.complete(ask()).text

    assert asyncio.run(agent()) == "Paris"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_thread_of_its_own(talk: Any) -> None:
    chat, _ = talk(["parent", "child"])
    chat.complete(ask())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons advise against what is tested here
        child = os.fork()
    if not child:
        try:
            os._exit(0 if chat.complete(ask(timeout_s=20.0)).text == "child" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_is_logged(talk: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    chat, _ = talk([Fault(500, SECRET, retry_after=0), Fault(401, ECHO)])
    fails(chat, "401")
    assert "pelican" not in caplog.text
