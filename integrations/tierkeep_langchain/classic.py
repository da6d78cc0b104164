"""COMPATIBILITY. The memory of LangChain's old chains, such as `ConversationChain`. Needs `langchain-classic`; it removes them in 2.0."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, get_buffer_string
from pydantic import PrivateAttr

from tierkeep import Memory, Message
from tierkeep.errors import InputError, MissingExtraError
from tierkeep.scoped import ScopedMemory
from tierkeep.turns import Turns
from tierkeep_langchain.history import TierkeepChatHistory

try:
    from langchain_classic.base_memory import BaseMemory
except ModuleNotFoundError:
    raise MissingExtraError("The memory of LangChain's old chains (langchain-classic)", extra="langchain-classic") from None

__all__ = ["TierkeepMemory"]


class TierkeepMemory(BaseMemory):
    """What is remembered for the chain's input, then the newest messages of the conversation. The async halves work in a thread.

    Args:
        memory: The memory, with `session=` and at least one of `tenant=`, `user=` and `agent=`, as in `Memory.scope`.
        budget: Tokens of what is remembered.
        memory_key: The prompt's variable.
        input_key: The input that the user said; may be left out when there is one.
        output_key: The chain's output; may be left out when there is one.
        return_messages: True for a list of messages, False for one text with the two prefixes.
        newest: Messages of the conversation that are shown.

    Raises:
        ScopeError: Neither tenant, user nor agent is given.
    """

    memory_key: str = "history"
    input_key: str | None = None
    output_key: str | None = None
    return_messages: bool = False
    human_prefix: str = "Human"
    ai_prefix: str = "AI"
    newest: int = 20
    _turns: Turns = PrivateAttr()
    _owner: ScopedMemory = PrivateAttr()
    _history: TierkeepChatHistory = PrivateAttr()

    def __init__(
        self, memory: Memory, *, session: str, tenant: str = "", user: str = "", agent: str = "", budget: int | None = None, **fields: Any
    ) -> None:
        super().__init__(**fields)
        self._turns = Turns(memory, budget=budget)
        self._owner = memory.scope(tenant=tenant, user=user, agent=agent, session=session)
        self._history = TierkeepChatHistory(self._owner)

    @property
    def memory_variables(self) -> list[str]:
        """The prompt's variable."""
        return [self.memory_key]

    def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what is remembered for the input, and the newest messages."""
        messages = self._history.messages
        messages = messages[max(0, len(messages) - self.newest) :]
        question, seen = self._text(inputs, self.input_key) if inputs else "", [str(one.id) for one in messages]
        evidence = self._turns.recall(self._owner, question, seen=seen)
        if self.return_messages:
            return {self.memory_key: [*([HumanMessage(evidence.text)] if evidence else []), *messages]}
        shown = get_buffer_string(messages, human_prefix=self.human_prefix, ai_prefix=self.ai_prefix)
        return {self.memory_key: "\n\n".join(filter(None, (evidence.text, shown)))}

    def save_context(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Keep what the user said and what the chain replied; what cannot be kept is logged."""
        said = Message(text=self._text(inputs, self.input_key))
        self._turns.keep(self._owner, [said, Message(text=self._text(outputs, self.output_key), role="assistant")])

    def clear(self) -> None:
        """Forget the conversation, and everything derived from it."""
        self._history.clear()

    def _text(self, values: dict[str, Any], key: str | None) -> str:
        found = [value for name, value in values.items() if (name == key if key else name not in (self.memory_key, "stop"))]
        if len(found) != 1:
            raise InputError(f"say with input_key= or output_key= which of {', '.join(values) or 'nothing'} is meant", field="input_key")
        return str(found[0].text) if isinstance(found[0], BaseMessage) else str(found[0])
