"""A command line with a store of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tierkeep.cli.app import app


@dataclass(frozen=True)
class Shell:
    """Runs commands for the user ana, in process; `process` runs them in a real one."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "memory"

    def environment(self, **more: str) -> dict[str, str]:
        return {"TIERKEEP_STORE": str(self.store), "TIERKEEP_USER": "ana", "COLUMNS": "160", "NO_COLOR": "1", **more}

    def __call__(self, *args: str, input: str | bytes | None = None, **environment: str) -> Any:
        return CliRunner().invoke(app, list(args), input=input, env=self.environment(**environment))

    def json(self, *args: str, code: int = 0, **more: Any) -> Any:
        """Return the one JSON document that a command prints."""
        result = self(*args, "--json", **more)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def error(self, *args: str, code: int, **more: Any) -> dict[str, Any]:
        """Return the JSON error that a command ends with; nothing may be on standard output."""
        result = self(*args, "--json", **more)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        error: dict[str, Any] = json.loads(result.stderr)["error"]
        return error

    def process(self, *args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command in a process of its own."""
        environment = {**os.environ, **self.environment(), **options.pop("env", {})}
        command = [sys.executable, "-m", "tierkeep.cli", *args]
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120, **options)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A command line whose store does not exist yet."""
    return Shell(tmp_path)


@pytest.fixture
def filled(shell: Shell) -> Shell:
    """A command line whose store knows two things."""
    assert shell("add", "I moved to Lisbon in May.", "--at", "2026-05-02", "--session", "home").exit_code == 0
    assert shell("add", "My cat is called Miso.", "--at", "2026-05-03", "--session", "pets").exit_code == 0
    return shell


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """Writes a file beside the store and returns its path."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write
