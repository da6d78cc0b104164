"""The memory as a retriever and as tools for a model, and the gate in front of all other tools."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import Field, create_model
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolMetadata, ToolOutput, adapt_to_async_tool
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from tierkeep.errors import InputError, SettingsError, TierkeepError
from tierkeep.gating import ToolPolicy, refusal
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import FORGET, RECALL, STORE, MemoryTool, Toolbox, recalled
from tierkeep.turns import at_work
from tierkeep_llamaindex.convert import wordless

if TYPE_CHECKING:
    from tierkeep_llamaindex.memory import TierkeepMemory

_LOG = logging.getLogger(__name__)


class TierkeepRetriever(BaseRetriever):
    """Finds what an owner's memory has for a query, best first. A memory that fails gives nothing, and the log says so.

    Args:
        owner: Whose memory: `Memory.open(…).scope(user="ana")`, or `TierkeepMemory.owner`.
        similarity_top_k: Most nodes.
    """

    def __init__(self, owner: ScopedMemory, similarity_top_k: int = 4) -> None:
        super().__init__()
        self._toolbox = Toolbox(owner)
        self._similarity_top_k = similarity_top_k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        try:
            evidence = self._toolbox.evidence(query_bundle.query_str)
        except TierkeepError as error:
            _LOG.warning("nothing was retrieved: %s: %s", type(error).__name__, error)
            return []
        nodes = []
        for item, told in zip(evidence.items, recalled(evidence)["memories"], strict=True):
            text = told.pop("text")  # it says who speaks and how far to trust it, so the rest need not be shown
            metadata = {**told, "session": item.session, "authority": item.authority.name, "sources": list(item.sources)}
            node = TextNode(text=text, id_=item.id, metadata=metadata, excluded_llm_metadata_keys=[*metadata])
            nodes.append(NodeWithScore(node=node, score=item.score))
        return sorted(nodes, key=lambda node: -(node.score or 0.0))[: self._similarity_top_k]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


class TierkeepToolSpec(BaseToolSpec):
    """The tools with which a model recalls, stores and forgets, in the memory of its run: `TierkeepMemory.as_tool_spec()`."""

    spec_functions = [(tool.name, f"a{tool.name}") for tool in (RECALL, STORE, FORGET)]  # noqa: RUF012 - the base class's form

    def __init__(self, memory: TierkeepMemory) -> None:
        self._memory = memory

    def get_metadata_from_fn_name(self, fn_name: str, spec_functions: Any = None) -> ToolMetadata:
        """Return what a model is told of a tool."""
        tool: MemoryTool = {one.name: one for one in (RECALL, STORE, FORGET)}[fn_name.removeprefix("a")]
        fields: dict[str, Any] = {
            name: (list[str] if name == "ids" else str, Field(description=meaning)) for name, meaning in tool.parameters.items()
        }
        return ToolMetadata(name=tool.name, description=tool.description, fn_schema=create_model(tool.name, **fields))

    def memory_recall(self, query: str) -> str:
        """Return what the memory has for a query, as JSON."""
        try:
            evidence = Toolbox(self._memory.owner).evidence(query)
        except InputError as error:
            return json.dumps({"memories": [], "note": str(error)}, ensure_ascii=False)
        with self._memory.running() as talk:
            talk.show(evidence)
        return json.dumps(recalled(evidence), ensure_ascii=False)

    def memory_store(self, text: str) -> str:
        """Keep a sentence as the agent's word; return its ids as JSON."""
        return json.dumps(Toolbox(self._memory.owner).store(text), ensure_ascii=False)

    def memory_forget(self, ids: list[str]) -> str:
        """Remove memories for good; return how many, as JSON."""
        return json.dumps(Toolbox(self._memory.owner).forget(ids), ensure_ascii=False)

    async def amemory_recall(self, query: str) -> str:
        """Do the same as `memory_recall`, without blocking the event loop."""
        return await asyncio.to_thread(self.memory_recall, query)

    async def amemory_store(self, text: str) -> str:
        """Do the same as `memory_store`, without blocking the event loop."""
        return await asyncio.to_thread(self.memory_store, text)

    async def amemory_forget(self, ids: list[str]) -> str:
        """Do the same as `memory_forget`, without blocking the event loop."""
        return await asyncio.to_thread(self.memory_forget, ids)


def guarded_tools(
    tools: Sequence[BaseTool], memory: TierkeepMemory, policies: Mapping[str, ToolPolicy] | None = None
) -> list[AsyncBaseTool]:
    """Return tools that ask the gate before they do anything, and whose results are kept at once. Hand over all tools of an agent.

    A call that may not be made is not made: the model is told why, and the user can say the values, or confirm them
    (`memory.owner.guard`). What a tool that is not handed over returns is unknown to the gate.

    Args:
        tools: Any tools.
        memory: The memory of the run: its latest user message is what is asked for.
        policies: What the application says of these tools, such as `{"search": ToolPolicy(side_effects=False)}`.
    """
    from tierkeep_llamaindex.memory import TierkeepMemory  # it has tools of its own, and imports this module

    if not isinstance(memory, TierkeepMemory):
        raise SettingsError(f"hand over the run's TierkeepMemory, not an object of type {type(memory).__name__}")
    memory.tools.update(policies or {})
    return [_GuardedFunction(tool, memory) if isinstance(tool, FunctionTool) else _Guarded(tool, memory) for tool in tools]


class _Guarded(AsyncBaseTool):
    """A tool behind the gate."""

    def __init__(self, tool: BaseTool, memory: TierkeepMemory) -> None:
        self.__dict__.update(vars(tool))  # an agent looks at what a FunctionTool is, such as whether it wants a context
        self._tool = adapt_to_async_tool(tool)
        self._memory = memory

    @property
    def metadata(self) -> ToolMetadata:
        return self._tool.metadata

    def __call__(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        output = self._refused(args, kwargs)
        if output is None:
            try:
                with self._at_work():
                    output = self._tool.call(*args, **kwargs)
            finally:
                self._note(output)
        return output

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        output = await asyncio.to_thread(self._refused, args, kwargs)
        if output is None:
            try:
                with await asyncio.to_thread(self._at_work):
                    output = await self._tool.acall(*args, **kwargs)
            finally:
                await asyncio.to_thread(self._note, output)
        return output

    def _refused(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolOutput | None:
        name, context = self.metadata.get_name(), getattr(self._tool, "ctx_param_name", None)
        given = {key: value for key, value in kwargs.items() if key != context} | ({"args": [*args]} if args else {})
        decision = self._memory.check(name, given)
        if decision:
            return None
        told = f"{refusal(decision)}. Ask the user to say the values or to confirm the call."
        with self._memory.running() as talk:
            talk.returned(name, told, keep=False)
        return ToolOutput(tool_name=name, content=told, raw_input=given, raw_output=told, is_error=True)

    def _at_work(self) -> AbstractContextManager[None]:
        with self._memory.running() as talk:
            return at_work(self._memory.partition, talk.turn.request)

    def _note(self, output: ToolOutput | None) -> None:
        with self._memory.running() as talk:
            talk.returned(self.metadata.get_name(), None if output is None else output.content)
            if output is not None and wordless(output.blocks):
                talk.returned(self.metadata.get_name(), None)


class _GuardedFunction(_Guarded, FunctionTool):
    """The same, for agents that ask whether it is a `FunctionTool`."""
