"""COMPATIBILITY. A conversation as LangChain's message history, for `RunnableWithMessageHistory`. LangChain removes both in 2.0."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from tierkeep import Message
from tierkeep.errors import ScopeError
from tierkeep.records import Role
from tierkeep.scoped import ScopedMemory
from tierkeep_langchain.convert import as_langchain

__all__ = ["TierkeepChatHistory"]

_KINDS: dict[Role, type[BaseMessage]] = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}


class TierkeepChatHistory(BaseChatMessageHistory):
    """One conversation: what is added is kept and recalled like everything else. The async halves work in a thread.

    What the user, the model and the system say is kept. Calls of tools and their results are not: most models refuse one without the other.

    Args:
        owner: Whose, with the conversation: `memory.scope(user="ann", session="s1")`.

    Raises:
        ScopeError: The owner names no session.
    """

    def __init__(self, owner: ScopedMemory) -> None:
        if owner.scope.session is None:
            raise ScopeError("a history is of one conversation: memory.scope(user=…, session=…)", field="session")
        self._owner = owner

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The conversation, oldest first."""
        return [as_langchain(event) for event in self._owner.events() if event.kind == "message" and event.role in _KINDS]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep messages, all or none; one whose id is known is not kept again. Errors are those of `ScopedMemory.add`."""
        roles = ((one, role) for one in messages for role, kind in _KINDS.items() if isinstance(one, kind))
        said = [Message(text=str(one.text), role=role, speaker=one.name or "", id=one.id) for one, role in roles if str(one.text).strip()]
        if said:
            self._owner.add(said)

    def clear(self) -> None:
        """Forget the conversation, and everything derived from it."""
        self._owner.forget(everything=True)

