"""The frozen values that travel between stages (design: "Words").

Nothing here reads a clock, opens a file or imports another tierkeep module except `errors`. Every model refuses
unknown keys, so that a misspelt field is an error and never a silent loss.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Base of every record: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of_sound(cls, fields: dict[str, Any]) -> Self:
        """Return an instance of values that are known to be sound; nothing is checked, and the dict is kept as it is.

        For what is made by the hundred in one question: a third of the time of checking it, and `model_construct` takes longer than both.

        Args:
            fields: Every field by its name, in the order of the class, each of exactly the type that checking would give it.
        """
        made = cls.__new__(cls)
        object.__setattr__(made, "__dict__", fields)
        object.__setattr__(made, "__pydantic_fields_set__", set(fields))
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made


# --------------------------------------------------------------------------------------------- who, and how far


class Scope(Frozen):
    """Whose memory it is: the isolation key of every read and write.

    `tenant`, `user` and `agent` together name one partition, matched exactly: a memory written for
    `Scope(user="ana")` is not seen by `Scope(user="ana", agent="coder")`, nor the other way round. `session` narrows reads
    to one conversation and names the conversation of a write; it is not part of the partition.

    Attributes:
        tenant: Organisation or installation; "" when there is only one.
        user: The person the memory is about.
        agent: The agent that owns the memory, when agents must not share.
        session: One conversation, or None for all of them.
    """

    tenant: str = ""
    user: str = ""
    agent: str = ""
    session: str | None = None

    @property
    def partition(self) -> tuple[str, str, str]:
        """The exact isolation key: (tenant, user, agent)."""
        return (self.tenant, self.user, self.agent)

    def __str__(self) -> str:
        named = [f"{k}={v}" for k, v in (("tenant", self.tenant), ("user", self.user), ("agent", self.agent)) if v]
        return ", ".join(named + ([f"session={self.session}"] if self.session is not None else []))


class Source(StrEnum):
    """The class of a memory's origin (guard spec, section 5.1)."""

    SYSTEM_POLICY = "system_policy"
    OPERATOR = "operator"
    USER_DIRECT = "user_direct"
    USER_CONFIRMED = "user_confirmed"
    AGENT_INFERRED = "agent_inferred"
    TOOL_TRUSTED = "tool_trusted"
    TOOL_UNTRUSTED = "tool_untrusted"
    WEB = "web"
    DOCUMENT = "document"
    PEER_AGENT = "peer_agent"
    IMPORTED = "imported"
    UNKNOWN = "unknown"


#: Origins that anybody could have written.
FROM_OUTSIDE = frozenset({Source.TOOL_UNTRUSTED, Source.WEB, Source.DOCUMENT, Source.PEER_AGENT, Source.UNKNOWN})
#: Origins that speak for the user themselves.
FROM_USER = frozenset({Source.USER_DIRECT, Source.USER_CONFIRMED, Source.OPERATOR})
#: Channel of a memory file of another agent: whoever imports it chose the file, and anybody may have told that agent what to write.
MEMORY_FILE = "memory_file"


class Authority(IntEnum):
    """What a memory may cause (guard spec, sections 5.1 and 6). Derived memories get the minimum of their sources."""

    QUARANTINED = 0  #: kept for inspection, never recalled
    DATA = 1  #: may be quoted as evidence
    ADVISE = 2  #: may shape an answer: profile, preferences
    ACT = 3  #: may stand behind an action with side effects


class Origin(Frozen):
    """Who said it and how it came in. Bound at write; nothing later raises it.

    Attributes:
        source: The class of the origin; decides the authority ceiling.
        principal: Who within that class: a user id, a tool's name, a peer's name.
        channel: How it came in: "api", "import", "memory_file", "tool", "compaction".
        uri: Where it was read, for web pages and documents.
        trust_domain: Origins that can be compromised together share one; corroboration counts domains, not voices.
    """

    source: Source
    principal: str = ""
    channel: str = "api"
    uri: str = ""
    trust_domain: str = ""

    @classmethod
    def user(cls, principal: str = "") -> Origin:
        """The user said it, in this application's own conversation."""
        return cls(source=Source.USER_DIRECT, principal=principal)

    @classmethod
    def agent(cls, principal: str = "") -> Origin:
        """The agent (assistant) said or inferred it."""
        return cls(source=Source.AGENT_INFERRED, principal=principal)

    @classmethod
    def tool(cls, name: str = "", *, trusted: bool = False) -> Origin:
        """A tool returned it; untrusted unless the application vouches for that tool."""
        source = Source.TOOL_TRUSTED if trusted else Source.TOOL_UNTRUSTED
        return cls(source=source, principal=name, channel="tool", trust_domain=f"tool:{name}" if name else "")

    @classmethod
    def web(cls, uri: str = "") -> Origin:
        """It was read on a web page."""
        return cls(source=Source.WEB, uri=uri, channel="tool")

    @classmethod
    def document(cls, uri: str = "") -> Origin:
        """It was read in a document."""
        return cls(source=Source.DOCUMENT, uri=uri)

    @classmethod
    def imported(cls, uri: str = "") -> Origin:
        """It came from a file whose author tierkeep cannot know."""
        return cls(source=Source.IMPORTED, uri=uri, channel="import")

    @classmethod
    def operator(cls, principal: str = "") -> Origin:
        """The people who run the application said it."""
        return cls(source=Source.OPERATOR, principal=principal)


# ------------------------------------------------------------------------------------------------ what comes in

Role = Literal["user", "assistant", "system", "tool"]


class Message(Frozen):
    """One thing to remember, as the application has it.

    Attributes:
        text: What was said. May be empty only when there are `tool_calls`.
        role: Who plays which part in the conversation; decides the default origin.
        speaker: Display name; "" shows the role.
        at: When it was said: aware datetime, or a date when only the day is known. None means now.
        id: The application's own id of the message; a second message with the same id is not stored twice.
        origin: Who it comes from; None derives it from `role` (user → user, assistant → agent, tool → untrusted tool,
            system → unknown, because a prompt is not a memory anybody vouches for).
        tool_calls: Calls the assistant made: `{"name": str, "arguments": str | dict}` each.
        meta: The application's own JSON values, kept and exported as they are.
        derived_from: Ids of the events that this one summarises, repeats or was computed from. Its authority is then at most the least
            of theirs (guard spec, section 6: propagation).
    """

    text: str = ""
    role: Role = "user"
    speaker: str = ""
    at: datetime | date | None = None
    id: str | None = None
    origin: Origin | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] = Field(default_factory=dict)
    derived_from: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ what is kept

EventKind = Literal["message", "tool_call", "tool_result", "item"]
#: Kind of the events and records behind `tierkeep.items`.
ITEM = "item"
#: Key of `meta` under which an event keeps what it was derived from.
PARENTS = "tierkeep.derived_from"


class EventDraft(Frozen):
    """An event before the ledger has given it a place. `at` is ISO 8601: a day, or a time with its offset."""

    id: str | None = None
    session: str
    kind: EventKind = "message"
    role: Role
    speaker: str
    text: str
    at: str
    ts: float
    origin: Origin
    authority: Authority
    meta: Mapping[str, Any] = Field(default_factory=dict)


class Event(Frozen):
    """An immutable thing that happened: a message, a tool call, a tool result.

    Attributes:
        id: Stable id, unique in its scope.
        seq: Place in the ledger; grows with every append, over all scopes.
        scope: Owner; its `session` is the event's conversation.
        position: 0-based place within its session.
        kind: message, tool_call, tool_result, or item: a value that an application keeps under a key (`tierkeep.items`).
        role: user, assistant, system or tool.
        speaker: Display name.
        text: What was said, as it was said.
        at: ISO 8601, as precise as it is known: `2026-05-02` or `2026-05-02T10:00:00+01:00`.
        ts: The same moment in seconds since 1970 (midnight UTC for a bare day), for sorting.
        origin: Who it comes from.
        authority: What it may cause: the ceiling of its origin, or less.
        meta: The application's own values.
    """

    id: str
    seq: int
    scope: Scope
    position: int
    kind: EventKind
    role: Role
    speaker: str
    text: str
    at: str
    ts: float
    origin: Origin
    authority: Authority
    meta: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def session(self) -> str:
        """The conversation this event belongs to."""
        return self.scope.session or ""

    @property
    def day(self) -> date:
        """The calendar day on which it was said, in the speaker's own offset."""
        return date.fromisoformat(self.at[:10])

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the events that this one summarises, repeats or was computed from."""
        return tuple(self.meta.get(PARENTS, ()))


Status = Literal["active", "superseded", "retracted", "quarantined"]


class Record(Frozen):
    """Something derived from events: a profile item, a fact, a summary, a rule, a lesson.

    Attributes:
        id: Stable id, unique in its scope.
        scope: Owner.
        kind: profile, fact, segment, summary, … (open set; each deriver documents its own).
        key: What is indexed and compared: the slot of a profile item, the title of a summary. "" means `text`.
        text: What is shown.
        attrs: Typed details of this kind, JSON values.
        sources: Ids of the events (or records) it was derived from; never empty.
        roots: Ids of every event behind it, through all derivations.
        links: (relation, target id, weight).
        status: active, superseded, retracted or quarantined.
        observed_at: ISO time of the newest source.
        valid_from: ISO time from which it holds, as precise as it is known: `2026`, `2026-05`, `2026-05-02` or a full time.
        valid_to: ISO time at which it stopped to hold, in the same way; None while it holds.
        origin: Origin of the source with the least authority.
        authority: Minimum over the sources.
        version: Grows with each change; the older versions are in the history.
        stats: Counters of use, for learning scorers.
    """

    id: str
    scope: Scope
    kind: str
    text: str
    key: str = ""
    attrs: Mapping[str, Any] = Field(default_factory=dict)
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    roots: tuple[str, ...] = ()
    links: tuple[tuple[str, str, float], ...] = ()
    status: Status = "active"
    observed_at: str = ""
    valid_from: str | None = None
    valid_to: str | None = None
    origin: Origin
    authority: Authority
    version: int = 1
    stats: Mapping[str, float] = Field(default_factory=dict)


OpName = Literal["add", "update", "supersede", "retract", "delete", "link", "stat"]


class Op(Frozen):
    """A proposed change to records. Stages propose; only the ledger applies, all of a batch or none.

    Attributes:
        op: `add` needs `record`; `update` and `stat` need `target` and `patch`; `supersede` needs `target` and `record`;
            `retract` and `delete` need `target`; `link` needs `target`, `relation` and `patch["to"]`.
        record: The new record.
        target: Id of the record that changes.
        patch: New values by field name.
        relation: duplicate, extends, nuance, contradicts or independent.
        why: One line for the history.
        by: Which stage proposed it.
    """

    op: OpName
    record: Record | None = None
    target: str | None = None
    patch: Mapping[str, Any] = Field(default_factory=dict)
    relation: str = ""
    why: str = ""
    by: str = ""


class Revision(Frozen):
    """One step in the life of a record: what was done to it, and how it stood before.

    Attributes:
        tx: Number of the transaction.
        at: ISO time at which it was applied.
        op: What was done.
        before: The record as it stood; None for its first appearance, or when the text was forgotten since.
        after: The record as it then stood; None when it was deleted, or forgotten since.
        why: The proposing stage's reason.
        by: Which stage proposed it.
    """

    tx: int
    at: str
    op: str
    before: Record | None = None
    after: Record | None = None
    why: str = ""
    by: str = ""


class TermRow(NamedTuple):
    """What the in-memory lexical index needs of one event; kept beside the event in the same transaction.

    Attributes:
        seq: Place in the ledger, ascending.
        session: Conversation.
        speaker: Display name.
        ts: Seconds since 1970.
        terms: Hashed terms in order, shape (n,), dtype uint32 (see `tierkeep.terms`).
        asks: Whether the text ends in a question.
        length: Characters of the text.
        own: Whether it is the user's own word, rather than anybody else's.
    """

    seq: int
    session: str
    speaker: str
    ts: float
    terms: NDArray[np.uint32]
    asks: bool
    length: int
    own: bool = False


class TermPage(NamedTuple):
    """Several events' `TermRow`, n of them, as columns: so that an index of a hundred thousand is made without looking at each.

    Attributes:
        seq: Places in the ledger, ascending, shape (n,).
        session: Each event's place in `sessions`, shape (n,).
        sessions: Names of conversations, in the order in which they first occur here.
        speaker: Each event's place in `speakers`, shape (n,).
        speakers: Display names, in the order in which they first occur here.
        ts: Seconds since 1970, shape (n,).
        terms: The hashed terms of all events, one after the other, shape (sum of `size`,).
        size: How many terms each event has, shape (n,).
        asks: Whether each text ends in a question, shape (n,).
        length: Characters of each text, shape (n,).
        own: Whether each is the user's own word, shape (n,).
    """

    seq: NDArray[np.int64]
    session: NDArray[np.int32]
    sessions: Sequence[str]
    speaker: NDArray[np.int32]
    speakers: Sequence[str]
    ts: NDArray[np.float64]
    terms: NDArray[np.uint32]
    size: NDArray[np.int32]
    asks: NDArray[np.bool_]
    length: NDArray[np.int32]
    own: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[TermRow]) -> TermPage:
        """Return the columns of some rows."""
        n = len(rows)
        session, sessions = coded([row.session for row in rows])
        speaker, speakers = coded([row.speaker for row in rows])
        return cls(
            np.fromiter((row.seq for row in rows), np.int64, n), session, sessions, speaker, speakers,
            np.fromiter((row.ts for row in rows), np.float64, n),
            np.concatenate([np.zeros(0, np.uint32), *(row.terms for row in rows)]),
            np.fromiter((len(row.terms) for row in rows), np.int32, n), np.fromiter((row.asks for row in rows), np.bool_, n),
            np.fromiter((row.length for row in rows), np.int32, n), np.fromiter((row.own for row in rows), np.bool_, n),
        )  # fmt: skip

    def rows(self) -> Iterator[TermRow]:
        """Yield the rows one by one."""
        ends = np.cumsum(self.size)
        columns = (self.seq, self.session, self.speaker, self.ts, ends - self.size, ends, self.asks, self.length, self.own)
        for seq, session, speaker, ts, start, end, asks, length, own in zip(*(column.tolist() for column in columns), strict=True):
            yield TermRow(seq, self.sessions[session], self.speakers[speaker], ts, self.terms[start:end], asks, length, own)


_K = TypeVar("_K", bound=Hashable)


def coded(values: Sequence[_K]) -> tuple[NDArray[np.int32], tuple[_K, ...]]:
    """Return each value's place among the distinct ones, shape (values,), and those, in the order of their first occurrence."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return np.fromiter(map(places.__getitem__, values), np.int32, len(values)), tuple(places)


# ---------------------------------------------------------------------------------------------- what is asked

Intent = Literal["profile", "targeted", "summary", "state", "temporal", "conflict", "constraint"]


class Query(Frozen):
    """A question to the memory.

    Attributes:
        text: The question, as asked.
        scope: Whose memory; `scope.session` restricts it to one conversation.
        now: ISO time that "today" means.
        budget: Tokens that the evidence may take in a prompt; None leaves it to the plan.
        seen: Ids of events that the prompt holds already: neither they nor what rests on them alone are shown once more.
    """

    text: str
    scope: Scope
    now: str
    budget: int | None = None
    seen: frozenset[str] = frozenset()


class Plan(Frozen):
    """One attempt at answering: which tier, how wide, how much.

    Attributes:
        tier: Name of the tier that gathers.
        intent: What kind of question it is (MemFlow's seven intents).
        search_text: What to search for; differs from the question after a rewrite.
        k: Hits to gather.
        budget: Tokens for the evidence.
        attempt: 0 for the first plan.
        reason: Why this plan, in a few words.
        source: Who decided: rules, model, keywords or policy.
    """

    tier: str
    intent: Intent
    search_text: str
    k: int
    budget: int
    attempt: int = 0
    reason: str = ""
    source: Literal["rules", "model", "keywords", "policy"] = "rules"


class Hit(NamedTuple):
    """A candidate found by a tier: an event or a record, its score, and "" or PROFILE, CURRENT, EARLIER."""

    item: Event | Record
    score: float
    flag: str = ""


# ------------------------------------------------------------------------------------------------ what comes out


class SkillCall(Frozen):
    """One use of a model skill: who answered, and what it cost.

    Attributes:
        skill: classify, extract, consolidate, select, rank, scan, answer or judge.
        answered_by: "model", "model, second try", or "fallback" when the deterministic rule answered instead.
        tries: Replies that came, fitting or not.
        tokens_in: Tokens sent, over both tries.
        tokens_out: Tokens received, over both tries.
        ms: Wall-clock milliseconds.
        note: Why the fallback answered, "" otherwise.
        stats: What the model said of its work on its last reply (`ChatReply.stats`); of most models nothing.
    """

    skill: str
    answered_by: Literal["model", "model, second try", "fallback"] = "model"
    tries: int = 1
    tokens_in: int = 0
    tokens_out: int = 0
    ms: float = 0.0
    note: str = ""
    stats: Mapping[str, int | float | str] = Field(default_factory=dict)


class SkillUsage(Frozen):
    """What one model skill cost: calls made, tokens sent and received, wall-clock milliseconds summed over its calls."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    ms: float = 0.0


class Usage(Frozen):
    """What an answer, or a derivation, cost.

    Attributes:
        calls: Model calls by skill.
        tokens_in: Tokens sent to models.
        tokens_out: Tokens received from models.
        ms: Wall-clock milliseconds.
        skills: The same by skill, with tokens.
    """

    calls: Mapping[str, int] = Field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    ms: float = 0.0
    skills: Mapping[str, SkillUsage] = Field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        """Return the sum of two."""
        skills = dict(self.skills)
        for name, own in other.skills.items():
            before = skills.get(name, SkillUsage())
            skills[name] = SkillUsage(
                calls=before.calls + own.calls, tokens_in=before.tokens_in + own.tokens_in,
                tokens_out=before.tokens_out + own.tokens_out, ms=round(before.ms + own.ms, 3),
            )
        return Usage(
            calls={name: one.calls for name, one in skills.items() if one.calls},
            tokens_in=self.tokens_in + other.tokens_in, tokens_out=self.tokens_out + other.tokens_out,
            ms=round(self.ms + other.ms, 3), skills=skills,
        )

    def cost(self, *, tokens_in: float, tokens_out: float) -> float:
        """Return the price, in the currency of the two prices.

        Args:
            tokens_in: Price of a million tokens sent.
            tokens_out: Price of a million tokens received.
        """
        return (self.tokens_in * tokens_in + self.tokens_out * tokens_out) / 1_000_000

    @classmethod
    def of(cls, calls: Iterable[SkillCall], ms: float = 0.0) -> Usage:
        """Return the sum of some calls, and the time that went by."""
        total = cls()
        for call in calls:
            own = SkillUsage(calls=call.tries, tokens_in=call.tokens_in, tokens_out=call.tokens_out, ms=call.ms)
            total += cls(tokens_in=call.tokens_in, tokens_out=call.tokens_out, skills={call.skill: own} if call.tries else {})
        return total.model_copy(update={"ms": round(ms, 3)})


class SlotValue(Frozen):
    """What a profile item says, in its parts: for working out what changed and which rules hold.

    Attributes:
        subject: Who it is about, as shown.
        slot: Name of the slot: "home", "likes", …
        value: The value.
        kind: identity, preference, constraint, instruction or relation.
        single: Whether the slot holds one value at a time.
        since: ISO time from which it holds, as precise as it is known; "" when it is not.
        until: ISO time at which it stopped to hold, in the same way; "" while it holds.
    """

    subject: str = ""
    slot: str
    value: str
    kind: str = ""
    single: bool = False
    since: str = ""
    until: str = ""


class EvidenceItem(Frozen):
    """One cited memory inside the evidence.

    Attributes:
        id: Id of the event or record.
        sources: Ids of the events behind it (the event itself, for an event).
        session: Conversation, "" for records that span several.
        text: What is shown.
        at: ISO time.
        speaker: Display name, "" for records.
        origin: Class of the origin.
        authority: What it may cause.
        score: Relevance, comparable within one evidence only.
        flag: "" or PROFILE, CURRENT, EARLIER, or ENDED (over, and nothing known came after it).
        dates: Times the text speaks of, resolved against its own day: "yesterday = 7 May 2023".
        excerpt: True when only a part of the memory fitted into the budget.
        order: Place in the conversation, for reading order among memories of one day.
        kind: Kind of the event or record: message, profile, fact, …
        held: The parts of a profile item; None for anything else.
    """

    id: str
    sources: tuple[str, ...]
    session: str = ""
    text: str
    at: str = ""
    speaker: str = ""
    origin: Source
    authority: Authority
    score: float = 0.0
    flag: str = ""
    dates: tuple[str, ...] = ()
    excerpt: bool = False
    order: int = 0
    kind: str = ""
    held: SlotValue | None = None


class Evidence(Frozen):
    """What the memory offers for a question: packed, budgeted, cited, ready for a prompt.

    Attributes:
        question: What was asked.
        items: The cited memories in reading order.
        computed: Lines that tierkeep worked out (counts, changes), each derived from cited items only.
        computed_from: Ids of the items behind each of these lines, in the same order.
        text: The rendered block for a prompt; "" when nothing was worth its tokens.
        tokens: Tokens of `text`, by `tokenizer`.
        budget: The ceiling; `tokens` never passes it.
        tokenizer: Name of the counter, "estimate" included when it is one.
        tier: The tier that gathered it.
        confidence: 0 to 1: how peaked the retrieval scores are (tiers spec 5.3.7); not a probability of being right.
        partial: True when a deadline cut the work short.
        note: Why it is empty or partial, "" otherwise.
        dropped: Ids of hits that did not fit, best first.
        usage: What finding it cost, in model calls; `ask` counts it into `Answer.usage`.
    """

    question: str
    items: tuple[EvidenceItem, ...] = ()
    computed: tuple[str, ...] = ()
    computed_from: tuple[tuple[str, ...], ...] = ()
    text: str = ""
    tokens: int = 0
    budget: int = 0
    tokenizer: str = ""
    tier: str = ""
    confidence: float = 0.0
    partial: bool = False
    note: str = ""
    dropped: tuple[str, ...] = ()
    usage: Usage = Field(default_factory=Usage)

    def __bool__(self) -> bool:
        return bool(self.text)

    def __str__(self) -> str:
        return self.text


class Draft(Frozen):
    """An answer before it is checked.

    Attributes:
        text: The answer.
        short: The shortest span that answers, when one was found.
        used: Ids of the evidence items it rests on.
        abstained: True when it says that the memory does not have it.
        source: extractive or model.
        agreed: Whether several drafts said the same (D-Mem's voting); None when there was one draft only.
    """

    text: str
    short: str = ""
    used: tuple[str, ...] = ()
    abstained: bool = False
    source: Literal["extractive", "model"] = "extractive"
    agreed: bool | None = None


Axis = Literal["pass", "fail", "unknown"]


class Verdict(Frozen):
    """What the validator found (D-Mem's three axes; MemFlow's support check).

    Attributes:
        accept: Whether the answer may be given as it is.
        relevance: Does the answer address the question.
        faithfulness: Is every date, number and name of the answer in its evidence.
        completeness: Does the evidence look sufficient.
        support: 0 to 1: share of the answer's content that its evidence covers.
        reasons: What failed, in a few words each.
        source: rules or model.
        rewrite: What to search for instead, when the check says so (HyMem's reflection); "" otherwise.
    """

    accept: bool
    relevance: Axis = "unknown"
    faithfulness: Axis = "unknown"
    completeness: Axis = "unknown"
    support: float = 0.0
    reasons: tuple[str, ...] = ()
    source: Literal["rules", "model", "none"] = "rules"
    rewrite: str = ""


class Step(Frozen):
    """One attempt inside an answer: plan, evidence, draft, verdict, the model skills it used and their cost."""

    plan: Plan
    evidence: Evidence
    draft: Draft | None = None
    verdict: Verdict | None = None
    skills: tuple[SkillCall, ...] = ()
    usage: Usage = Field(default_factory=Usage)


class Answer(Frozen):
    """The answer with everything that stands behind it.

    Attributes:
        text: What to tell the user.
        short: The shortest span that answers, "" when none was found.
        abstained: True when the memory has no evidence.
        evidence: What the answer rests on.
        verdict: The validator's finding on this answer.
        tiers: Names of the tiers tried, in order.
        usage: Cost over all attempts.
        trace: Every attempt, in order.
        partial: True when a deadline cut the work short.
    """

    text: str
    short: str = ""
    abstained: bool = False
    evidence: Evidence
    verdict: Verdict
    tiers: tuple[str, ...] = ()
    usage: Usage = Field(default_factory=Usage)
    trace: tuple[Step, ...] = ()
    partial: bool = False

    def __str__(self) -> str:
        return self.text


class Skipped(Frozen):
    """One input that was not stored, and why.

    Attributes:
        index: 0-based place in what was handed over.
        reason: duplicate, empty, or a guard's reason code.
        id: Id of the event that is kept instead, for duplicates.
    """

    index: int
    reason: str
    id: str = ""


class Receipt(Frozen):
    """What `add` did. When it is returned, everything it names is on disk.

    Attributes:
        ids: Ids of the stored events, in input order.
        session: The conversation of the first of them.
        sessions: Every conversation they went to, in order: without a session of their own, messages of two days go to two.
        records: Ids of records that were added or changed because of them.
        usage: What deriving cost in model calls, as far as it was done within the call.
        skipped: Inputs that were not stored, each with its reason.
        notes: Things worth knowing, such as a time zone that was assumed.
    """

    ids: tuple[str, ...] = ()
    session: str = ""
    sessions: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    usage: Usage = Field(default_factory=Usage)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------ what the guard says

#: What a reason in the guard's log looks like, and how many an entry may have: codes, so that no content gets in.
REASON_CODE = r"[a-z0-9][a-z0-9_.:/=+-]{0,63}"
MOST_REASONS = 64
GuardVerb = Literal["quarantine", "reject", "release", "allow", "deny", "confirm", "elevate", "flag", "drop"]


class GuardEntry(Frozen):
    """One line of the guard's log: append-only, part of the hash chain. Ids, hashes and reason codes; never content.

    Attributes:
        n: Its number in the store's chain.
        at: ISO time.
        verb: What was decided.
        subject: What it is about: the id of an event or record, or the SHA-256 of a text or an action that was not stored.
        reasons: Reason codes.
        by: Who decided: a check's name, "user", "operator".
    """

    n: int = 0
    at: str = ""
    verb: GuardVerb
    subject: str
    reasons: tuple[str, ...] = ()
    by: str = ""


class Confirmation(Frozen):
    """A question to the user whose answer can be used once (guard spec, section 6: elevation).

    Attributes:
        token: What is handed back with the user's yes. Bound to `subject` and to the owner. Show it to no model.
        subject: SHA-256 of what is confirmed: a memory's content, or the canonical JSON of {tool, args}.
        text: What to show the user.
        expires_at: ISO time after which the token is worth nothing.
    """

    token: str
    subject: str
    text: str
    expires_at: str


class ArgumentFinding(Frozen):
    """Where the value of one argument of a tool call comes from.

    Attributes:
        argument: Its path, such as "to" or "items[0].account".
        allowed: Whether that origin may stand behind an action.
        reason: in_request, vouched, corroborated or context_trusted; forbidden, untrusted_support, unclear_support, too_many_holders,
            no_source or context_untrusted.
        support: Ids of the events in which the value stands.
    """

    argument: str
    allowed: bool
    reason: str
    support: tuple[str, ...] = ()


class ActionDecision(Frozen):
    """What the gate says of a tool call.

    Attributes:
        allowed: Whether the call may be made.
        tool: The tool's name.
        subject: SHA-256 of the canonical JSON of {tool, args}; a confirmation is bound to it.
        reasons: Reason codes: read_only, own_tool, confirmed, lesson, unavailable, unusable, or those of the findings.
        findings: One for each argument value that was looked at.
        lessons: Ids of the lessons that speak of an action like this one.
    """

    allowed: bool
    tool: str
    subject: str
    reasons: tuple[str, ...] = ()
    findings: tuple[ArgumentFinding, ...] = ()
    lessons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


class Risk(Frozen):
    """How a text stands to the rule base (SafeHarbor; guard spec 2.11). A signal: it may quarantine, and never lowers a doubt.

    Attributes:
        s_harm: Harmfulness, 0 to 1.
        s_benign: Similarity to the nearest benign example, -1 to 1.
        branch: fast (nothing to say), judge (rules apply) or block.
        rules: Ids of the rule pairs that apply, best first.
        answered_by: "model" when a chat model judged, "threshold" when the numbers did.
    """

    s_harm: float
    s_benign: float
    branch: Literal["fast", "judge", "block"]
    rules: tuple[str, ...] = ()
    answered_by: str = "threshold"


class MaintainReport(Frozen):
    """What `maintain` did: everything that was said and not yet derived from is derived from now.

    Attributes:
        spans: Units that were read (sessions, windows, pairs of messages).
        records: Ids of records that were added or changed, in order.
        pending: Events that are still waiting, because time or the allowance ran out.
        failed: Units whose records could not be stored; they were passed over, and the log says why.
        by_rules: Units for which the model was asked and the rules had to answer; they are not read again.
        vectors: Events whose vectors were made.
        vectors_missing: Events that the embedder has not come to.
        erased: Events of deleted items that were physically removed.
        expired: Events whose time was over, physically removed with what was derived from them.
        usage: What it cost in model calls.
    """

    spans: int = 0
    records: tuple[str, ...] = ()
    pending: int = 0
    failed: int = 0
    by_rules: int = 0
    vectors: int = 0
    vectors_missing: int = 0
    erased: int = 0
    expired: int = 0
    usage: Usage = Field(default_factory=Usage)


class Spent(Frozen):
    """What a memory has cost in model calls since it was opened, split by reading and writing."""

    read: Usage = Field(default_factory=Usage)
    write: Usage = Field(default_factory=Usage)


class ForgetReport(Frozen):
    """What `forget` removed, and whether a trace is left.

    Attributes:
        events: Number of events removed.
        records: Number of derived records removed because all their sources are gone.
        rederived: Number of records rebuilt from the sources that remain.
        waiting: Number of records that stay blank until they are derived again, in the background or by `maintain`.
        canaries: Number of rare terms of the removed text that were looked for afterwards.
        residue: Where any of them was still found ("file:…", "table.column"); empty when nothing is left.
        complete: True when the sweep ran over every table and file and found nothing.
        note: Why it is not complete, "" otherwise.
    """

    events: int = 0
    records: int = 0
    rederived: int = 0
    waiting: int = 0
    canaries: int = 0
    residue: tuple[str, ...] = ()
    complete: bool = True
    note: str = ""


class VerifyReport(Frozen):
    """What `verify` found.

    Attributes:
        ok: True when every check passed.
        entries: Ledger chain entries that were checked.
        events: Events whose digest was checked.
        records: Records whose sources were checked.
        problems: What is wrong, one line each.
    """

    ok: bool
    entries: int = 0
    events: int = 0
    records: int = 0
    problems: tuple[str, ...] = ()
