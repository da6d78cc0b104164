"""Scripted models and agents for the tests of the LangChain adapter: real agents, and a model that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

#: What a scripted model does at a call: a text, a message, or a function of the prompt that returns one of them.
Step = str | AIMessage | Callable[[Sequence[BaseMessage]], "str | AIMessage"]


class Scripted(BaseChatModel):
    """Says the steps one after the other, then "ok"; remembers each prompt it was given and the tools it was bound to."""

    steps: list[Any] = Field(default_factory=list)
    prompts: list[list[BaseMessage]] = Field(default_factory=list)
    bound: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.bound[:] = list(tools)
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        self.prompts.append(list(messages))
        step = self.steps.pop(0) if self.steps else "ok"
        said = step(messages) if callable(step) else step
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said) if isinstance(said, str) else said)])


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "", first: int = 1) -> AIMessage:
    """Return what a model says that calls tools."""
    return AIMessage(
        text, tool_calls=[{"name": name, "args": args, "id": f"call{number}", "type": "tool_call"} for number, (name, args) in
                          enumerate(wanted, first)],
    )  # fmt: skip


def shown(prompt: Sequence[BaseMessage]) -> str:
    """Return a prompt as text."""
    return "\n".join(f"{message.type}: {message.text}" for message in prompt)
