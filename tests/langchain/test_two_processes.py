"""What an agent was told in one process is in the prompt of the next: two real processes, one folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_AGENT = """
import asyncio, json, sys
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from tierkeep import Memory
from tierkeep_langchain import MemoryMiddleware, from_run

where, way, user, thread, text = sys.argv[1:]
prompts = []

class Model(GenericFakeChatModel):
    def _generate(self, messages, *args, **kwargs):
        prompts.append([[message.type, message.text] for message in messages])
        return super()._generate(messages, *args, **kwargs)

with Memory.open(where) as memory:
    agent = create_agent(Model(messages=iter([AIMessage("Noted.")])), middleware=[MemoryMiddleware(memory, user=from_run("user_id"))])
    given = {"messages": [("user", text)]}, {"configurable": {"user_id": user, "thread_id": thread}}
    agent.invoke(*given) if way == "invoke" else asyncio.run(agent.ainvoke(*given))
sys.stdout.write(json.dumps(prompts))
"""


def run(*words: str) -> list[list[list[str]]]:
    path = os.pathsep.join([str(ROOT / "core"), str(ROOT / "integrations")])
    done = subprocess.run([sys.executable, "-W", "error", "-c", _AGENT, *words], env={**os.environ, "PYTHONPATH": path},
                          capture_output=True,
                          text=True, timeout=240, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("first", "second"), [("invoke", "ainvoke"), ("ainvoke", "invoke")], ids=["sync then async", "async then sync"])
def test_told_in_one_process_known_in_the_next(tmp_path: Path, first: str, second: str) -> None:
    where = str(tmp_path / "memory")
    run(where, first, "ana", "one", "My cat is called Miso.")
    ((_, asked),) = run(where, second, "ana", "two", "What is my cat called?")
    assert asked[0] == "human" and "user: My cat is called Miso." in asked[1] and asked[1].endswith("What is my cat called?")
    if first == "invoke":
        ((_, other),) = run(where, second, "bo", "two", "What is my cat called?")
        assert other == ["human", "What is my cat called?"]
