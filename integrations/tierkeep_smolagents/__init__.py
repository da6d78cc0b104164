"""The memory for smolagents: an agent that remembers, tools that travel to the Hub, a gate in front of tools, and a chat model.

Example:
    from smolagents import CodeAgent, InferenceClientModel
    from tierkeep_smolagents import with_memory

    agent = with_memory(CodeAgent(tools=[], model=InferenceClientModel()), "./memory", user="ana")
    agent.run("My cat is called Miso.")
"""

from __future__ import annotations

from tierkeep_smolagents.models import SmolagentsChat
from tierkeep_smolagents.tools import MemoryForgetTool, MemoryRecallTool, MemoryStoreTool, memory_tools
from tierkeep_smolagents.wiring import with_memory, without_memory

__all__ = ["MemoryForgetTool", "MemoryRecallTool", "MemoryStoreTool", "SmolagentsChat", "memory_tools", "with_memory", "without_memory"]
