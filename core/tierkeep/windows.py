"""What a model has seen in one run of an agent: what the gate asks about a value that stands nowhere else.

For integrations whose agents call tools within a step, call one another, or run code that a model wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tierkeep.records import ActionDecision, Evidence, Message
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import TOOL_NAMES
from tierkeep.turns import UNKNOWN, Turns

__all__ = ["Window", "plain_arguments", "text_of"]

#: Stands for a value that is no JSON: the gate refuses it.
_UNREADABLE = ...


class Window:
    """One run: what its model has seen, what was kept of it, and what the gate says to its calls.

    Args:
        turns: The memory's part.
        owner: Whose memory the run works with.
        request: What the user asks for, in their own words; "" where a model asks.
        held: Ids of what the agent has seen before and still has; what this run sees is added to that very list.
        conversation: Ids of what the agent's messages hold; what this run keeps is added to that very list.
        caller: The window of the run whose model called this agent; it reads the report, and so sees what is seen here.
        context: The application's own arguments of the run.

    Attributes:
        ids: Ids of the kept messages that the model has seen, `UNKNOWN` for what was not kept.
        evidence: What the memory had for the task.
        brought: Ids of what tools brought: the answer rests on that.
        known: Texts that are kept already, or come from the memory.
    """

    def __init__(
        self, turns: Turns, owner: ScopedMemory, request: str, *, held: list[str] | None = None, conversation: list[str] | None = None,
        caller: Window | None = None, context: Mapping[str, Any] | None = None,
    ) -> None:
        self.turns, self.owner, self.request, self.caller, self.context = turns, owner, request, caller, context or {}
        self.held = [] if held is None else held
        self.conversation = [] if conversation is None else conversation
        self.ids = [*self.held]
        self.evidence = Evidence(question="")
        self.brought: list[str] = []
        self.known: list[str] = []
        if caller is not None:
            self.saw(caller.ids if self.same_owner(caller) else [UNKNOWN])

    def saw(self, ids: Iterable[str]) -> None:
        """Note what the model has seen."""
        new = [id_ for id_ in dict.fromkeys(ids) if id_ not in self.ids]
        self.ids += new
        self.held += new
        if self.caller is not None and new:
            self.caller.saw(new if self.same_owner(self.caller) else [UNKNOWN])

    def saw_unknown(self) -> None:
        """Note that the model has seen what no memory knows."""
        self.saw([UNKNOWN])

    def same_owner(self, other: Window | None) -> bool:
        """Return whether there is another window, and its run works with the same memory."""
        return other is not None and self.owner.scope.partition == other.owner.scope.partition

    def recall(self, question: str) -> None:
        """Recall for the task, without what the conversation holds (`Turns.recall`)."""
        self.evidence = self.turns.recall(self.owner, question, seen=self.conversation)
        self.known.append(self.evidence.text)
        self.saw(source for item in self.evidence.items for source in item.sources)

    def keep(self, message: Message) -> tuple[str, ...]:
        """Keep a message (`Turns.keep`) and return its ids. The model has seen it; the request itself counts as seen in the next run."""
        if not message.text.strip():
            return ()
        rests: dict[str, Any] = {"evidence": self.evidence, "rests_on": self.brought} if message.role == "assistant" else {}
        ids = self.turns.keep(self.owner, [message], **rests).ids
        self.conversation += ids
        (self.held.extend if message.role == "user" else self.saw)(ids or (UNKNOWN,))
        self.known.append(message.text)
        return ids

    def bring(self, tool: str, result: Any) -> None:
        """Keep what a tool gave, as soon as it gave it. What comes from the memory is not kept again."""
        text = text_of(result)
        if tool in TOOL_NAMES:
            found = result.get("memories", ()) if isinstance(result, dict) else ()
            self.known += [text, str(result), *(one["text"] for one in found)]
            self.saw([UNKNOWN] if found else [])
        elif text:
            self.known.append(str(result))
            self.brought += self.keep(Message(text=text, role="tool", speaker=tool))
        elif not isinstance(result, (str, type(None))):  # and not compared: an array's answer would be an array
            self.saw_unknown()

    def news(self, text: str) -> str:
        """Return the lines of a text that are not kept already and were not recalled."""
        known = [text for text in self.known if text.strip()]
        lines = [line for line in text.splitlines() if line.strip()]
        return "\n".join(line for line in lines if not any(line.strip() in text or text in line for text in known))

    def check(self, tool: str, arguments: Mapping[str, Any]) -> ActionDecision:
        """Return whether a tool may be called (`Turns.check`), for this run's request and about all that its model has seen."""
        return self.turns.check(self.owner, tool, plain_arguments(arguments), request=self.request, window=self.ids)


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments with sets as lists, and what is no plain JSON value as something that the gate refuses.

    Types are compared and not asked: a class that generated code has made can say one thing to the gate and another to the tool.
    """
    return {name: _plain(value) for name, value in arguments.items()}


def _plain(value: Any) -> Any:
    kind: object = type(value)
    if kind in (str, int, float, bool, type(None)):
        return value
    if kind in (list, tuple, set, frozenset):
        return [_plain(one) for one in value]
    return {_plain(key): _plain(one) for key, one in value.items()} if kind is dict else _UNREADABLE


def text_of(value: Any) -> str:
    """Return what a tool or an agent gave as a text; "" for pictures and sounds, which nobody can keep as one."""
    if value is None or hasattr(value, "tobytes") or hasattr(value, "samplerate"):
        return ""
    if isinstance(value, (dict, list, tuple)):
        try:
            return json.dumps(value, ensure_ascii=False, default=str)
        except (TypeError, ValueError, RecursionError):  # other keys than texts, a value inside itself: no reason to lose what a tool gave
            return str(value)
    return str(value)
