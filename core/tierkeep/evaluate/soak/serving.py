"""The server as part of the load: MCP over loopback HTTP for one owner, in a process of its own, asked without a client library."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tierkeep.evaluate.soak.day import DayClock, Plan, busy
from tierkeep.evaluate.soak.journal import Journal
from tierkeep.evaluate.soak.oracle import strangers

__all__ = ["USER", "Server", "installed"]

#: Whose memory is served.
USER = "served"
_TOKEN = "a-token-of-a-simulated-day"  # noqa: S105 - of a server on this machine's loopback, for minutes
_STARTS_S = 60.0
_HEADERS = {
    "Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-06-18",
}  # fmt: skip


def installed() -> bool:
    """Return whether the server can be run here."""
    return all(importlib.util.find_spec(name) is not None for name in ("tierkeep_mcp", "mcp", "uvicorn"))


class Server:
    """A running server, and a client that stores and recalls from `work` on until the day is over.

    Args:
        store: What is served.
        folder: Where its journal goes.

    Raises:
        RuntimeError: The server did not start.
    """

    def __init__(self, store: str, folder: Path) -> None:
        self._session = ""
        self._number = 0
        self.texts: list[str] = []
        self._said = (folder / "server.err").open("w+", encoding="utf-8")
        command = [sys.executable, "-m", "tierkeep_mcp", "--path", store, "--user", USER, "--http", "--port", "0"]
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            command, stderr=self._said, env={**os.environ, "TIERKEEP_MCP_TOKEN": _TOKEN}
        )
        self._address = self._listening()
        self.journal = Journal(folder / "server.jsonl")
        self._thread: threading.Thread | None = None

    def work(self, plan: Plan) -> None:
        """Begin to store and recall."""
        self._thread = threading.Thread(target=self._run, args=(plan,), name="served", daemon=True)
        self._thread.start()

    def _listening(self) -> str:
        last = time.monotonic() + _STARTS_S
        while time.monotonic() < last and self.process.poll() is None:
            self._said.seek(0)
            if found := re.search(r"http://\S+/mcp", self._said.read()):
                return found[0]
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError("the MCP server did not start")

    def _ask(self, method: str, params: dict[str, Any], *, notify: bool = False) -> dict[str, Any]:
        self._number += 1
        body = {"jsonrpc": "2.0", "method": method, "params": params, **({} if notify else {"id": self._number})}
        headers = {**_HEADERS, **({"Mcp-Session-Id": self._session} if self._session else {})}
        request = urllib.request.Request(self._address, json.dumps(body).encode(), headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
            self._session = reply.headers.get("Mcp-Session-Id") or self._session
            text = reply.read().decode()
        if not text.strip():
            return {}
        found: dict[str, Any] = json.loads(next((line[5:] for line in text.splitlines() if line.startswith("data:")), text))
        return found

    def _tool(self, name: str, **arguments: Any) -> Any:
        reply = self._ask("tools/call", {"name": name, "arguments": arguments})
        result = reply.get("result", {})
        if "error" in reply or result.get("isError"):
            raise RuntimeError(json.dumps(reply)[:300])
        return result.get("structuredContent", {})

    def _run(self, plan: Plan) -> None:
        clock = DayClock(plan)
        self._ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}})
        self._ask("notifications/initialized", {}, notify=True)
        while plan.left() > 0:
            began, more = time.perf_counter(), dict[str, Any]()
            try:
                text = f"mark{USER}x The parcel number code{USER}q{len(self.texts)} is at the post office."
                if self._tool("memory_store", text=text)["ids"]:
                    self.texts.append(text)
                found = self._tool("memory_recall", query=f"Where is the parcel code{USER}q{len(self.texts) - 1}?")["memories"]
                wrong = strangers(USER, [one["text"] for one in found])
                if not any(text in one["text"] for one in found):
                    wrong.append(f"{USER}: what was just stored over HTTP is not found")
                more = {"wrong": wrong} if wrong else {}
            except (RuntimeError, urllib.error.URLError, OSError, KeyError, ValueError) as error:
                more = {"error": type(error).__name__, "message": str(error)[:300]}
            self.journal.write({"step": "http store and recall", "ms": round(1000 * (time.perf_counter() - began), 3), **more})
            time.sleep(min(0.5, 0.03 / busy(clock.monotonic())))

    def stop(self) -> list[str]:
        """End the server; return what was wrong with its end."""
        if self._thread is not None:
            self._thread.join(90)
        stuck = ["the server's client hangs"] if self._thread is not None and self._thread.is_alive() else []
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stuck.append("the server did not end when it was told to")
        self._said.close()
        self.journal.close()
        return stuck
