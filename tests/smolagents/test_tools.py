"""The three tools: their words, their way to the Hub and back, and what they do for nobody and for an owner."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from smolagents import CodeAgent, Tool
from smolagents.tool_validation import validate_tool_attributes

from tierkeep import Memory
from tierkeep import toolbox as words
from tierkeep.errors import ScopeError
from tierkeep_smolagents import MemoryForgetTool, MemoryRecallTool, MemoryStoreTool, memory_tools

from .conftest import Scripted, agent_of, answer, both, calls, code

TOOLS = [(words.RECALL, MemoryRecallTool), (words.STORE, MemoryStoreTool), (words.FORGET, MemoryForgetTool)]
every = pytest.mark.parametrize(("said", "cls"), TOOLS, ids=[said.name for said, _ in TOOLS])


def without_lists(schema: Any) -> Any:
    """smolagents takes no list inside a class attribute, so what is required goes unsaid: everything is."""
    if not isinstance(schema, dict):
        return schema
    assert set(schema.get("required", ())) == set(schema.get("properties", ()))
    return {key: without_lists(value) for key, value in schema.items() if key != "required"}


@every
def test_words_are_those_of_the_toolbox(said: words.MemoryTool, cls: Any) -> None:
    assert (cls.name, cls.description, cls.output_schema) == (said.name, said.description, without_lists(said.returns))
    assert {name: one["description"] for name, one in cls.inputs.items()} == said.parameters


@every
def test_is_safe_for_the_hub(said: words.MemoryTool, cls: Any) -> None:
    validate_tool_attributes(cls)


@every
def test_survives_saving_and_loading(said: words.MemoryTool, cls: Any, tmp_path: Path) -> None:
    cls().save(tmp_path / "hub")
    source = (tmp_path / "hub" / "tool.py").read_text(encoding="utf-8")
    assert set((tmp_path / "hub" / "requirements.txt").read_text().split()) == {"smolagents", "tierkeep"}
    loaded = Tool.from_code(source, path=str(tmp_path / "memory"), user="ana")
    assert type(loaded) is not cls
    assert (loaded.name, loaded.output_schema) == (said.name, cls.output_schema)
    given = {"query": "Where?", "text": "Ana lives in Lisbon.", "ids": ["nothing"]}
    result = loaded(**{name: given[name] for name in loaded.inputs})
    assert set(result) == set(said.returns["required"])
    loaded.close()
    assert set(loaded(**{name: given[name] for name in loaded.inputs})) == set(result)
    loaded.close()


@every
def test_what_was_saved_is_a_module_that_can_be_saved_again(said: words.MemoryTool, cls: Any, tmp_path: Path) -> None:
    cls().save(tmp_path / "hub")
    spec = importlib.util.spec_from_file_location(f"saved_{said.name}", tmp_path / "hub" / "tool.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where inspect looks for a class's source
    try:
        spec.loader.exec_module(module)
        saved = getattr(module, cls.__name__)
        validate_tool_attributes(saved)
        saved().save(tmp_path / "again")
    finally:
        del sys.modules[spec.name]
    assert (tmp_path / "again" / "tool.py").read_text() == (tmp_path / "hub" / "tool.py").read_text()


@every
def test_nobody_has_no_memory(said: words.MemoryTool, cls: Any, tmp_path: Path) -> None:
    tool = cls(path=str(tmp_path / "memory"))
    with pytest.raises(ScopeError, match=f"user=.*{said.name}"):
        tool(**dict.fromkeys(tool.inputs, "x"))
    assert not (tmp_path / "memory").exists()


def test_what_one_stores_another_recalls_and_a_third_forgets(tmp_path: Path) -> None:
    where = {"path": str(tmp_path / "memory"), "user": "ana"}
    recall, store, forget = MemoryRecallTool(**where), MemoryStoreTool(**where), MemoryForgetTool(**where)
    (id_,) = store(text="Ana prefers trains to planes.")["ids"]
    (found,) = recall(query="Does Ana prefer trains?")["memories"]
    assert found["id"] == id_
    assert "trains" in found["text"]
    assert MemoryRecallTool(path=where["path"], user="bo")(query="Does Ana prefer trains?")["memories"] == []
    assert forget(ids=[id_])["forgotten"] == 1
    assert recall(query="Does Ana prefer trains?")["memories"] == []


def test_a_memory_that_is_closed_is_a_note(memory: Memory) -> None:
    recall, store, forget = memory_tools(memory.scope(user="ana"))
    memory.close()
    assert recall(query="Where?")["memories"] == []
    assert recall(query="Where?")["note"]
    assert store(text="Ana lives in Lisbon.")["ids"] == []
    assert forget(ids=["x"])["forgotten"] == 0


@both
def test_an_agent_uses_them(kind: str, memory: Memory) -> None:
    owner = memory.scope(user="ana")
    owner.add("My cat is called Miso.")
    if kind == "code":
        script = [code('final_answer(memory_recall("cat")["memories"][0]["text"])')]
    else:
        script = [
            calls(kind, "memory_recall", query="cat"),
            lambda prompt: answer(kind, re.search(r"'text': '([^']+)'", prompt.rpartition("Observation")[2])[1]),  # type: ignore[index]
        ]
    assert "Miso" in agent_of(kind, script, *memory_tools(owner)).run("What is my cat called?")


def test_an_agent_with_them_is_saved(tmp_path: Path) -> None:
    agent = agent_of("code", [], MemoryRecallTool(), MemoryStoreTool(), MemoryForgetTool())
    agent.save(tmp_path / "agent")
    names = {tool.name for tool in (words.RECALL, words.STORE, words.FORGET)}
    assert {path.stem for path in (tmp_path / "agent" / "tools").glob("memory_*.py")} == names
    loaded = json.loads((tmp_path / "agent" / "agent.json").read_text())
    assert set(loaded["tools"]) >= names
    model = {"class": "OpenAIModel", "data": {"model_id": "some", "api_key": "none"}}  # from_dict knows no models but its own
    again = CodeAgent.from_dict(agent.to_dict() | {"model": model}, model=Scripted())
    assert set(again.tools) >= names
