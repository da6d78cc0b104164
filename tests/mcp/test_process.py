"""The MCP server as a process of its own: standard input and output, HTTP with a token, wrong input, the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import tierkeep
import tierkeep_mcp
from tierkeep import Memory
from tierkeep_mcp.__main__ import main
from tierkeep_mcp.running import TOKEN

mcp = pytest.importorskip("mcp")

SECRET = "a-token-of-these-tests-0123456789"  # noqa: S105
#: Where the packages of this checkout are, for processes that are started here.
PATHS = os.pathsep.join(str(Path(package.__file__).parents[1]) for package in (tierkeep, tierkeep_mcp))


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != TOKEN}, "PYTHONPATH": PATHS, **more}


def stdio(folder: Path, *arguments: str) -> Any:
    command = ["-m", "tierkeep_mcp", "--path", str(folder), *arguments]
    return mcp.StdioServerParameters(command=sys.executable, args=command, env=environment())


async def test_what_one_process_stores_the_next_recalls(tmp_path: Path) -> None:
    async with mcp.Client(stdio(tmp_path / "m", "--user", "ana")) as client:
        stored = await client.call_tool("memory_store", {"text": "Ana's cat is called Miso."})
    async with mcp.Client(stdio(tmp_path / "m", "--user", "ana")) as client:
        found = await client.call_tool("memory_recall", {"query": "What is the cat called?"})
    assert [one["id"] for one in found.structured_content["memories"]] == stored.structured_content["ids"]
    async with mcp.Client(stdio(tmp_path / "m", "--user", "bo")) as client:
        assert (await client.call_tool("memory_list", {})).structured_content["total"] == 0


async def test_the_command_line_serves_the_same(tmp_path: Path) -> None:
    command = ["-m", "tierkeep.cli", "mcp", "--store", str(tmp_path / "m"), "--user", "ana", "--read-only"]
    async with mcp.Client(mcp.StdioServerParameters(command=sys.executable, args=command, env=environment())) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"memory_recall", "memory_list", "memory_explain"}


async def test_llamaindexs_client(tmp_path: Path) -> None:
    tools = pytest.importorskip("llama_index.tools.mcp")
    client = tools.BasicMCPClient(
        sys.executable, args=["-m", "tierkeep_mcp", "--path", str(tmp_path / "m"), "--user", "ana"], env=environment()
    )
    made = {tool.metadata.name: tool for tool in await tools.McpToolSpec(client).to_tool_list_async()}
    await made["memory_store"].acall(text="Ana's cat is called Miso.")
    assert "Miso" in str(await made["memory_recall"].acall(query="cat"))


# ------------------------------------------------------------------------------------------------------------ HTTP


@contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """Run the HTTP server; give its address, what it said, and the process."""
    command = [sys.executable, "-m", "tierkeep_mcp", "--path", str(folder), "--user", "ana", "--http", "--port", "0", *arguments]
    with subprocess.Popen(command, env=environment(**more), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            found = re.search(r"http://\S+/mcp", said)
            assert found, said
            yield found.group(), said, process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


async def ask(address: str, token: str) -> Any:
    from mcp.client.streamable_http import streamable_http_client

    httpx2 = pytest.importorskip("httpx2")
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
        mcp.Client(streamable_http_client(address, http_client=http)) as client,
    ):
        await client.call_tool("memory_store", {"text": "Ana's cat is called Miso."})
        return (await client.call_tool("memory_recall", {"query": "cat"})).structured_content


async def test_http_with_a_token_of_the_environment(tmp_path: Path) -> None:
    with serving(tmp_path / "m", **{TOKEN: SECRET}) as (address, said, process):
        assert address.startswith("http://127.0.0.1:") and SECRET not in said
        assert "Miso" in str(await ask(address, SECRET))
        for headers in ({}, {"Authorization": f"Bearer {SECRET}x"}, {"Authorization": SECRET}, {"Authorization": "Basic abc"}):
            assert httpx.post(address, headers=headers, json={}).status_code == 401
    assert process.returncode == 0


async def test_http_makes_a_token_and_says_it_once(tmp_path: Path) -> None:
    with serving(tmp_path / "m") as (address, said, _):
        made = re.search(r"token \(new, for this run\): (\S{40,})", said)
        assert made
        assert "Miso" in str(await ask(address, made[1]))


def test_another_host_name_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "m", **{TOKEN: SECRET}) as (address, _, _):
        headers = {"Authorization": f"Bearer {SECRET}", "Host": "evil.example", "Accept": "application/json, text/event-stream"}
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert httpx.post(address, headers=headers, json=ping).status_code in (403, 421)


# ----------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize("wrong", ["short", "with blanks in the token", "tök" * 9], ids=["short", "blanks", "letters"])
def test_a_weak_token_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    (tmp_path / "token").write_text(wrong, encoding="utf-8")
    arguments = ["--path", str(tmp_path / "m"), "--user", "ana", "--http", "--port", "0", "--token-file", str(tmp_path / "token")]
    assert main(arguments) == 2
    assert "token must have" in capsys.readouterr().err


def test_the_command_line_says_who_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tierkeep.cli import main as command_line

    monkeypatch.delenv("TIERKEEP_USER", raising=False)
    assert command_line(["mcp", "--store", str(tmp_path / "m")]) == 2
    assert "--user NAME" in capsys.readouterr().err and not (tmp_path / "m").exists()
    assert command_line(["mcp", "--store", str(tmp_path / "m"), "--user", "ana", "--json"]) == 2
    assert "belongs to the protocol" in capsys.readouterr().err


def test_a_server_needs_an_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--path", str(tmp_path / "m")]) == 2
    assert "--user NAME" in capsys.readouterr().err and not (tmp_path / "m").exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path / "m", **{TOKEN: SECRET}) as (address, _, _):
        port = address.rpartition(":")[2].partition("/")[0]
        command = [sys.executable, "-m", "tierkeep_mcp", "--path", str(tmp_path / "n"), "--user", "ana", "--http", "--port", port]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_standard_output_belongs_to_the_protocol(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tierkeep_mcp", "--path", str(tmp_path / "m"), "--user", "ana"]
    done = subprocess.run(command, env=environment(), input="", capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_file_that_is_no_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("not a memory, and long enough to be looked at" * 20)
    assert main(["--path", str(tmp_path / "notes.txt"), "--user", "ana"]) == 1
    assert "tierkeep mcp:" in capsys.readouterr().err


async def test_a_client_that_leaves_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    async with mcp.Client(stdio(tmp_path / "m", "--user", "ana")) as client:
        await client.call_tool("memory_store", {"text": "Ana's cat is called Miso."})
    with Memory.open(tmp_path / "m") as memory:
        assert [event.text for event in memory.scope(user="ana").events()] == ["Ana's cat is called Miso."]
        assert memory.verify().ok
