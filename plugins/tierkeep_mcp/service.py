"""What a process that other applications talk to can do: one typed request, one JSON reply. The MCP server and the worker stand on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierkeep import Memory, Message, Origin
from tierkeep.errors import InputError
from tierkeep.records import Role, Source
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import Toolbox
from tierkeep.turns import Turns

__all__ = ["Service"]

#: Who wrote a message, in the words of applications: what a channel knows.
_ORIGINS: Mapping[str, Source] = {
    "user": Source.USER_DIRECT, "agent": Source.AGENT_INFERRED, "tool": Source.TOOL_UNTRUSTED, "trusted_tool": Source.TOOL_TRUSTED,
    "web": Source.WEB, "document": Source.DOCUMENT, "other_agent": Source.PEER_AGENT, "participant": Source.UNKNOWN,
}  # fmt: skip
#: Memories that one `list` gives.
_LISTED = 100


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Owner(_Params):
    """Whose memory a request is about."""

    tenant: str = ""
    user: str = ""
    agent: str = ""
    session: str | None = None


class Said(_Params):
    """One message of a turn.

    Attributes:
        text: What was said.
        role: user, assistant or tool.
        id: The application's id; the same id is not kept twice.
        speaker: Display name; of a tool its name.
        at: When; now otherwise.
        origin: Who wrote it: user, agent, tool, trusted_tool, web, document, other_agent, or participant (somebody else in the chat); by
            role otherwise.
        uri: Where a page or document was read.
    """

    text: str
    role: Role = "user"
    id: str | None = None
    speaker: str = ""
    at: datetime | None = None
    origin: Literal["user", "agent", "tool", "trusted_tool", "web", "document", "other_agent", "participant"] | None = None
    uri: str = ""

    def message(self) -> Message:
        """Return it as the memory takes it."""
        origin = None
        if self.origin is not None:
            outside = self.origin not in ("user", "agent")
            domain = f"{self.origin}:{self.speaker}" if outside and self.speaker else ""
            origin = Origin(source=_ORIGINS[self.origin], principal=self.speaker, channel="plugin", uri=self.uri, trust_domain=domain)
        return Message(text=self.text, role=self.role, id=self.id, speaker=self.speaker, at=self.at, origin=origin)


class _OfOwner(_Params):
    owner: Owner


class RecallTurn(_OfOwner):
    """Evidence for the message that begins a turn; `seen` are ids that the prompt holds, `key` names the turn."""

    text: str
    seen: tuple[str, ...] = ()
    key: str | None = None


class KeepTurn(_OfOwner):
    """The messages of a turn that is over; `rests_on` are ids of what its model was shown."""

    messages: tuple[Said, ...]
    rests_on: tuple[str, ...] = ()


class Find(_OfOwner):
    """A search as the recall tool makes it."""

    query: str


class Store(_OfOwner):
    """A sentence that a model wants kept; `derived_from` are ids of what it was worked out from."""

    text: str
    derived_from: tuple[str, ...] = ()


class Forget(_OfOwner):
    """Memories to remove, by their ids."""

    ids: tuple[str, ...]


class Listing(_OfOwner):
    """The newest memories, newest first; `session` narrows to one conversation."""

    session: str | None = None
    limit: int = Field(default=20, ge=1, le=_LISTED)


class Explain(_OfOwner):
    """Why the memory says something: a question, or the id of one memory."""

    question: str | None = None
    id: str | None = None


class Service:
    """The requests of one open memory. Safe to call from several threads.

    Args:
        memory: The memory.
        turns: How turns are recalled and kept; the defaults otherwise.
    """

    def __init__(self, memory: Memory, turns: Turns | None = None) -> None:
        self._memory = memory
        self._turns = Turns(memory) if turns is None else turns
        self._verbs: dict[str, tuple[type[_Params], Callable[[Any], dict[str, Any]]]] = {
            "turn.recall": (RecallTurn, self._recall_turn), "turn.keep": (KeepTurn, self._keep_turn),
            "recall": (Find, self._recall), "store": (Store, self._store), "forget": (Forget, self._forget),
            "list": (Listing, self._list), "explain": (Explain, self._explain), "profile": (_OfOwner, self._profile),
            "describe": (_Params, self._describe),
        }  # fmt: skip

    @property
    def verbs(self) -> tuple[str, ...]:
        """The requests that `handle` knows."""
        return tuple(self._verbs)

    def handle(self, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to a request.

        Args:
            verb: One of `verbs`.
            params: Its parameters, as JSON gives them.

        Raises:
            InputError: There is no such request, or its parameters are not what it takes.
            TierkeepError: What the memory raises, as documented at `ScopedMemory`.
        """
        if verb not in self._verbs:
            raise InputError(f"there is no request {verb[:40]!r}: one of {', '.join(self._verbs)}", field="method")
        kind, work = self._verbs[verb]
        try:
            read = kind.model_validate(params)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "params"
            # No cause: a validation error carries what was handed over, and would put it into every log of the traceback.
            raise InputError(f"{verb}: {field}: {first['msg']}", field=field) from None
        return work(read)

    def _owner(self, of: _OfOwner) -> ScopedMemory:
        return self._memory.scope(**of.owner.model_dump())

    def _recall_turn(self, of: RecallTurn) -> dict[str, Any]:
        evidence = self._turns.recall(self._owner(of), of.text, seen=of.seen, key=of.key)
        ids = dict.fromkeys(source for item in evidence.items for source in item.sources)
        return {"text": evidence.text, "tokens": evidence.tokens, "ids": list(ids), "partial": evidence.partial, "note": evidence.note}

    def _keep_turn(self, of: KeepTurn) -> dict[str, Any]:
        kept = self._turns.keep(self._owner(of), [said.message() for said in of.messages], rests_on=of.rests_on)
        return {"ids": list(kept.ids), "failed": kept.failed}

    def _recall(self, of: Find) -> dict[str, Any]:
        return Toolbox(self._owner(of)).recall(of.query)

    def _store(self, of: Store) -> dict[str, Any]:
        return Toolbox(self._owner(of)).store(of.text, derived_from=of.derived_from)

    def _forget(self, of: Forget) -> dict[str, Any]:
        return Toolbox(self._owner(of)).forget(of.ids)

    def _list(self, of: Listing) -> dict[str, Any]:
        return Toolbox(self._owner(of)).list(limit=of.limit, session=of.session)

    def _profile(self, of: _OfOwner) -> dict[str, Any]:
        records = self._owner(of).records(kind="profile")
        return {"profile": [{"id": record.id, "text": record.text, "since": record.valid_from or "", "ids": list(record.sources)}
                            for record in records]}

    def _explain(self, of: Explain) -> dict[str, Any]:
        owner = self._owner(of)
        if (of.question is None) == (of.id is None):
            raise InputError("explain takes a question or an id, one of the two", field="question")
        if of.id is not None:
            return {"memory": Toolbox(owner).memory(of.id)}
        return Toolbox(owner).explain(str(of.question))

    def _describe(self, of: _Params) -> dict[str, Any]:
        stats = self._memory.stats()
        return {**self._memory.describe(), "events": stats.get("events"), "schema": stats.get("schema_version")}
