"""Scripted models for real agents of LlamaIndex: what they are sent is written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import BaseWorkflowAgent, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, MockFunctionCallingLLM

from tierkeep import Memory

#: One step of a script: a text, or a call of a tool.
Step = str | tuple[str, dict[str, Any]]


class Scripted:
    """An LLM that says what it is told to, in order, and keeps what it was sent."""

    def __init__(self, *steps: Step, react: bool = False) -> None:
        self.steps = list(steps)
        self.prompts: list[list[ChatMessage]] = []
        self.react = react
        self.llm = MockFunctionCallingLLM(response_generator=self._reply, is_chat_model=True)

    def _reply(self, messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        self.prompts.append([message.model_copy(deep=True) for message in messages])
        step = self.steps.pop(0)
        if isinstance(step, str):
            return ChatMessage(role="assistant", content=f"Thought: I can answer.\nAnswer: {step}" if self.react else step)
        name, arguments = step
        if self.react:
            return ChatMessage(role="assistant", content=f"Thought: I need a tool.\nAction: {name}\nAction Input: {json.dumps(arguments)}")
        call = ToolCallBlock(tool_call_id=f"call-{len(self.prompts)}", tool_name=name, tool_kwargs=arguments)
        return ChatMessage(role="assistant", blocks=[call])

    @property
    def sent(self) -> str:
        """All of the last prompt."""
        return "\n".join(f"{message.role.value}: {message.content}" for message in self.prompts[-1])


def agent_of(kind: str, *steps: Step, tools: Sequence[Any] = (), **more: Any) -> tuple[BaseWorkflowAgent, Scripted]:
    """Return an agent of a kind with a scripted model."""
    script = Scripted(*steps, react=kind == "react")
    made = {"function": FunctionAgent, "react": ReActAgent}[kind]
    return made(name=kind, description=kind, llm=script.llm, tools=list(tools), streaming=False, **more), script


def texts(memory: Memory, user: str = "ana", **more: Any) -> list[tuple[str, str]]:
    """Return role and text of all that is stored of a user, in order."""
    return [(event.role, event.text) for event in memory.scope(user=user, **more).events()]
