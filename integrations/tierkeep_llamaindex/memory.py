"""LlamaIndex's memory on tierkeep: keeps each message at once, and puts what is remembered in front of the user's latest one."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self
from uuid import uuid4

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.memory import BaseMemory
from llama_index.core.memory.memory import InsertMethod

from tierkeep import Memory, Origin
from tierkeep.conversation import Conversation, fitting
from tierkeep.errors import SettingsError, StorageError
from tierkeep.gating import ToolPolicy
from tierkeep.records import ActionDecision, Role
from tierkeep.scoped import ScopedMemory
from tierkeep.turns import UNKNOWN, Turns, request_outside
from tierkeep_llamaindex.convert import Entry, copy_of, is_users, said_in, text_of, tool_calls, wordless
from tierkeep_llamaindex.tools import TierkeepRetriever, TierkeepToolSpec

_LOG = logging.getLogger(__name__)
_UNSAVED = ":memory:"


class TierkeepMemory(BaseMemory):
    """The memory of one user in one session, for `agent.run(…, memory=)` and chat engines. Make it with `from_defaults`.

    The history of the session is its own, on tierkeep's ledger. One object is one conversation: runs at the same time get one each. A
    memory that fails breaks no run: nothing is recalled or kept then, and the log says so.

    Attributes:
        path: Folder or file of the store; None for a memory that was handed over.
        user_id: Whose memory it is; with `tenant_id` and `agent_id`, of which at least one is needed.
        session_id: The conversation; the same name continues it.
        budget: Tokens of what is recalled; tierkeep's setting otherwise. So is `deadline_s`, the seconds that it may take.
        keep: Roles whose messages are kept.
        origins: Where results of tools come from, by name, such as `{"search": Origin.web()}`; untrusted tools otherwise.
        tools: What the application says of its tools to the gate, by name.
        insert_method: Whether what is recalled goes into the latest user message, or is a system message, which ReActAgent may drop.
        token_limit: Tokens of the history that `get` returns, with what is recalled.
    """

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(default=None, frozen=True)
    user_id: str | None = Field(default=None, frozen=True)
    tenant_id: str | None = Field(default=None, frozen=True)
    agent_id: str | None = Field(default=None, frozen=True)
    session_id: str = Field(default_factory=lambda: uuid4().hex)
    budget: int | None = None
    deadline_s: float | None = None
    keep: tuple[Role, ...] = ("user", "assistant", "tool")
    origins: dict[str, Origin] = Field(default_factory=dict)
    tools: dict[str, ToolPolicy] = Field(default_factory=dict)
    insert_method: InsertMethod = InsertMethod.USER
    token_limit: int = Field(default=30_000, gt=0)

    _memory: Memory | None = PrivateAttr(default=None)
    _talk: Conversation = PrivateAttr()
    _entries: list[Entry] = PrivateAttr(default_factory=list)
    _calls: dict[str, str] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=RLock)

    def model_post_init(self, context: Any, /) -> None:
        """Set up the conversation; nothing is opened yet."""
        super().model_post_init(context)
        self._talk = Conversation(self.session_id, self._reached)

    @classmethod
    def from_defaults(
        cls, *, path: str | os.PathLike[str] | None = None, memory: Memory | None = None, chat_history: list[ChatMessage] | None = None,
        **fields: Any,
    ) -> Self:
        """Open a memory, or take an open one.

        Args:
            path: Where the store is: opened here, and again after `from_dict` or `pickle`.
            memory: An open memory instead, with settings and models of its own. Your program closes it.
            chat_history: What the history begins with.
            **fields: The attributes of this class.

        Raises:
            ScopeError: Nobody's memory, or a name that cannot be used.
            SettingsError: Not exactly one of path and memory, or a value that cannot hold.
            StorageError: The store cannot be opened.
        """
        if wrong := sorted(set(fields) - set(cls.model_fields)):
            near = {"user": "user_id", "tenant": "tenant_id", "agent": "agent_id", "session": "session_id"}
            raise SettingsError(f"there is no {wrong[0]}=" + (f": it is {near[wrong[0]]}=" if wrong[0] in near else " here"))
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise SettingsError(f"path= is a folder or file, not an object of type {type(path).__name__}: an open memory is memory=")
        if (path is None) == (memory is None):
            raise SettingsError("give either path=, a folder or file to open, or memory=, an open tierkeep.Memory")
        where = None if path is None else os.fspath(path)
        made = cls(path=where if where in (None, _UNSAVED) else str(Path(where).expanduser().absolute()), **fields)
        made._memory = memory
        made._open(made.session_id)
        if chat_history:
            made.set(chat_history)
        return made

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex saves it."""
        return "TierkeepMemory"

    def get(self, input: str | ChatMessage | None = None, initial_token_count: int = 0, **_: Any) -> list[ChatMessage]:
        """Return the history that fits, with what is remembered for the latest user message, or for an `input` that was not put yet."""
        with self.running() as talk:
            turn = talk.expect(text_of(input) if isinstance(input, ChatMessage) else input or "")
            ahead = turn is not talk.turn
            evidence = turn.evidence or talk.recall(turn, self._behind())
            messages = [copy_of(entry.message) for entry in self._window(initial_token_count + evidence.tokens)]
        if not evidence:
            return messages
        block = TextBlock(text=f"{evidence.text}\n")
        place = max((at for at, message in enumerate(messages) if is_users(message)), default=-1)
        if self.insert_method is InsertMethod.SYSTEM:
            return [ChatMessage(role=MessageRole.SYSTEM, blocks=[block]), *messages]
        if ahead or place < 0:
            return [*messages, ChatMessage(role=MessageRole.USER, blocks=[block])]
        messages[place].blocks = [block, *messages[place].blocks]
        return messages

    def get_all(self) -> list[ChatMessage]:
        """Return the whole history of the session, as it was put."""
        with self.running():
            return [copy_of(entry.message) for entry in self._entries]

    def put(self, message: ChatMessage) -> None:
        """Add a message to the history, and keep what it says."""
        self.put_messages([message])

    def put_messages(self, messages: list[ChatMessage], counts: Counter[str] | None = None) -> None:
        """Add messages to the history, and keep what they say."""
        with self.running() as talk:
            for message in messages:
                self._calls.update(tool_calls(message))
                outside = request_outside(self.partition) if is_users(message) else None
                if is_users(message):
                    talk.begin(text_of(message), outside)
                behind = talk.keep(said_in(message, self._calls) if outside is None else [], counts)
                spoken = message.role in (MessageRole.USER, MessageRole.TOOL, MessageRole.FUNCTION)
                unkept = outside is not None or (spoken and wordless(message.blocks))
                self._entries.append(Entry(copy_of(message), (*behind, UNKNOWN) if unkept else behind))

    def set(self, messages: list[ChatMessage]) -> None:
        """Make these messages the history. What was kept before stays, and nothing is kept twice."""
        with self.running() as talk:
            talk.begin("")
            self._entries = []
            self.put_messages(messages, Counter())

    def reset(self) -> None:
        """Begin the history anew, as session "s1#2". What was said stays in the long-term memory; `owner.forget(…)` removes for good."""
        with self.running() as talk:
            self._entries, self.session_id = [], talk.restart()

    def check(self, tool: str, arguments: Mapping[str, Any]) -> ActionDecision:
        """Return whether a call of a tool may be made in the running turn; what cannot be decided is refused (`Turns.check`)."""
        with self.running() as talk:
            gate = talk.gate(self._behind())
        return gate(tool, arguments)

    @contextmanager
    def running(self) -> Iterator[Conversation]:
        """Give the running conversation to one thread at a time, with what was said in it in earlier processes."""
        with self._lock:
            earlier = self._talk.load()
            self._entries[:0] = [Entry(ChatMessage(role=event.role, content=event.text), (event.id,)) for event in earlier]
            yield self._talk

    @property
    def partition(self) -> tuple[str, str, str]:
        """Whose memory it is, as `Scope.partition`."""
        return self.tenant_id or "", self.user_id or "", self.agent_id or ""

    @property
    def owner(self) -> ScopedMemory:
        """All of the owner's memory, with tierkeep's own verbs; StorageError when the store cannot be opened."""
        return self._open(None)[1]

    def as_tool_spec(self) -> TierkeepToolSpec:
        """Return the tools with which a model recalls, stores and forgets."""
        return TierkeepToolSpec(self)

    def as_retriever(self, similarity_top_k: int = 4) -> TierkeepRetriever:
        """Return a retriever over all of the owner's memory; StorageError when the store cannot be opened."""
        return TierkeepRetriever(self.owner, similarity_top_k)

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return what `from_dict` opens the same memory with: JSON values, no content.

        Raises:
            SettingsError: It was handed over as an object, or is in this process only.
        """
        if self.path in (None, _UNSAVED):
            raise SettingsError("this memory cannot be saved, because only this process can reach it: make it with from_defaults(path=…), "
                                "or make it again with from_defaults(memory=…) after loading and pass it to the run")
        return super().to_dict(**{"mode": "json", **kwargs})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a memory with other fields, such as another user: nothing of this one's conversation goes with it."""
        made = type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | dict(update or {}))
        made._memory = self._memory if made.path == self.path in (None, _UNSAVED) else None
        return made

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self  # one conversation, whoever holds it

    def close(self) -> None:
        """Close the store that `path` names; the next use opens it again. A memory that was handed over stays open."""
        with self._lock:
            if self.path is not None and self._memory is not None:
                self._memory.close()
                self._memory = None

    def _open(self, session: str | None) -> tuple[Turns, ScopedMemory]:
        with self._lock:
            if self._memory is None:
                if self.path is None:
                    raise SettingsError("there is no memory to open: use from_defaults(path=…) or from_defaults(memory=…)")
                self._memory = Memory.open(self.path)
            limits: dict[str, Any] = {"budget": self.budget, "deadline_s": self.deadline_s}
            turns = Turns(self._memory, keep=self.keep, origins=self.origins, tools=self.tools, **limits)
            return turns, turns.owner(None, session=session, user=self.user_id, tenant=self.tenant_id, agent=self.agent_id)

    def _reached(self, session: str) -> tuple[Turns, ScopedMemory] | None:
        try:
            return self._open(session)
        except StorageError as error:
            _LOG.warning("the memory cannot be opened: %s: %s", type(error).__name__, error)
            return None

    def _window(self, taken: int = 0) -> list[Entry]:
        entries = self._entries
        first = fitting([entry.tokens for entry in entries], [entry.users for entry in entries], self.token_limit - taken)
        return [entry for entry in entries[:first] if entry.message.role == MessageRole.SYSTEM] + entries[first:]

    def _behind(self) -> list[str]:
        return [id_ for entry in self._window() for id_ in entry.ids]
