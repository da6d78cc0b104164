"""A Hermes home, and the provider in it. Hermes itself pins every package it needs, so it lives in an environment of its own:

    python -m venv hermes
    hermes/bin/pip install hermes-agent==0.19.0 numpy snowballstemmer pytest pytest-timeout pytest-asyncio hypothesis
    PYTHONPATH=core:plugins hermes/bin/python -m pytest tests/hermes

Elsewhere its published contract stands in for it, and what needs Hermes' loader is skipped.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def offer_contract() -> None:
    """Make `agent.memory_provider` importable where Hermes is not installed."""
    if importlib.util.find_spec("agent") is None:
        module = ModuleType("agent.memory_provider")
        module.MemoryProvider = runpy.run_path(str(HERE / "published.py"))["MemoryProvider"]  # type: ignore[attr-defined]
        sys.modules["agent"] = ModuleType("agent")
        sys.modules["agent.memory_provider"] = module


if "agent.memory_provider" not in sys.modules:
    offer_contract()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hermes home."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HERMES_HOME", str(folder))
    return folder


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Any]]:
    """Starts providers as Hermes does; they are shut down after the test."""
    from tierkeep_hermes.provider import TierkeepProvider

    started: list[TierkeepProvider] = []

    def begin(session: str = "s1", **kwargs: Any) -> TierkeepProvider:
        provider = TierkeepProvider()
        started.append(provider)
        provider.initialize(session, **{"platform": "cli", "agent_context": "primary", "hermes_home": str(home), **kwargs})
        return provider

    yield begin
    for provider in started:
        provider.shutdown()


@pytest.fixture
def process(home: Path) -> Callable[[str], str]:
    """Runs Python in a process of its own, in the same Hermes home, and returns what it prints."""

    def run(code: str) -> str:
        begin = f"import runpy; runpy.run_path({str(HERE / 'conftest.py')!r})\n"
        path = os.pathsep.join(map(str, (ROOT / "core", ROOT / "plugins")))
        environment = {**os.environ, "PYTHONPATH": path, "HERMES_HOME": str(home)}
        done = subprocess.run(
            [sys.executable, "-c", begin + code], env=environment, capture_output=True, text=True, check=False, timeout=120, cwd=home
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def kept(home: Path) -> Callable[..., list[Any]]:
    """Returns the events of an owner, read from the store."""
    from tierkeep import Memory

    def read(user: str = "local", session: str | None = None) -> list[Any]:
        with Memory.open(home / "tierkeep") as memory:
            return list(memory.scope(user=user).events(session))

    return read
