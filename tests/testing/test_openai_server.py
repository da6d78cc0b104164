from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tierkeep.testing.openai_server import Fault, OpenAIServer, Request

HELLO = {"model": "m", "messages": [{"role": "user", "content": "two words"}]}
SCHEMA_FORMAT = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}
OBJECT_FORMAT = {"response_format": {"type": "json_object"}}


def post(server: OpenAIServer, body: Any, path: str = "/chat/completions") -> tuple[int, str, Any]:
    """Return status, content type and body of a POST, with the standard library only."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.base_url + path, data, {"X-Mine": "yes"})  # noqa: S310 -- our own server
    try:
        with urllib.request.urlopen(request) as reply:  # noqa: S310
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def said(server: OpenAIServer, **more: Any) -> str:
    status, _, body = post(server, {**HELLO, **more})
    assert status == 200, body
    return str(json.loads(body)["choices"][0]["message"]["content"])


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_script_in_order_and_its_end() -> None:
    with OpenAIServer(["one", {"two": 2}]) as server:
        assert [said(server), json.loads(said(server))] == ["one", {"two": 2}]
        status, _, body = post(server, HELLO)
    assert status == 400
    assert b"script" in body


def test_a_script_function_sees_the_request() -> None:
    with OpenAIServer(lambda request: f"{request.path} {request.headers['x-mine']} {request.body['model']}") as server:
        assert said(server) == "/v1/chat/completions yes m"


def test_requests_are_recorded() -> None:
    with OpenAIServer(["one"]) as server:
        said(server, temperature=0.5)
        post(server, {"input": "a"}, "/embeddings")
    assert [(request.path, request.body.get("temperature")) for request in server.requests] == [
        ("/v1/chat/completions", 0.5),
        ("/v1/embeddings", None),
    ]


def test_usage_counts_words() -> None:
    with OpenAIServer(["three words here"]) as server:
        assert json.loads(post(server, HELLO)[2])["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    with OpenAIServer(["three words here"], usage=False) as server:
        assert "usage" not in json.loads(post(server, HELLO)[2])


@pytest.mark.parametrize(("structured", "expected"), [(True, [200, 200]), ("json_object", [400, 200]), (False, [400, 400])])
def test_formats_that_are_understood(structured: Any, expected: list[int]) -> None:
    with OpenAIServer(["{}", "{}"], structured=structured) as server:
        replies = [post(server, {**HELLO, **wanted}) for wanted in (SCHEMA_FORMAT, OBJECT_FORMAT)]
    assert [status for status, _, _ in replies] == expected
    assert all((b"response_format" in body) is (status == 400) for status, _, body in replies)


@pytest.mark.parametrize("ignored", [True, False])
def test_a_format_that_is_ignored_is_not_seen_by_the_script(ignored: bool) -> None:
    with OpenAIServer(lambda request: str("response_format" in request.body), ignore_format=ignored) as server:
        assert said(server, **SCHEMA_FORMAT) == str(not ignored)
    assert "response_format" in server.requests[0].body


def events(body: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


@pytest.mark.parametrize("usage", [True, False])
def test_streaming(usage: bool) -> None:
    with OpenAIServer(["Paris it is"]) as server:
        status, kind, body = post(server, {**HELLO, "stream": True, "stream_options": {"include_usage": usage}})
    *chunks, done = events(body)
    assert (status, kind, done) == (200, "text/event-stream", "[DONE]")
    texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    assert "".join(texts) == "Paris it is"
    assert len(texts) == 4
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks if "usage" in chunk] == ([3] if usage else [])


def test_embeddings_are_out_of_order_and_not_normalised() -> None:
    with OpenAIServer(dimension=16) as server:
        status, _, body = post(server, {"model": "e", "input": ["a kettle", "a tractor"]}, "/embeddings")
        short = json.loads(post(server, {"input": "a kettle", "dimensions": 8}, "/embeddings")[2])["data"]
    data = json.loads(body)["data"]
    assert (status, [one["index"] for one in data], len(short[0]["embedding"])) == (200, [1, 0], 8)
    assert all(len(one["embedding"]) == 16 and sum(x * x for x in one["embedding"]) == pytest.approx(9.0) for one in data)


@pytest.mark.parametrize("texts", ["", [" "], ["a", ""], []])
def test_blank_texts_are_refused(texts: Any) -> None:
    with OpenAIServer() as server:
        assert post(server, {"input": texts}, "/embeddings")[0] == 400


def test_models_and_unknown_addresses() -> None:
    with OpenAIServer() as server, urllib.request.urlopen(f"{server.base_url}/models") as reply:  # noqa: S310
        assert json.load(reply)["data"][0]["id"] == "double"
        assert post(server, HELLO, "/else")[0] == 404
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(f"{server.base_url}/else")  # noqa: S310
        caught.value.close()


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff"])
def test_a_request_that_is_not_json(body: bytes) -> None:
    with OpenAIServer(["one"]) as server:
        assert post(server, body)[0] == 400
    assert server.requests == []


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault(503), 503, b'{"error": {"message": "the server says 503"'),
        (Fault(400, "plain"), 400, b"plain"),
        (Fault(body={"choices": []}), 200, b'{"choices": []}'),
        (Fault(garbage=True), 200, b"\x00"),
        (Fault(418, delay_s=0.01), 418, b'{"error"'),
    ],
    ids=str,
)
def test_faults_with_a_status(fault: Fault, status: int, body: bytes) -> None:
    with OpenAIServer([fault]) as server:
        got = post(server, HELLO)
    assert got[0] == status
    assert got[2].startswith(body)


def test_retry_after() -> None:
    with OpenAIServer([Fault(429, retry_after=0.5)]) as server:
        connection = http.client.HTTPConnection(server.base_url.removeprefix("http://").removesuffix("/v1"))
        connection.request("POST", "/v1/chat/completions", json.dumps(HELLO))
        reply = connection.getresponse()
        assert (reply.status, reply.headers["Retry-After"]) == (429, "0.5")
        connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_connection_that_is_closed_in_the_middle(stream: bool) -> None:
    with OpenAIServer([Fault(close=True, body="half a reply")]) as server, pytest.raises(http.client.IncompleteRead) as caught:
        post(server, {**HELLO, "stream": stream})
    assert (b"half" in caught.value.partial) is True


def test_garbage_in_the_middle_of_a_stream() -> None:
    with OpenAIServer([Fault(garbage=True, body="half a")]) as server:
        body = post(server, {**HELLO, "stream": True})[2]
    assert body.count(b"data: ") == 3
    with pytest.raises(ValueError, match="property name"):
        events(body)


@pytest.mark.parametrize("fault", [Fault(drip=True), Fault(drip="headers"), Fault(delay_s=600.0)], ids=str)
def test_it_stops_in_the_middle_of_a_fault(fault: Fault) -> None:
    with OpenAIServer([fault]) as server:
        connection = http.client.HTTPConnection(server.base_url.removeprefix("http://").removesuffix("/v1"))
        connection.request("POST", "/v1/chat/completions", json.dumps(HELLO))
    connection.close()


def test_it_stops_with_an_idle_connection() -> None:
    with OpenAIServer(["one"]) as server:
        connection = http.client.HTTPConnection(server.base_url.removeprefix("http://").removesuffix("/v1"))
        connection.request("POST", "/v1/chat/completions", json.dumps(HELLO))
        assert connection.getresponse().read()
    connection.close()


def test_a_script_that_fails_fails_the_test() -> None:
    def wrong(request: Request) -> str:
        raise LookupError("in the script")

    with pytest.raises(LookupError, match="in the script"), OpenAIServer(wrong) as server, pytest.raises(http.client.RemoteDisconnected):
        post(server, HELLO)
