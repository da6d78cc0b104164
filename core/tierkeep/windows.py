"""What a model has seen in one run of an agent: what the gate asks about a value that stands nowhere else.

For integrations whose agents call tools within a step, call one another, or run code that a model wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tierkeep.records import Evidence
from tierkeep.scoped import ScopedMemory
from tierkeep.turns import UNKNOWN

__all__ = ["Window", "plain_arguments", "text_of"]

#: Stands for a value that is no JSON: the gate refuses it.
_UNREADABLE = ...


class Window:
    """What the model of one run has seen.

    Args:
        owner: Whose memory the run works with.
        request: What the user asks for, in their own words; "" where a model asks.
        held: Ids of what the agent has seen before and still has; what this run sees is added to that very list.
        caller: The window of the run whose model called this agent; it reads the report, and so sees what is seen here.

    Attributes:
        ids: Ids of the kept messages that the model has seen, `UNKNOWN` for what was not kept.
        evidence: What the memory had for the task.
        brought: Ids of what tools brought: the answer rests on that.
        known: Texts that are kept already, or come from the memory.
        context: The application's own arguments of the run.
    """

    def __init__(
        self, owner: ScopedMemory, request: str, held: list[str], *, caller: Window | None = None, context: Mapping[str, Any] | None = None
    ) -> None:
        self.owner, self.request, self.held, self.caller, self.context = owner, request, held, caller, context or {}
        self.ids = [*held]
        self.evidence = Evidence(question="")
        self.brought: list[str] = []
        self.known: list[str] = []
        if caller is not None:
            self.saw(caller.ids if self.same_owner(caller) else [UNKNOWN])

    def shown(self, evidence: Evidence) -> None:
        """Note what the model is shown of the memory."""
        self.evidence = evidence
        self.known.append(evidence.text)
        self.saw(source for item in evidence.items for source in item.sources)

    def saw(self, ids: Iterable[str]) -> None:
        """Note what the model has seen."""
        new = [id_ for id_ in dict.fromkeys(ids) if id_ not in self.ids]
        self.ids += new
        self.held += new
        if self.caller is not None and new:
            self.caller.saw(new if self.same_owner(self.caller) else [UNKNOWN])

    def same_owner(self, other: Window | None) -> bool:
        """Return whether there is another window, and its run works with the same memory."""
        return other is not None and self.owner.scope.partition == other.owner.scope.partition

    def news(self, text: str) -> str:
        """Return the lines of a text that are not kept already and were not recalled."""
        known = [text for text in self.known if text.strip()]
        lines = [line for line in text.splitlines() if line.strip()]
        return "\n".join(line for line in lines if not any(line.strip() in text or text in line for text in known))


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
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
