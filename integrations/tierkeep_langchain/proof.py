"""For `tierkeep doctor`: a real agent that is told something in one thread, and recalls it in another."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

from tierkeep import Memory
from tierkeep_langchain.middleware import MemoryMiddleware

__all__ = ["remembers"]


class _Ear(BaseCallbackHandler):
    """Hears what a model is sent."""

    heard = ""

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        """Note it."""
        self.heard = str(messages)


def remembers(memory: Memory, told: str, question: str, *, tenant: str, user: str) -> str:
    """Return what a model is sent with a question, after another conversation in which the user said something."""
    remembering = MemoryMiddleware(memory, tenant=tenant, user=user)
    agent = create_agent(GenericFakeChatModel(messages=iter([AIMessage("Noted."), AIMessage("I see.")])), middleware=[remembering])
    ear = _Ear()
    for thread, said in (("told", told), ("asked", question)):
        agent.invoke({"messages": [HumanMessage(said)]}, {"configurable": {"thread_id": thread}, "callbacks": [ear]})
    return ear.heard
