"""The worker behind a plugin in another language: one JSON object a line on standard input, one a line back on standard output.

A request is `{"id": …, "method": "turn.recall", "params": {…}}`; its reply has the same id and either `result` or
`error: {"code", "message"}`. Replies come in the order in which they are ready. The end of the input ends the worker, and so do SIGTERM and
Ctrl-C, after what was asked for is done: a plugin that dies takes its worker along, and loses nothing that was acknowledged.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, NoReturn, TextIO

from tierkeep import Memory, __version__
from tierkeep.errors import InputError, TierkeepError
from tierkeep.turns import Turns
from tierkeep_mcp.service import Service

__all__ = ["main", "serve"]

_LOG = logging.getLogger(__name__)
#: Requests at once: a recall does not wait for a turn that is being kept.
_THREADS = 4
#: Characters of one request: the longest message, escaped, and some more.
_LINE = 8_000_000


def serve(service: Service, lines: TextIO, out: TextIO, *, about: Mapping[str, Any]) -> None:
    """Answer requests until the input ends.

    Args:
        service: What answers.
        lines: Where requests come from.
        out: Where replies go; nothing else may write there.
        about: Told first, as `{"hello": …}`, so that whoever started the worker knows that it is ready and what it speaks.
    """
    lock = threading.Lock()

    def say(reply: Mapping[str, Any]) -> None:
        text = json.dumps(reply, ensure_ascii=True, allow_nan=False)
        with lock:
            out.write(f"{text}\n")
            out.flush()

    say({"hello": {"verbs": list(service.verbs), **about}})
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="tierkeep-worker") as pool:
        for line in _requests(lines, say):
            pool.submit(_answer, service, line, say)


def _requests(lines: TextIO, say: Callable[[Mapping[str, Any]], None]) -> Iterator[str]:
    """Yield the requests. One that is too long is answered with an error and read past, so that the next one is understood."""
    while line := lines.readline(_LINE):
        if len(line) == _LINE and not line.endswith("\n"):
            while line and not line.endswith("\n"):
                line = lines.readline(_LINE)
            _tell(say, {"id": None, "error": {"code": "LimitError", "message": f"a request is at most {_LINE:,} characters on one line"}})
        elif line.strip():
            yield line


def _answer(service: Service, line: str, say: Callable[[Mapping[str, Any]], None]) -> None:
    id_: Any = None
    try:
        request = json.loads(line)
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            raise InputError('a request is {"id": …, "method": "…", "params": {…}} on one line', field="method")
        id_ = request.get("id")
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise InputError("params must be an object", field="params")
        reply: dict[str, Any] = {"id": id_, "result": service.handle(request["method"], params)}
    except json.JSONDecodeError as error:
        reply = {"id": id_, "error": {"code": "InputError", "message": f"a request must be JSON on one line: {error.msg}"}}
    except TierkeepError as error:
        reply = {"id": id_, "error": {"code": type(error).__name__, "message": str(error)}}
    except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a plugin waiting for its reply
        _LOG.exception("a request failed")
        reply = {"id": id_, "error": {"code": "InternalError", "message": type(error).__name__}}
    _tell(say, reply)


def _tell(say: Callable[[Mapping[str, Any]], None], reply: Mapping[str, Any]) -> None:
    try:
        say(reply)
    except (BrokenPipeError, ValueError):  # whoever asked is gone
        _LOG.info("nobody reads the replies any more")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker: `python -m tierkeep_mcp.worker --path ./memory`. Return the exit code."""
    parser = argparse.ArgumentParser(prog="tierkeep_mcp.worker", description="Answer JSON requests, one a line, about a memory.")
    parser.add_argument("--path", required=True, help="folder or file of the memory; made when there is none")
    parser.add_argument("--budget", type=int, default=None, help="tokens of the evidence in front of a message")
    parser.add_argument("--deadline", type=float, default=None, help="seconds that a recall may take")
    parser.add_argument("--keep", default="user,assistant,tool", help="roles whose messages are kept, with commas between them")
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _ended)
    # JSON is UTF-8 wherever this runs, and a broken character must not end the worker.
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    # What a library prints by mistake must not get between the replies.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        with Memory.open(given.path) as memory:
            keep: Any = tuple(filter(None, given.keep.split(",")))
            turns = Turns(memory, budget=given.budget, deadline_s=given.deadline, keep=keep)
            about = {"name": "tierkeep", "version": __version__, "pid": os.getpid(), "store": memory.describe()["store"]}
            serve(Service(memory, turns), sys.stdin, out, about=about)
    except TierkeepError as error:
        sys.stderr.write(f"tierkeep: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave the loop that reads requests; what is under way is finished on the way out."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
