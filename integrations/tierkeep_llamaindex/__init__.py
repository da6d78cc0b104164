"""tierkeep in LlamaIndex: a memory for agents and chat engines, a block for its own `Memory`, a retriever, tools, and the gate on tools.

Example:
    memory = TierkeepMemory.from_defaults(path="./memory", user_id="ana", session_id="s1")
    agent = FunctionAgent(llm=llm, tools=[*guarded_tools(tools, memory), *memory.as_tool_spec().to_tool_list()])
    await agent.run("What is my cat called?", memory=memory)
"""

from tierkeep_llamaindex.block import TierkeepMemoryBlock
from tierkeep_llamaindex.memory import TierkeepMemory
from tierkeep_llamaindex.models import LlamaIndexChat, LlamaIndexEmbedder
from tierkeep_llamaindex.tools import TierkeepRetriever, TierkeepToolSpec, guarded_tools

__all__ = [
    "LlamaIndexChat", "LlamaIndexEmbedder", "TierkeepMemory", "TierkeepMemoryBlock", "TierkeepRetriever", "TierkeepToolSpec",
    "guarded_tools",
]  # fmt: skip
