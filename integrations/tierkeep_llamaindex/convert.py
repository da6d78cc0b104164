"""LlamaIndex's chat messages as ours: who really speaks in them, whatever role an agent gave them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llama_index.core.base.llms.types import CachePoint, ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.utils import get_tokenizer

from tierkeep import Message
from tierkeep.toolbox import TOOL_NAMES

#: CodeActAgent puts what code printed into the history as if the user had said it.
_CODE_RESULT = "Result of executing the code given:"
_ACTION = re.compile(r"(?:^|\n)Action: (\S+)\nAction Input:")
#: Tools whose results are nobody's memory: our own, and AgentWorkflow's word on who speaks now.
_NOT_KEPT = TOOL_NAMES | {"handoff"}


@dataclass
class Entry:
    """A message of the history, and the ids of what was kept of it."""

    message: ChatMessage
    ids: tuple[str, ...] = ()
    counted: int = -1

    def __post_init__(self) -> None:
        self.users = is_users(self.message)

    def tokens(self) -> int:
        """Return its tokens, counted once."""
        if self.counted < 0:
            self.counted = len(get_tokenizer()(f"{text_of(self.message)} {self.message.additional_kwargs or ''}"))
        return self.counted


def text_of(message: ChatMessage) -> str:
    """Return the text of a message, without images and the like."""
    return "\n".join(block.text for block in message.blocks if isinstance(block, TextBlock))


def wordless(blocks: Iterable[object]) -> bool:
    """Return whether there is more than text, such as a picture: nobody keeps what it says to a model."""
    return not all(isinstance(block, (TextBlock, CachePoint)) for block in blocks)


def copy_of(message: ChatMessage) -> ChatMessage:
    """Return a copy that an agent may write into, as it does with its `state`."""
    blocks = [block.model_copy() for block in message.blocks]
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": dict(message.additional_kwargs)})


def is_users(message: ChatMessage) -> bool:
    """Return whether it is the user who speaks: a turn begins."""
    return message.role == MessageRole.USER and not text_of(message).startswith(_CODE_RESULT)


def tool_calls(message: ChatMessage) -> dict[str, str]:
    """Return the names of the tools that a message calls, by the ids of the calls, in whichever form a model gives them."""
    calls = {str(block.tool_call_id): block.tool_name for block in message.blocks if isinstance(block, ToolCallBlock)}
    for call in message.additional_kwargs.get("tool_calls") or ():
        read = call.get if isinstance(call, Mapping) else lambda name, call=call: getattr(call, name, None)
        function = read("function")
        name = function.get("name") if isinstance(function, Mapping) else getattr(function, "name", None)
        calls[str(read("tool_id") or read("id"))] = str(name or read("tool_name") or "")
    return calls


def said_in(message: ChatMessage, calls: Mapping[str, str]) -> list[Message]:
    """Return what is to be kept of a message; nothing of system prompts, mere calls of tools and our own tools.

    Args:
        message: As an agent or chat engine puts it.
        calls: Names of tools by the ids of their calls, of the messages before it.
    """
    text, said = text_of(message), list[Message]()
    if message.role == MessageRole.USER:
        said = [Message(text=text) if is_users(message) else Message(text=text, role="tool", speaker="execute")]
    elif message.role in (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL):
        said = _reasoned(text)
    elif message.role in (MessageRole.TOOL, MessageRole.FUNCTION):
        name = calls.get(str(message.additional_kwargs.get("tool_call_id"))) or message.additional_kwargs.get("name") or ""
        said = [Message(text=text, role="tool", speaker=str(name))]
    return [one for one in said if one.text.strip() and one.speaker not in _NOT_KEPT]


def _reasoned(text: str) -> list[Message]:
    """Return what stands in a message of the assistant.

    ReActAgent puts thoughts, actions, observations and the answer into one. An observation is what a tool said, and so is an answer
    inside it: the last one counts. What it claims of other tools can only lower trust: among several names nobody's origin is taken.
    """
    head, mark, answer = text.rpartition("\nAnswer: ")
    if not (mark and text.startswith("Thought: ")):
        return [Message(text=text, role="assistant")]
    before, *steps = head.split("\nObservation: ")
    observed = []
    for step in steps:
        observed.append(((_ACTION.findall(before) or [""])[-1], step.rpartition("\nThought: ")[0] or step))
        before = step
    named = {name for name, _ in observed} - _NOT_KEPT
    speaker = named.pop() if len(named) == 1 else ""
    results = [Message(text=seen, role="tool", speaker=name if name in _NOT_KEPT else speaker) for name, seen in observed]
    return [*results, Message(text=answer, role="assistant")]
