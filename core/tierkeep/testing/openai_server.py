"""A server on this machine that speaks OpenAI's protocol, says what its script says, and fails in the ways real servers fail.

For tests of anything that talks to a model over HTTP: no client is patched, no other machine is reached.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from tierkeep.models.doubles import HashEmbedder

_BODY_BYTES = 16 * 2**20
_DRIP_S = 0.05


class Request(NamedTuple):
    """A request as the server got it: its path, its headers by lower-case name, and its decoded body."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. Several fields combine; the delay comes first.

    Attributes:
        status: HTTP status; with 200 and a `body`, an answer of any shape, finished or not.
        body: A mapping is sent as JSON, a text as it is; None for an error in OpenAI's form. In a stream that breaks off, the text
            that still came through.
        delay_s: Seconds of silence before anything is sent.
        drip: Send blanks for ever, one at a time: True in the body, "headers" before the headers are over.
        close: Close the connection in the middle of the reply.
        garbage: Send bytes that are not JSON; in a stream, an event that is not.
        retry_after: Value of the Retry-After header, in seconds.
    """

    status: int = 200
    body: Mapping[str, Any] | str | None = None
    delay_s: float = 0.0
    drip: bool | Literal["headers"] = False
    close: bool = False
    garbage: bool = False
    retry_after: float | None = None


Line: TypeAlias = str | Mapping[str, Any] | Fault
Script: TypeAlias = Sequence[Line] | Callable[[Request], Line]


class OpenAIServer:
    """A real HTTP server on 127.0.0.1 with `/v1/chat/completions`, `/v1/embeddings` and `/v1/models`.

    A script is consumed by chat and embeddings alike, one line a request. A text or a mapping (as JSON) is what the model says; a
    `Fault` is what goes wrong. Embeddings need no script: without a fault they are hashed words, neither normalised nor in order, as
    the protocol allows. Blank texts are refused, as OpenAI does.

    Args:
        script: Lines in order, or a function of the request. A chat beyond the last line gets an error that says so.
        structured: Whether `response_format` is understood; "json_object" for a server that knows only that one.
        ignore_format: Drop `response_format` before the script sees the request, as servers do that do not know it.
        usage: Whether replies say what they cost.
        dimension: Length of a vector, unless the request asks for another.

    Attributes:
        requests: Every request, in order of arrival.

    Raises:
        Exception: Leaving the block raises the first exception of a script function.

    Example:
        >>> with OpenAIServer(["Paris"]) as server:
        ...     server.base_url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        script: Script = (),
        *,
        structured: bool | Literal["json_object"] = True,
        ignore_format: bool = False,
        usage: bool = True,
        dimension: int = 64,
    ) -> None:
        self.requests: list[Request] = []
        self.usage = usage
        self.dimension = dimension
        self.stopping = threading.Event()
        self._script = script
        self._turn = 0
        self._structured = structured
        self._ignore_format = ignore_format
        self._lock = threading.Lock()
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="openai-server")

    @property
    def base_url(self) -> str:
        """Address for a client, `/v1` included."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()  # waits for every handler
        self._thread.join()
        if kind is None and self._http.failures:
            raise self._http.failures[0]

    def line(self, request: Request) -> Line | None:
        """Record a request and return the script's line for it; None when the script is over."""
        with self._lock:
            self.requests.append(request)
        if refused := self._refused(request.body.get("response_format")):
            return refused
        if callable(self._script):
            seen = {key: value for key, value in request.body.items() if key != "response_format" or not self._ignore_format}
            return self._script(request._replace(body=seen))
        with self._lock:
            turn, self._turn = self._turn, self._turn + 1
        return self._script[turn] if turn < len(self._script) else None

    def _refused(self, wanted: Any) -> Fault | None:
        if wanted is None or self._ignore_format or self._structured is True:
            return None
        kind = wanted.get("type") if isinstance(wanted, Mapping) else wanted
        if self._structured == kind:
            return None
        return Fault(400, _error(f"response_format of type {kind!r} is not supported by this model", "invalid_request_error"))


class _Http(ThreadingHTTPServer):
    """Threads are joined at the end, and open connections are shut down so that they end."""

    daemon_threads = False

    def __init__(self, double: OpenAIServer) -> None:
        self.double = double
        self.failures: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the client was quicker
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # clients that hang up are what this server is for
            self.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; the second would wait 40 ms for the first to be acknowledged
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": "double", "object": "model"}]})
        else:
            self._json(404, _error("no such address", "not_found"))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _BODY_BYTES:
            self.close_connection = True
            self._json(413, _error("request too large", "too_large"))
            return
        body = _decoded(self.rfile.read(length))
        if body is None:
            self._json(400, _error("the request is not a JSON object", "invalid_request_error"))
            return
        answers = {"/v1/chat/completions": self._chat, "/v1/embeddings": self._embeddings}
        if self.path not in answers:
            self._json(404, _error("no such address", "not_found"))
            return
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        line = self.server.double.line(request)
        if not isinstance(line, Fault):
            answers[self.path](line, body)
            return
        self.server.double.stopping.wait(line.delay_s)
        self._fail(line, streamed=bool(body.get("stream")))

    def _chat(self, line: str | Mapping[str, Any] | None, body: Mapping[str, Any]) -> None:
        if line is None:
            self._json(400, _error("the script of this server is over", "script_over"))
            return
        text = line if isinstance(line, str) else json.dumps(line)
        cost = _usage(body, text) if self.server.double.usage else None
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self._json(200, _completion("chat.completion", [choice], cost, body))
            return
        self._begin_stream()
        for piece in _pieces(text):
            self._event(_completion("chat.completion.chunk", [_delta({"content": piece})], None, body))
        self._event(_completion("chat.completion.chunk", [_delta({}, "stop")], None, body))
        if cost and (body.get("stream_options") or {}).get("include_usage"):
            self._event(_completion("chat.completion.chunk", [], cost, body))
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _embeddings(self, _: object, body: Mapping[str, Any]) -> None:
        given = body.get("input", [])
        texts = [given] if isinstance(given, str) else list(given)
        if not texts or not all(text.strip() for text in texts):
            self._json(400, _error("input cannot be an empty string", "invalid_request_error"))
            return
        rows = 3.0 * HashEmbedder(body.get("dimensions") or self.server.double.dimension).embed(texts)
        data = [{"object": "embedding", "index": index, "embedding": row.tolist()} for index, row in enumerate(rows)]
        words = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": words, "total_tokens": words}
        self._json(200, {"object": "list", "model": body.get("model", ""), "data": data[::-1], "usage": usage})

    # ------------------------------------------------------------------------------------------------------- faults

    def _fail(self, fault: Fault, *, streamed: bool) -> None:
        if fault.drip:
            self._drip(fault)
        elif streamed and fault.status == 200 and (fault.close or fault.garbage):
            self._break_stream(fault)
        elif fault.garbage:
            self._send(fault.status, b"\x00\xff<html>no json</html>", fault)
        else:
            default = _error(f"the server says {fault.status}", "double")
            body = default if fault.body is None else fault.body
            sent = (body if isinstance(body, str) else json.dumps(body)).encode()
            kind = "text/event-stream" if streamed and isinstance(fault.body, str) and fault.status == 200 else "application/json"
            self._send(fault.status, sent, fault, kind)

    def _drip(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.drip == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        else:
            self._head(fault.status, {"Content-Type": "application/json", "Content-Length": str(_BODY_BYTES)})
        while not self.server.double.stopping.wait(_DRIP_S):
            self.wfile.write(b" ")

    def _break_stream(self, fault: Fault) -> None:
        self._begin_stream()
        for piece in _pieces(fault.body if isinstance(fault.body, str) else "half a"):
            self._event(_completion("chat.completion.chunk", [_delta({"content": piece})], None, {}))
        if fault.garbage:
            self._chunk(b"data: {no json\n\n")
            self._chunk(b"")
        self.close_connection = True

    # ------------------------------------------------------------------------------------------------------ sending

    def _json(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), Fault())

    def _send(self, status: int, body: bytes, fault: Fault, kind: str = "application/json") -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        if fault.retry_after is not None:
            headers["Retry-After"] = f"{fault.retry_after:g}"
        self.close_connection = self.close_connection or fault.close
        self._head(status, headers)
        self.wfile.write(body[: len(body) // 2] if fault.close else body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _begin_stream(self) -> None:
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})

    def _event(self, body: Mapping[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(body).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _decoded(data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}


def _delta(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _completion(kind: str, choices: list[Any], usage: Any, body: Mapping[str, Any]) -> dict[str, Any]:
    cost = {"usage": usage} if usage else {}
    return {"id": "reply-1", "object": kind, "created": 0, "model": body.get("model", ""), "choices": choices, **cost}


def _usage(body: Mapping[str, Any], text: str) -> dict[str, int]:
    told = sum(len(str(message.get("content", "")).split()) for message in body.get("messages", ()))
    said = len(text.split())
    return {"prompt_tokens": told, "completion_tokens": said, "total_tokens": told + said}


def _pieces(text: str) -> Iterator[str]:
    """Yield the text word by word, each with the blank before it."""
    words = text.split(" ")
    yield words[0]
    for word in words[1:]:
        yield f" {word}"
