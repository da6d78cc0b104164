"""The command line as a process: exit codes, streams, pipes, signals, and what it loads."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tierkeep.cli import main


def test_a_session_of_commands(shell: Any) -> None:
    assert shell.process("add", "I moved to Lisbon in May.", "--at", "2026-05-02").returncode == 0
    answer = shell.process("ask", "Where do I live now?", "--json")
    assert answer.returncode == 0
    assert "Lisbon" in json.loads(answer.stdout)["text"]
    assert shell.process("forget", "--all", "--yes").returncode == 0
    assert shell.process("ask", "Where do I live now?").returncode == 1


def test_errors_have_no_traceback(shell: Any) -> None:
    shell.store.write_text("a letter " * 50)
    result = shell.process("list")
    assert result.returncode == 3
    assert result.stdout == b""
    assert b"Error:" in result.stderr
    assert b"Traceback" not in result.stderr


def test_usage_errors_are_json_when_json_is_asked_for(shell: Any) -> None:
    result = shell.process("ask", "--json", "--bogus")
    assert result.returncode == 2
    assert json.loads(result.stderr)["error"]["type"] == "UsageError"


def test_a_reader_that_has_seen_enough_is_no_error(shell: Any) -> None:
    lines = "\n".join(
        json.dumps({"role": "user", "content": f"{n} " + "x" * 400, "at": "2026-05-02"}) for n in range(1500)
    )
    assert shell.process("add", "-f", "-", input=lines.encode()).returncode == 0
    for args in (["list", "-n", "1500"], ["export"], ["list", "-n", "1500", "--json"]):
        command = [sys.executable, "-m", "tierkeep.cli", *args]
        environment = {**os.environ, **shell.environment()}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(10)
            process.stdout.close()
            said = process.stderr.read()
            process.wait(timeout=60)
        assert b"Traceback" not in said
        assert b"Error" not in said


def _stored(database: Path) -> int:
    """Return how many events are in the store, as another process sees it."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:  # still being made
            return 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_cleanly_and_can_be_repeated(shell: Any, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(
        "".join(
            json.dumps({"role": "user", "content": f"note {n}", "session": str(n // 5), "at": "2026-05-02"}) + "\n"
            for n in range(20_000)
        )
    )
    environment = {**os.environ, **shell.environment()}
    command = [sys.executable, "-m", "tierkeep.cli", "add", "-f", str(path)]

    def heeding() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background of a shell have inherited that it is ignored

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeding) as process:
        while process.poll() is None and not _stored(shell.store / "tierkeep.db"):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=180)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert b"interrupted" in said
    report = json.loads(shell.process("verify", "--json").stdout)
    assert report["ok"] is True
    assert 0 < report["events"] < 20_000


def test_text_that_the_terminal_cannot_show_is_no_error(shell: Any) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert shell.process("add", "-", input="Caf\u00e9 \U0001f600".encode(), env=ascii_only).returncode == 0
    assert b"Caf?" in shell.process("list", env=ascii_only).stdout
    listed = shell.process("list", "--json", env=ascii_only)
    assert json.loads(listed.stdout)["events"][0]["text"] == "Caf\u00e9 \U0001f600"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    commands = [
        "add",
        "ask",
        "recall",
        "forget",
        "export",
        "import",
        "history",
        "sessions",
        "list",
        "profile",
        "undo",
        "doctor",
        "verify",
        "demo",
        "bench",
    ]
    assert all(name in shown for name in commands)
    for name in commands[:-1]:
        assert main([name, "--help"]) == 0
        assert f"tierkeep {name}" in capsys.readouterr().out, f"{name} shows an example"


def test_version_and_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    from tierkeep import __version__

    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert main([]) in (0, 2)
    printed = capsys.readouterr()
    assert "Usage" in printed.out + printed.err


def test_importing_loads_neither_typer_nor_rich() -> None:
    code = "import sys, tierkeep, tierkeep.cli; sys.exit(bool({'typer', 'rich', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_typer_the_extra_is_named() -> None:
    code = "import sys; sys.modules['typer'] = None; from tierkeep.cli import main; sys.exit(main(['list']))"
    result = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True)
    assert result.returncode == 2
    assert b'pip install "tierkeep[cli]"' in result.stderr
    assert b"Traceback" not in result.stderr


def test_the_default_store_is_the_data_folder(shell: Any, tmp_path: Path) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path / "data"), "TIERKEEP_STORE": ""}
    assert shell.process("add", "Tea.", env=environment).returncode == 0
    assert list((tmp_path / "data" / "tierkeep").iterdir())
