"""A scripted smolagents `Model`, and agents that are as quiet as tests want them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

pytest.importorskip("smolagents")

from smolagents import ChatMessage, CodeAgent, LogLevel, MessageRole, Model, Tool, ToolCallingAgent
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction
from smolagents.monitoring import TokenUsage

Line = str | list[tuple[str, dict[str, Any]]] | BaseException | Callable[[str], Any]


class Scripted(Model):
    """Says one line after the other: a text, tool calls, or an error; a function is given the whole prompt as one text."""

    def __init__(self, script: Iterable[Line] = ()) -> None:
        super().__init__(model_id="scripted")
        self.script = list(script)
        self.prompts: list[str] = []
        self.seen: list[list[tuple[str, str]]] = []
        self.sent: list[dict[str, Any]] = []

    def generate(self, messages: Any, stop_sequences: Any = None, response_format: Any = None, tools_to_call_from: Any = None,
                 **kwargs: Any) -> ChatMessage:
        texts = [(str(getattr(m.role, "value", m.role)), "".join(part.get("text", "") for part in m.content)) for m in messages]
        self.seen.append(texts)
        self.prompts.append("\n".join(text for _, text in texts))
        self.sent.append({"response_format": response_format, "tools": tools_to_call_from, **kwargs})
        line: Any = self.script.pop(0)
        if callable(line) and not isinstance(line, BaseException):
            line = line(self.prompts[-1])
        if isinstance(line, BaseException):
            raise line
        calls = None
        if isinstance(line, list):
            calls = [
                ChatMessageToolCall(function=ChatMessageToolCallFunction(name=name, arguments=arguments), id=f"c{at}", type="function")
                for at, (name, arguments) in enumerate(line)
            ]
        return ChatMessage(
            role=MessageRole.ASSISTANT, content="" if calls else line, tool_calls=calls, token_usage=TokenUsage(len(self.prompts[-1]), 5)
        )


def code(text: str) -> str:
    return f"Thought: next.\n<code>\n{text}\n</code>"


class Send(Tool):
    """The tool that an attacker wants."""

    name = "send_email"
    description = "Sends an e-mail."
    inputs = {"to": {"type": "string", "description": "Address."}, "body": {"type": "string", "description": "Text."}}  # noqa: RUF012
    output_type = "string"

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []

    def forward(self, to: str, body: str) -> str:
        self.sent.append((to, body))
        return "sent"


class Visit(Tool):
    """Brings what somebody else has written."""

    name = "visit_page"
    description = "Reads a page."
    inputs = {"url": {"type": "string", "description": "Address of the page."}}  # noqa: RUF012
    output_type = "string"

    def __init__(self, page: str = "") -> None:
        super().__init__()
        self.page = page

    def forward(self, url: str) -> str:
        return self.page


def agent_of(kind: str, script: Iterable[Line], *tools: Tool, **how: Any) -> Any:
    """Return a "code" or "tools" agent with a scripted model."""
    cls = CodeAgent if kind == "code" else ToolCallingAgent
    return cls(tools=list(tools), model=Scripted(script), verbosity_level=LogLevel.OFF, **how)


def answer(kind: str, text: str) -> Line:
    return code(f"final_answer({text!r})") if kind == "code" else [("final_answer", {"answer": text})]


def calls(kind: str, name: str, **arguments: Any) -> Line:
    return code(f"print({name}(**{arguments!r}))") if kind == "code" else [(name, arguments)]


def visit(kind: str) -> Line:
    return calls(kind, "visit_page", url="https://example.org")


both = pytest.mark.parametrize("kind", ["code", "tools"])
