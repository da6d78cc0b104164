"""An OpenClaw of our own for the tests: its state in a folder, its model scripted, its gateway on loopback, its commands as typed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "tierkeep_openclaw"
#: Seconds: the machine may be shared, and a cold gateway reads hundreds of megabytes of JavaScript.
COMMAND_S = 240
START_S = 300
TURN_S = 180


class Failed(Exception):
    """A command of OpenClaw's failed, with what it said."""


class Host:
    """One installation. `where` holds Node and OpenClaw, `home` everything that this one writes."""

    def __init__(self, where: Path, home: Path, model_url: str) -> None:
        self.node = where / "node_modules" / "node" / "bin" / "node"
        self.openclaw = where / "node_modules" / "openclaw" / "openclaw.mjs"
        self.home = home
        self.state = home / "state"
        self.log = home / "gateway.log"
        self.token = secrets.token_hex(16)
        self.port = _free_port()
        self.gateway: subprocess.Popen[bytes] | None = None
        self.state.mkdir(parents=True)
        self._config().write_text(json.dumps(_config(model_url, home, self.port, self.token), indent=2), encoding="utf-8")

    def _config(self) -> Path:
        return self.state / "openclaw.json"

    @property
    def config(self) -> dict[str, Any]:
        """OpenClaw's configuration as it is now."""
        read: dict[str, Any] = json.loads(self._config().read_text(encoding="utf-8"))
        return read

    def env(self) -> dict[str, str]:
        """Only what OpenClaw needs: nothing of the real user's OpenClaw, keys or proxies gets in."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        paths = os.pathsep.join(str(ROOT / part) for part in ("core", "plugins"))
        own = {"HOME": str(self.home), "OPENCLAW_STATE_DIR": str(self.state), "OPENCLAW_CONFIG_PATH": str(self._config())}
        return {**kept, **own, "PYTHONPATH": paths, "NO_COLOR": "1", "OPENCLAW_NO_RESPAWN": "1", "VIRTUAL_ENV": sys.prefix}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `openclaw …` and return what it said."""
        done = subprocess.run(
            [str(self.node), str(self.openclaw), *arguments], env=self.env(), cwd=self.home, capture_output=True, text=True,
            timeout=COMMAND_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise Failed(f"openclaw {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def start(self) -> None:
        """Start the gateway and wait until it answers."""
        with self.log.open("ab") as log:
            self.gateway = subprocess.Popen(
                [str(self.node), str(self.openclaw), "gateway", "run", "--verbose"], env=self.env(), cwd=self.home, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.gateway.poll() is not None:
                raise Failed(f"the gateway ended with exit code {self.gateway.returncode}\n{self.said()[-6000:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.5)
        raise Failed(f"the gateway did not start within {START_S} s\n{self.said()[-6000:]}")

    def stop(self) -> int:
        """Stop the gateway as a service manager does; return its exit code."""
        if self.gateway is None:
            return 0
        gateway, self.gateway = self.gateway, None
        if gateway.poll() is None:
            gateway.send_signal(signal.SIGTERM)
            try:
                gateway.wait(60)
            except subprocess.TimeoutExpired:
                gateway.kill()
                gateway.wait(10)
        return gateway.returncode

    def said(self) -> str:
        """Return the gateway's log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Any:
        """Send a request to the gateway as its operator; return the decoded answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=json.dumps(body).encode(), method="POST",
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}", **headers},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=TURN_S) as answer:  # noqa: S310 - our own address
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise Failed(f"{path}: {error.code} {error.read()[:2000]!r}\n{self.said()[-4000:]}") from error

    def turn(self, text: str, session: str = "main") -> str:
        """Say something to the agent in a session; return what it answers."""
        body = {"model": "openclaw/main", "messages": [{"role": "user", "content": text}]}
        answer = self.post("/v1/chat/completions", body, {"x-openclaw-session-key": f"agent:main:{session}"})
        said: str = answer["choices"][0]["message"]["content"]
        return said

    def tool(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool through the gateway; return its details."""
        answer = self.post("/tools/invoke", {"tool": name, "args": dict(arguments), "sessionKey": "agent:main:main"})
        found: dict[str, Any] = answer["result"]["details"]
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _config(model_url: str, home: Path, port: int, token: str) -> dict[str, Any]:
    """A gateway on loopback with one scripted model, and nothing that reaches out."""
    model = {
        "id": "scripted", "name": "Scripted", "reasoning": False, "input": ["text"], "contextWindow": 128_000, "maxTokens": 4_096,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    }  # fmt: skip
    return {
        "gateway": {
            "mode": "local", "port": port, "bind": "loopback", "auth": {"mode": "token", "token": token},
            "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
        },
        "agents": {"defaults": {"model": {"primary": "double/scripted"}, "workspace": str(home / "workspace"), "skipBootstrap": True}},
        "models": {"mode": "merge", "providers": {
            "double": {"baseUrl": model_url, "apiKey": "none", "api": "openai-completions", "models": [model]},
        }},
        "discovery": {"mdns": {"mode": "off"}},
        "tools": {"web": {"fetch": {"ssrfPolicy": {"dangerouslyAllowPrivateNetwork": True}}}},  # the test's web is on loopback
        "logging": {"file": str(home / "openclaw.log")},
        "update": {"checkOnStart": False},
    }  # fmt: skip
