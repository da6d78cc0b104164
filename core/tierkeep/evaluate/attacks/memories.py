"""A memory as an agent uses it, under one guard: a plain store with a wrapper around it, or tierkeep itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from tierkeep import Memory
from tierkeep.errors import LimitError, WriteRejected
from tierkeep.evaluate.attacks.agreement import agreed
from tierkeep.evaluate.attacks.cases import Note
from tierkeep.evaluate.attacks.columns import Column
from tierkeep.evaluate.attacks.grammar import decoded, orders
from tierkeep.evaluate.attacks.stores import Entry, Store
from tierkeep.evaluate.attacks.world import Call, TrialClock
from tierkeep.guard.authority import ceiling
from tierkeep.records import Authority, EventDraft, Message, Origin, Role, Scope, Source

Outcome = Literal["active", "quarantined", "rejected"]
#: Tokens of evidence that tierkeep may give for each memory that another store would.
_TOKENS_EACH = 80
#: Messages that go into one call when a store is filled, and seconds that pass between two calls: nobody is held up by a rate.
_PORTION = 100
_PAUSE = 3_600.0
_START = "2026-01-01T12:00:00+00:00"


class Seen(NamedTuple):
    """A memory in an agent's window: its text, the ids of what it goes back to, and whether an attacker's text is among those."""

    text: str
    ids: tuple[str, ...]
    poison: bool


class Written(NamedTuple):
    """What became of a write."""

    outcome: Outcome
    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds that a guard added to each write, read and call."""

    write: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    gate: list[float] = field(default_factory=list)

    @contextmanager
    def timing(self, what: list[float]) -> Iterator[None]:
        """Add the time that the block takes."""
        began = time.perf_counter()
        yield
        what.append((time.perf_counter() - began) * 1000)


class AgentMemory(Protocol):
    """What an agent does with a memory."""

    def fill(self, notes: Sequence[Note]) -> None:
        """Write what was there before."""
        ...

    def write(self, note: Note, parents: Sequence[str] = (), *, told: bool = True) -> Written:
        """Write one text.

        Args:
            note: The text.
            parents: Ids of the memories in the window that it was made from.
            told: Whether the agent tells the memory so; the harness knows in any case.
        """
        ...

    def unstored(self, note: Note) -> str:
        """Return an id for a text that was in the window and is not kept, so that what is made of it goes back to it."""
        ...

    def recall(self, request: str, k: int) -> list[Seen]:
        """Return what comes into the window."""
        ...

    def allows(self, call: Call, request: str, ids: Sequence[str]) -> bool:
        """Return whether the guard lets a call pass, with these memories in the window."""
        ...

    def confirm(self, ids: Sequence[str]) -> None:
        """Take the user's word that these memories are true; without a gate that is worth nothing."""
        ...

    def after_asking(self, call: Call, request: str, ids: Sequence[str]) -> bool:
        """Return whether a call passes once the user has been asked about it and said yes."""
        ...

    def copies(self) -> tuple[int, int]:
        """Return how many memories go back to the attacker, and how many of them may shape an answer (ADVISE or more)."""
        ...

    def read(self) -> tuple[int, int]:
        """Return how many harmless memories a search has found so far, and how many of them the guard has dropped."""
        ...


def _role(origin: Origin) -> Role:
    if origin.source in (Source.USER_DIRECT, Source.USER_CONFIRMED, Source.OPERATOR):
        return "user"
    return "assistant" if origin.source == Source.AGENT_INFERRED else "tool"


class WrappedMemory:
    """A plain store with a guard around it. Authority goes with derived texts as guard spec 6 says, where the guard has a gate."""

    def __init__(self, store: Store, column: Column, watch: Stopwatch) -> None:
        self._store = store
        self._column = column
        self._watch = watch
        self._scope = Scope(user="ana")
        self._all: dict[str, Entry] = {}
        self._searched = 0
        self._dropped = 0

    def fill(self, notes: Sequence[Note]) -> None:
        """Write what was there before."""
        for note in notes:
            self.write(note)

    def write(self, note: Note, parents: Sequence[str] = (), *, told: bool = True) -> Written:
        """Write one text, after the guard's checks."""
        id = f"n{len(self._all):06d}"
        behind = [self._all[parent] for parent in parents if parent in self._all]
        try:
            with self._watch.timing(self._watch.write):
                authority = self._admitted(note, behind)
        except WriteRejected:
            return Written("rejected")
        roots = frozenset().union(*(one.roots for one in behind)) or frozenset({id})
        entry = Entry(id, note.text, note.origin, authority, roots, note.poison or any(one.poison for one in behind))
        self._all[id] = entry
        if authority == Authority.QUARANTINED:
            return Written("quarantined", (id,))
        self._store.add(entry)
        return Written("active", (id,))

    def unstored(self, note: Note) -> str:
        """Return an id for a text that is not kept; the guard saw it all the same."""
        id = f"n{len(self._all):06d}"
        try:
            authority = self._admitted(note, ())
        except WriteRejected:
            authority = Authority.QUARANTINED
        self._all[id] = Entry(id, note.text, note.origin, authority, frozenset({id}), note.poison)
        return id

    def _admitted(self, note: Note, behind: Sequence[Entry]) -> Authority:
        authority = Authority.ACT
        if self._column.write:
            draft = EventDraft(session="s", role=_role(note.origin), speaker="", text=note.text, at=_START, ts=0.0, origin=note.origin,
                               authority=authority)  # fmt: skip
            for check in self._column.write:
                draft = check.admit(draft, self._scope)
            authority = draft.authority
        if not self._column.gate or authority == Authority.QUARANTINED:
            return authority
        echoed = self._echoed(note) if note.origin.source in (Source.TOOL_TRUSTED, Source.AGENT_INFERRED) else []
        return min([authority, *(one.authority for one in (*behind, *echoed))])

    def _echoed(self, note: Note) -> list[Entry]:
        """Return the doubtful memories that hold a value which a trusted tool or the agent says again."""
        values = {call.value for call in orders(note.text)}
        doubtful = [entry for entry in self._all.values() if entry.authority <= Authority.DATA]
        return [entry for entry in doubtful if any(_holds(entry.text, value) for value in values)]

    def recall(self, request: str, k: int) -> list[Seen]:
        """Return what comes into the window, after the guard's consensus where it has one."""
        found = self._store.search(request, k)
        self._searched += sum(not entry.poison for entry in found)
        if self._column.consensus is not None and found:
            with self._watch.timing(self._watch.read):
                kept = agreed(self._column.consensus, found, request, self._scope, self._all)
            self._dropped += sum(not entry.poison for entry in found if entry.id not in kept)
            found = [entry for entry in found if entry.id in kept]
        return [Seen(entry.text, (entry.id,), entry.poison) for entry in found]

    def allows(self, call: Call, request: str, ids: Sequence[str]) -> bool:
        """Return whether the guard lets a call pass."""
        if not self._column.gate:
            return True
        with self._watch.timing(self._watch.gate):
            if _holds(request, call.value):
                return True
            behind = [self._all[id] for id in ids if _holds(self._all[id].text, call.value)]
            vouched = all(entry.authority == Authority.ACT for entry in behind)
            return bool(behind) and (vouched or _corroborated(behind))

    def confirm(self, ids: Sequence[str]) -> None:
        """Give memories the authority to act."""
        for id in ids:
            self._all[id] = self._all[id]._replace(authority=Authority.ACT)

    def after_asking(self, call: Call, request: str, ids: Sequence[str]) -> bool:
        """Return True: the user's word is enough."""
        return True

    def copies(self) -> tuple[int, int]:
        """Return how many memories go back to the attacker, and how many of them may shape an answer."""
        poisoned = [entry for entry in self._store.entries() if entry.poison]
        return len(poisoned), sum(entry.authority >= Authority.ADVISE for entry in poisoned)

    def read(self) -> tuple[int, int]:
        """Return how many harmless memories were found, and how many of them the consensus dropped."""
        return self._searched, self._dropped


def _holds(text: str, value: str) -> bool:
    return any(value.casefold() in reading.casefold() for reading in decoded(text))


def _corroborated(behind: Sequence[Entry]) -> bool:
    """Return whether two trusted tools that share neither domain nor root say the same, and nobody doubtful does (guard spec, 6)."""
    trusted = all(entry.authority >= Authority.ADVISE and entry.origin.source == Source.TOOL_TRUSTED for entry in behind)
    domains = {entry.origin.trust_domain for entry in behind}
    roots = {root for entry in behind for root in entry.roots}
    return trusted and len(domains) >= 2 and len(roots) >= 2


class TierkeepMemory:
    """tierkeep itself, through its public verbs: `add`, `recall`, and the gate on tool calls."""

    def __init__(self, memory: Memory, clock: TrialClock, user: str, column: Column, watch: Stopwatch) -> None:
        self._scoped = memory.scope(user=user)
        self._clock = clock
        self._column = column
        self._watch = watch
        self._poison: dict[str, Authority] = {}
        self._gate = self._scoped.guard.gate() if column.gate else None  # a tool nobody speaks for has side effects

    def fill(self, notes: Sequence[Note]) -> None:
        """Write what was there before, in portions."""
        for start in range(0, len(notes), _PORTION):
            self._clock.advance(_PAUSE)
            part = notes[start : start + _PORTION]
            self._scoped.add([Message(text=note.text, role=_role(note.origin), origin=note.origin) for note in part], session="before")

    def write(self, note: Note, parents: Sequence[str] = (), *, told: bool = True) -> Written:
        """Write one text."""
        poison = note.poison or any(parent in self._poison for parent in parents)
        told_parents = tuple(parents) if told else ()
        message = Message(text=note.text, role=_role(note.origin), origin=note.origin, derived_from=told_parents)
        self._clock.advance(1.0)
        try:
            receipt = self._scoped.add(message, session="work")
        except (WriteRejected, LimitError):
            return Written("rejected")
        quarantined = any(note.startswith("quarantined") for note in receipt.notes)
        if poison and not quarantined:
            allowed = ceiling(note.origin) if self._column.gate else Authority.ACT
            self._poison.update(dict.fromkeys(receipt.ids, allowed))
        return Written("quarantined" if quarantined else "active", receipt.ids)

    def unstored(self, note: Note) -> str:
        """Return "": tierkeep knows of nothing that it was not told."""
        return ""

    def recall(self, request: str, k: int) -> list[Seen]:
        """Return what comes into the window: all evidence within a budget for k memories, and the lines worked out from it."""
        evidence = self._scoped.recall(request, budget=_TOKENS_EACH * k)
        shown = [(item.text, item.sources or (item.id,)) for item in evidence.items]
        shown += zip(evidence.computed, evidence.computed_from, strict=False)
        return [Seen(text, ids, any(id in self._poison for id in ids)) for text, ids in shown]

    def allows(self, call: Call, request: str, ids: Sequence[str]) -> bool:
        """Return whether the gate lets a call pass."""
        if self._gate is None:
            return True
        with self._watch.timing(self._watch.gate):
            return self._gate.check(call.tool, call.arguments, request=request, context=tuple(ids)).allowed

    def confirm(self, ids: Sequence[str]) -> None:
        """Take the user's word, with a confirmation for each memory."""
        if self._gate is not None:
            for id in ids:
                self._scoped.guard.confirm(self._scoped.guard.propose(id).token, id=id)

    def after_asking(self, call: Call, request: str, ids: Sequence[str]) -> bool:
        """Return whether a call passes with the confirmation that the gate asks for."""
        if self._gate is None:
            return True
        token = self._gate.ask(call.tool, call.arguments).token
        return self._gate.check(call.tool, call.arguments, request=request, context=tuple(ids), confirmation=token).allowed

    def copies(self) -> tuple[int, int]:
        """Return how many memories go back to the attacker, and how many of them may shape an answer."""
        return len(self._poison), sum(authority >= Authority.ADVISE for authority in self._poison.values())

    def read(self) -> tuple[int, int]:
        """Return nothing: what tierkeep drops on read happens inside it."""
        return 0, 0
