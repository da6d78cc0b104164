"""The worker as a real process: what goes wrong with its input, its output and its life loses nothing that was acknowledged."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory

ROOT = Path(__file__).parents[2]
OWNER = {"user": "owner", "agent": "main", "session": "s1"}
PATIENCE_S = 60


def heeding() -> None:
    """Heed an interrupt: tests that run in the background of a shell have inherited that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Process:
    """A worker and the lines between us."""

    def __init__(self, store: Path, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "plugins"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tierkeep_mcp.worker", "--path", str(store), *arguments], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeding if os.name == "posix" else None,
        )  # fmt: skip
        self.replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.replies.put(json.loads(line))
        self.replies.put(None)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, id_: Any, method: str, **params: Any) -> None:
        self.write(json.dumps({"id": id_, "method": method, "params": params}).encode() + b"\n")

    def next(self) -> dict[str, Any]:
        reply = self.replies.get(timeout=PATIENCE_S)
        assert reply is not None, self.end()[1]
        return reply

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.send("ask", method, **params)
        return self.next()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> tuple[int, str]:
        """Return the exit code and what was said on standard error."""
        code = self.process.wait(PATIENCE_S)
        assert self.process.stderr is not None
        return code, self.process.stderr.read().decode()

    def rest(self) -> list[dict[str, Any]]:
        """Return the replies until the end of the output."""
        return list(iter(lambda: self.replies.get(timeout=PATIENCE_S), None))

    def done(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:  # what was written last has no reader any more
                continue


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def start(*arguments: str, store: Path | None = None) -> Process:
        worker = Process(store or tmp_path / "memory", *arguments)
        running.append(worker)
        assert "hello" in worker.next()
        return worker

    yield start
    for worker in running:
        worker.done()


def said(store: Path) -> list[str]:
    with Memory.open(store) as memory:
        return [event.text for event in memory.scope(user="owner", agent="main").events()]


def turn(text: str, id_: str) -> dict[str, Any]:
    return {"owner": OWNER, "messages": [{"text": text, "id": id_, "role": "user"}]}


def test_hello_says_who_it_is(tmp_path: Path) -> None:
    worker = Process(tmp_path / "memory")
    try:
        hello = worker.next()["hello"]
        assert (hello["name"], hello["pid"]) == ("tierkeep", worker.process.pid)
        assert {"turn.recall", "turn.keep", "store", "forget"} <= set(hello["verbs"])
    finally:
        worker.done()


@pytest.mark.parametrize(
    "garbage",
    [
     b"no json\n", b"[]\n", b"1\n", b"null\n", b'{"id": 1}\n', b'{"id": 1, "method": 5}\n', b'{"id": 1, "method": "list", "params": []}\n',
     b"\xff\xfe\x00\n", b"{" * 2_000 + b"\n", b'{"id": 1, "method": "no.such"}\n',
     b'{"id": 1, "method": "list", "params": {"owner": {}}}\n'],
    ids=["text", "list", "number", "null", "no-method", "number-method", "list-params", "not-utf8", "deep", "unknown", "no-owner"],
)  # fmt: skip
def test_garbage_is_answered_with_an_error(started: Callable[..., Process], garbage: bytes) -> None:
    worker = started()
    worker.write(garbage)
    assert worker.next()["error"]["code"] in ("InputError", "ScopeError", "InternalError")
    assert worker.ask("describe")["result"]


def test_blank_lines_are_passed_over(started: Callable[..., Process]) -> None:
    worker = started()
    worker.write(b"\n  \n\r\n")
    assert worker.ask("describe")["id"] == "ask"


def test_a_huge_line_is_one_error_and_the_next_request_is_understood(started: Callable[..., Process]) -> None:
    worker = started()
    worker.write(b'{"id": 1, "method": "list", "params": "' + b"x" * 20_000_000 + b'"}\n')
    error = worker.next()
    assert (error["id"], error["error"]["code"]) == (None, "LimitError")
    assert worker.ask("describe")["result"]


def test_the_end_of_input_finishes_what_was_asked(started: Callable[..., Process], tmp_path: Path) -> None:
    worker = started()
    for number in range(40):
        worker.send(number, "turn.keep", **turn(f"Note {number}.", f"n{number}"))
    worker.close()
    kept = {reply["id"] for reply in worker.rest() if reply["result"]["ids"]}
    assert worker.end() == (0, "")
    assert kept == set(range(40))
    assert sorted(said(tmp_path / "memory")) == sorted(f"Note {number}." for number in range(40))


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_finishes_what_was_asked(started: Callable[..., Process], tmp_path: Path, number: int) -> None:
    worker = started()
    for count in range(20):
        worker.send(count, "turn.keep", **turn(f"Note {count}.", f"n{count}"))
    first = worker.next()
    worker.process.send_signal(number)
    acknowledged = [first, *worker.rest()]
    assert worker.end() == (128 + number, "")
    assert {f"Note {reply['id']}." for reply in acknowledged} <= set(said(tmp_path / "memory"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_worker_loses_nothing_that_was_acknowledged(started: Callable[..., Process], tmp_path: Path) -> None:
    worker = started()
    for count in range(60):
        worker.send(count, "turn.keep", **turn(f"Note {count}.", f"n{count}"))
    acknowledged = [worker.next() for _ in range(5)]
    worker.process.kill()
    acknowledged += worker.rest()
    assert worker.end()[0] == -signal.SIGKILL
    again = started()
    listed = again.ask("list", owner=OWNER, limit=100)["result"]["memories"]
    assert {f"Note {reply['id']}." for reply in acknowledged} <= {memory["text"] for memory in listed}
    # Whoever asked does not know about the rest, and says everything again.
    for count in range(60):
        again.send(count, "turn.keep", **turn(f"Note {count}.", f"n{count}"))
    assert all(again.next()["result"]["failed"] == "" for _ in range(60))
    again.close()
    again.end()
    assert sorted(said(tmp_path / "memory")) == sorted(f"Note {count}." for count in range(60))


def test_a_reader_that_is_gone_does_not_stop_the_writing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "plugins"))}
    command = [sys.executable, "-m", "tierkeep_mcp.worker", "--path", str(tmp_path / "memory")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        for count in range(10):
            request = {"id": count, "method": "turn.keep", "params": turn(f"Note {count}.", f"n{count}")}
            process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
        assert b"Traceback" not in process.stderr.read()
    assert len(said(tmp_path / "memory")) == 10


def test_a_recall_does_not_wait_for_turns_that_are_kept(started: Callable[..., Process]) -> None:
    worker = started()
    worker.ask("turn.keep", **turn("The boat lies in the old harbour.", "first"))
    asked = {f"keep{count}" for count in range(30)} | {f"recall{count}" for count in range(30)}
    for count in range(30):
        worker.send(f"keep{count}", "turn.keep", **turn(f"Note {count}.", f"n{count}"))
        worker.send(f"recall{count}", "turn.recall", owner=OWNER, text="Where is the boat?")
    replies = [worker.next() for _ in range(60)]
    assert {reply["id"] for reply in replies} == asked
    found = [reply["result"]["text"] for reply in replies if reply["id"].startswith("recall")]
    assert all("harbour" in text for text in found)


def test_two_workers_share_a_store(started: Callable[..., Process]) -> None:
    one, other = started(), started()
    one.ask("turn.keep", **turn("The boat lies in the old harbour.", "first"))
    assert "harbour" in other.ask("turn.recall", owner=OWNER, text="Where is the boat?")["result"]["text"]


def test_what_was_shown_is_not_shown_again(started: Callable[..., Process]) -> None:
    worker = started()
    worker.ask("turn.keep", **turn("The boat lies in the old harbour.", "first"))
    assert worker.ask("turn.recall", owner=OWNER, text="Where is the boat?", seen=["first"])["result"]["text"] == ""


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a store", encoding="utf-8")
    worker = Process(tmp_path / "file")
    try:
        assert worker.rest() == []
        code, said_ = worker.end()
        assert code == 2
        assert said_.startswith("tierkeep: ")
    finally:
        worker.done()
