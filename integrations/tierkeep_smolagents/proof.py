"""For `tierkeep doctor`: an agent that is told something in one run, and recalls it in another."""

from __future__ import annotations

from typing import Any

from smolagents import ChatMessage, CodeAgent, LogLevel, MessageRole, Model

from tierkeep import Memory
from tierkeep_smolagents.wiring import with_memory

__all__ = ["remembers"]


class _Noting(Model):  # type: ignore[misc]
    """Says the same to everything, and keeps what it was sent."""

    sent = ""

    def generate(self, messages: list[Any], **_: Any) -> ChatMessage:
        """End the run."""
        self.sent = str(messages)
        return ChatMessage(role=MessageRole.ASSISTANT, content="<code>\nfinal_answer('Noted.')\n</code>")


def remembers(memory: Memory, told: str, question: str, *, tenant: str, user: str) -> str:
    """Return what a model is sent with a question, after another conversation in which the user said something."""
    model = _Noting()
    for task in (told, question):
        agent = CodeAgent(tools=[], model=model, verbosity_level=LogLevel.OFF)
        with_memory(agent, memory, tenant=tenant, user=user).run(task)
    return model.sent
