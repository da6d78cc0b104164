"""For `tierkeep doctor`: a chat engine that is told something in one session, and recalls it in another."""

from __future__ import annotations

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM

from tierkeep import Memory
from tierkeep_llamaindex.memory import TierkeepMemory

__all__ = ["remembers"]


def remembers(memory: Memory, told: str, question: str, *, tenant: str, user: str) -> str:
    """Return what a model is sent with a question, after another conversation in which the user said something."""
    said = ""
    for session, message in (("told", told), ("asked", question)):
        own = TierkeepMemory.from_defaults(memory=memory, tenant_id=tenant, user_id=user, session_id=session)
        said = str(SimpleChatEngine.from_defaults(llm=MockLLM(), memory=own).chat(message))  # this model repeats its prompt
    return said
