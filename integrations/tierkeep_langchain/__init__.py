"""A memory for LangChain and LangGraph agents.

```python
from langchain.agents import create_agent
from tierkeep import Memory
from tierkeep_langchain import MemoryMiddleware, from_run

remembers = MemoryMiddleware(Memory.open("./memory"), user=from_run("user_id"))
agent = create_agent("openai:gpt-5.5", tools=[], middleware=[remembers])
agent.invoke({"messages": [("user", "What is my cat called?")]}, config={"configurable": {"user_id": "ana", "thread_id": "1"}})
```

Compatibility with LangChain's older memories stands apart: `tierkeep_langchain.classic` and `tierkeep_langchain.history`.
"""

from tierkeep_langchain.convert import as_langchain, event_id
from tierkeep_langchain.middleware import MemoryMiddleware
from tierkeep_langchain.models import LangChainChat, LangChainEmbedder
from tierkeep_langchain.owners import from_run
from tierkeep_langchain.retriever import MemoryRetriever
from tierkeep_langchain.store import TierkeepStore, label
from tierkeep_langchain.tools import memory_tools

__all__ = [
    "LangChainChat", "LangChainEmbedder", "MemoryMiddleware", "MemoryRetriever", "TierkeepStore", "as_langchain", "event_id", "from_run",
    "label", "memory_tools",
]  # fmt: skip
