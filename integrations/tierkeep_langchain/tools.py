"""The memory as tools of a model: recall, store and forget, in the words of `tierkeep.toolbox`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field, create_model

from tierkeep import Memory
from tierkeep.errors import SettingsError
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import FORGET, RECALL, STORE, MemoryTool, Toolbox
from tierkeep.turns import Part, Turns
from tierkeep_langchain.convert import named
from tierkeep_langchain.owners import owners

__all__ = ["memory_tools"]

_TOOLS = {tool.name: tool for tool in (RECALL, STORE, FORGET)}


def memory_tools(
    memory: Memory | ScopedMemory, *, user: Part = None, tenant: Part = None, agent: Part = None, session: Part = None,
    names: Sequence[str] = tuple(_TOOLS),
) -> list[BaseTool]:  # fmt: skip
    """Return tools with which a model reads and writes the memory of the user it runs for. Sync and async.

    Args:
        memory: The memory, whose owner each run names; or one owner's memory, and then no part of an owner.
        user: Whose memory, as for `MemoryMiddleware`: the model neither sees nor says it. So are `tenant`, `agent` and `session`.
        tenant: The organisation.
        agent: The agent.
        session: The conversation in which sentences are stored; the thread's id otherwise.
        names: Which of memory_recall, memory_store and memory_forget.

    Raises:
        ScopeError: Nothing says whose memory it is.
        SettingsError: There is no such tool, it is no memory, or an owner's memory is given with a part of an owner.
    """
    if isinstance(names, str) or not set(names) <= set(_TOOLS):
        raise SettingsError(f"names must be some of {', '.join(_TOOLS)}, not {names!r}")
    if isinstance(memory, Memory):
        owner_of = owners(Turns(memory), session, user=user, tenant=tenant, agent=agent)
    elif not isinstance(memory, ScopedMemory):
        raise SettingsError(f"hand over an open memory, or what its scope() returns, not an object of type {type(memory).__name__}")
    elif (user, tenant, agent, session) == (None,) * 4:
        owner_of = lambda runtime: memory  # noqa: E731 - the same as above, for one owner
    else:
        raise SettingsError("an owner's memory says whose it is: leave user, tenant, agent and session out")
    return [_tool(_TOOLS[name], owner_of) for name in names]


def _tool(tool: MemoryTool, owner_of: Callable[[Any], ScopedMemory]) -> BaseTool:
    def run(runtime: ToolRuntime = None, **given: Any) -> tuple[str, dict[str, Any]]:  # type: ignore[assignment]
        owner, thread = owner_of(runtime), runtime.state["messages"] if runtime else []
        turn = next((place for place in reversed(range(len(thread))) if isinstance(thread[place], HumanMessage)), 0)
        parents = [one.id for one in named(thread, owner.scope.session)[turn:] if one.tool]  # what a model stores may repeat its tools
        return Toolbox(owner).call(tool.name, given, derived_from=parents)

    async def arun(runtime: ToolRuntime = None, **given: Any) -> tuple[str, dict[str, Any]]:  # type: ignore[assignment]
        return await asyncio.to_thread(run, runtime, **given)

    kinds = {"ids": list[str]}
    fields: dict[str, Any] = {name: (kinds.get(name, str), Field(description=means)) for name, means in tool.parameters.items()}
    return StructuredTool.from_function(
        run, arun, tool.name, description=tool.description, args_schema=create_model(tool.name, **fields), infer_schema=False,
        response_format="content_and_artifact",
    )  # fmt: skip
