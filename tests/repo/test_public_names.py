"""The dozen public names, and what importing them costs: nothing but the import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tierkeep

DOZEN = [
    "Answer",
    "Authority",
    "ChatModel",
    "Embedder",
    "Evidence",
    "Memory",
    "Message",
    "Origin",
    "Record",
    "Scope",
    "Settings",
    "TierkeepError",
]
#: Loaded by nobody who only says `import tierkeep`: frameworks, optional extras, and what only the command line needs.
UNWANTED = (
    "torch", "transformers", "langchain", "langchain_core", "langgraph", "llama_index", "smolagents", "chromadb", "openai",
    "tiktoken", "typer", "click", "rich", "dateparser", "pytest", "hypothesis", "psycopg", "onnxruntime",
)  # fmt: skip

#: Runs in a fresh interpreter and reports what the import did. Files are reported when they are opened for writing.
_PROBE = """
import json, sys, threading
seen = {"sockets": [], "threads": [], "written": [], "processes": []}

def watch(event, args):
    if event.startswith("socket."):
        seen["sockets"].append(event)
    elif event in ("subprocess.Popen", "os.system", "os.fork", "os.posix_spawn"):
        seen["processes"].append(event)
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen["written"].append(str(args[0]))
    elif event in ("os.mkdir", "os.remove", "os.rename", "sqlite3.connect"):
        seen["written"].append(event)

sys.addaudithook(watch)
threading.setprofile(lambda *call: seen["threads"].append(call[1]))  # called in every thread but this one
IMPORT
seen["threads"] += [thread.name for thread in threading.enumerate()[1:]]
sys.stderr.write(json.dumps({**seen, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def probe(statement: str) -> tuple[dict[str, list[str]], str]:
    """Run a statement in a fresh interpreter; return what it did, and what it wrote to standard output."""
    path = os.pathsep.join(filter(None, (str(Path(tierkeep.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.replace("IMPORT", statement)], capture_output=True, text=True, env=environment, check=True
    )
    return json.loads(done.stderr), done.stdout


@pytest.fixture(scope="module")
def after_import() -> tuple[dict[str, list[str]], str]:
    return probe("import tierkeep")


def test_all_is_the_dozen_and_sorted() -> None:
    assert tierkeep.__all__ == DOZEN


@pytest.mark.parametrize("name", DOZEN)
def test_public_name_is_importable_and_documented(name: str) -> None:
    assert (getattr(tierkeep, name).__doc__ or "").strip()


def test_nothing_else_is_offered_by_the_package() -> None:
    submodules = {path.stem for path in Path(tierkeep.__file__).parent.iterdir()}
    offered = {name for name in vars(tierkeep) if not name.startswith("_")} - submodules
    assert offered - {"annotations"} == set(DOZEN)


def test_import_loads_no_framework(after_import: tuple[dict[str, list[str]], str]) -> None:
    assert not set(UNWANTED) & set(after_import[0]["modules"])


@pytest.mark.parametrize("kind", ["sockets", "threads", "written", "processes"])
def test_import_does_no_work(after_import: tuple[dict[str, list[str]], str], kind: str) -> None:
    assert after_import[0][kind] == []


def test_import_says_nothing(after_import: tuple[dict[str, list[str]], str]) -> None:
    assert after_import[1] == ""


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("import socket; socket.socket().close()", "sockets"),
        ("import threading; t = threading.Thread(target=int); t.start(); t.join()", "threads"),
        ("open(__import__('os').devnull, 'w').close()", "written"),
        ("import subprocess, sys; subprocess.run([sys.executable, '-c', ''])", "processes"),
    ],
)
def test_the_probe_notices(statement: str, kind: str) -> None:
    assert probe(statement)[0][kind]
