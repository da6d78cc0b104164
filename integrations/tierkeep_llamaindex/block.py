"""A block for those who compose LlamaIndex's own `Memory`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from llama_index.core.async_utils import asyncio_run
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import BaseMemoryBlock
from llama_index.core.memory import Memory as LlamaMemory

from tierkeep import Evidence, Memory, Origin
from tierkeep.conversation import with_ids
from tierkeep.records import Message, Role
from tierkeep.scoped import ScopedMemory
from tierkeep.turns import Turns
from tierkeep_llamaindex.convert import is_users, said_in, text_of, tool_calls


class TierkeepMemoryBlock(BaseMemoryBlock[str]):
    """tierkeep as a block: `Memory.from_defaults(memory_blocks=[TierkeepMemoryBlock(memory=memory, user_id="ana")])`.

    LlamaIndex hands a block only what falls out of its queue, after some 21,000 tokens: call `flush` when a conversation ends, or nothing
    of an ordinary one is kept. `TierkeepMemory` keeps everything at once.

    Attributes:
        memory: The open memory.
        user_id: Whose memory; with `tenant_id` and `agent_id`, of which at least one is needed.
        budget: Tokens of what is recalled; tierkeep's setting otherwise. So is `deadline_s`, the seconds that it may take.
        keep: Roles whose messages are kept.
        origins: Where results of tools come from, by name; untrusted tools otherwise.
    """

    name: str = "tierkeep"
    memory: Memory = Field(exclude=True)
    user_id: str | None = None
    tenant_id: str | None = None
    agent_id: str | None = None
    budget: int | None = None
    deadline_s: float | None = None
    keep: tuple[Role, ...] = ("user", "assistant", "tool")
    origins: dict[str, Origin] = Field(default_factory=dict)

    _recalled: Evidence = PrivateAttr(default=Evidence(question=""))

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        turns, owner = self._at(block_kwargs.get("session_id"))
        question = next((text_of(message) for message in reversed(messages or []) if is_users(message)), "")
        seen = [str(one.id) for one in _said(messages or [], owner)]
        self._recalled = await turns.arecall(owner, question, seen=seen)
        return self._recalled.text

    async def _aput(self, messages: list[ChatMessage]) -> None:
        for session in dict.fromkeys(message.additional_kwargs.get("session_id") for message in messages):
            turns, owner = self._at(session)
            await turns.akeep(owner, _said([one for one in messages if one.additional_kwargs.get("session_id") == session], owner))

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Return the best of what was recalled in so many tokens less; None when there is nothing left."""
        recalled, left = self._recalled, self._recalled.tokens - tokens_to_truncate
        if content != recalled.text or left < 1:
            return None
        turns, owner = self._at(None, left)
        return (await turns.arecall(owner, recalled.question)).text or None

    async def aflush(self, memory: LlamaMemory) -> None:
        """Keep what the queue of a LlamaIndex memory still holds; what was kept before is not kept twice."""
        await self.aput(await memory.aget_all(), session_id=memory.session_id)

    def flush(self, memory: LlamaMemory) -> None:
        """Do the same as `aflush`, from sync code."""
        asyncio_run(self.aflush(memory))

    def _at(self, session: str | None, budget: int | None = None) -> tuple[Turns, ScopedMemory]:
        turns = Turns(self.memory, budget=budget or self.budget, deadline_s=self.deadline_s, keep=self.keep, origins=self.origins)
        return turns, turns.owner(None, session=session, user=self.user_id, tenant=self.tenant_id, agent=self.agent_id)


def _said(messages: list[ChatMessage], owner: ScopedMemory) -> list[Message]:
    calls: dict[str, str] = {}
    said: list[Message] = []
    for message in messages:
        calls.update(tool_calls(message))
        said += said_in(message, calls)
    return with_ids(said, owner.scope.session or "", Counter())
