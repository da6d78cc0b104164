"""Paths that add: single messages, batches, profile rules, records that a model derives, vectors, an export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from typing import Any

from tierkeep import Memory, Settings
from tierkeep.errors import NotFoundError
from tierkeep.evaluate.kill.paths import Desk, Place, Step, WritePath, memory_at, step
from tierkeep.models.doubles import HashEmbedder, ScriptedChat
from tierkeep.protocols import ChatRequest
from tierkeep.scoped import ScopedMemory

__all__ = [
    "Batch", "DMem", "Extract", "HyMem", "Import", "Maintain", "Reindex", "Single", "WithVectors", "added", "forgotten", "message",
    "owner", "scripted", "told",
]  # fmt: skip

_PLACES = "Lisbon Porto Braga Faro Evora Coimbra Aveiro Beja".split()
_ADDED = re.compile(r"^(?:\d+\| )?Ana: (.+)$", re.MULTILINE)
_NEW = re.compile(r"^new (\d+)\|", re.MULTILINE)
_OLD = re.compile(r"^  old (\d+)\|", re.MULTILINE)


def owner(memory: Memory, user: str = "ana", **more: str) -> ScopedMemory:
    """Return the owner of most paths."""
    return memory.scope(user=user, **more)


def message(number: int, text: str = "") -> dict[str, Any]:
    """Return a message with an id of its own, some of them long; seven a day, and each day is a conversation."""
    said = text or f"Message {number} is about the boat in the harbour of {_PLACES[number % 8]}. {'It has a red sail. ' * (number % 5 * 9)}"
    day = date(2026, 3, 1) + timedelta(days=number // 7)
    return {"content": said, "id": f"message-{number:04d}", "name": "Ana", "at": day.isoformat()}


def told(place: Place, count: int, **options: Any) -> None:
    """Add so many messages."""
    with memory_at(place.store, **options) as memory:
        owner(memory).add([message(number) for number in range(count)])


def scripted(request: ChatRequest) -> Mapping[str, Any]:
    """Return what a model would reply that repeats what it reads, and joins a new sentence to the first that is like it."""
    told = _ADDED.findall(request.user)
    shape = str(request.schema)
    if request.skill == "extract":
        newest = _ADDED.findall(request.user.rpartition("The newest messages:")[2])
        facts = [{"speaker": "Ana", "fact": text[:120]} for text in newest]
        return {"items": facts if "fact" in shape else [f"Ana says: {text[:120]}" for text in told]}
    if "UPDATE" in shape:
        known, _, new = request.user.partition("New facts:")
        some = bool(_ADDED.findall(known))
        return {"ops": [
            {"new": place, "action": "UPDATE" if some and not place else "ADD", "targets": [0] if some and not place else [],
             "text": f"{text} Once more." if some and not place else ""}
            for place, text in enumerate(_ADDED.findall(new))
        ]}  # fmt: skip
    ops = []
    for part in _NEW.split(request.user)[1:]:
        if part.isdigit():
            ops.append({"new": int(part), "action": "keep", "targets": [], "text": ""})
        elif older := _OLD.findall(part):
            ops[-1] = {**ops[-1], "action": "merge", "targets": [int(older[0])], "text": f"Ana has said it {len(part)} times over."}
    return {"ops": ops}


class Single(WritePath):
    """Messages, one call each."""

    name, about = "add", "add, one message a call"

    def steps(self) -> Sequence[Step]:
        """Return one call a message."""
        return [step(f"add {n}", added, message(n)) for n in range(20)]


class Batch(WritePath):
    """Lists of messages."""

    name, about = "batch", "add, 25 messages a call"

    def steps(self) -> Sequence[Step]:
        """Return one call for each list."""
        lists = [[message(n) for n in range(first, first + 25)] for first in range(0, 200, 25)]
        return [step(f"add list {n}", added, *some) for n, some in enumerate(lists)]


class Extract(WritePath):
    """What profile rules derive inside a write: added, said again, superseded, ended."""

    name, about = "extract", "add with profile rules: new, again, superseded, ended"

    def steps(self) -> Sequence[Step]:
        """Return statements about oneself."""
        said = []
        for number in range(4):
            said += [
                f"I live in {_PLACES[number]}.", f"I work as a {('nurse', 'baker', 'pilot', 'cook', 'tailor')[number]}.",
                f"My cat is called Miro{number}.", f"I like {('tea', 'figs', 'tea', 'rain', 'figs')[number]}.",
                f"I don't live in {_PLACES[number]}." if number % 2 else "I like tea.",
            ]  # fmt: skip
        return [step(text, added, message(n, text)) for n, text in enumerate(said)]


class HyMem(WritePath):
    """Segments and sentences, derived with the write by a model, merged, blanked by a forget and derived again."""

    name, about = "hymem", "add, maintain and forget with HyMem's deriver"
    preset = "hymem"

    def options(self, place: Place) -> Mapping[str, Any]:
        """Return the preset, with a model that follows a script, and conversations that are soon over."""
        settings = Settings.model_validate({"deriving": {"over_after_events": 4}, "hymem": {"merge_at_least_lexical": 0.2}})
        return {"preset": self.preset, "chat": ScriptedChat(scripted), "settings": settings}

    def steps(self) -> Sequence[Step]:
        """Return messages in several conversations, each deriving what is over; then the rest, and a forget between."""
        add = [step(f"add {n}", added, message(n), whole=False) for n in range(17)]
        return [
            *add[:10], step("maintain", _maintained, whole=False), step("forget", forgotten, 3, 9, whole=False),
            *add[10:], step("maintain again", _maintained, whole=False),
        ]  # fmt: skip


class DMem(HyMem):
    """Facts of pairs of messages, in the same life."""

    name, about = "dmem", "add, maintain and forget with D-Mem's deriver"
    preset = "dmem"


class Maintain(WritePath):
    """A backlog that one call works off: vectors, then records, then values under deleted keys."""

    name, about = "maintain", "maintain over a backlog: vectors, derived records, purge"

    def options(self, place: Place) -> Mapping[str, Any]:
        """Return the preset, an embedder in small batches, and nothing done with the write."""
        settings = Settings.model_validate({"embedding": {"batch": 8}, "hymem": {"merge_at_least_lexical": 0.2}})
        chat = ScriptedChat(scripted)
        return {"preset": "hymem", "chat": chat, "embedder": HashEmbedder(32), "derive": "on_request", "settings": settings}

    def prepare(self, place: Place) -> None:
        """Store a backlog, and items of which some are deleted."""
        from tierkeep.items import Items

        told(place, 70, **self.options(place))
        with memory_at(place.store, **self.options(place)) as memory:
            items = Items(owner(memory))
            for number in range(4):
                items.put(["notes"], f"key {number}", {"text": f"a note {number}"})
            items.delete(["notes"], "key 1")

    def steps(self) -> Sequence[Step]:
        """Return the one call."""
        return [step("maintain", _maintained, whole=False)]


class WithVectors(WritePath):
    """Messages with their vectors."""

    name, about = "vectors", "add with an embedder, vectors with the write"

    def options(self, place: Place) -> Mapping[str, Any]:
        """Return an embedder."""
        return {"embedder": HashEmbedder(64)}

    def steps(self) -> Sequence[Step]:
        """Return one call a message: the event, then its vectors."""
        return [step(f"add {n}", added, message(n), whole=False) for n in range(12)]


class Reindex(WritePath):
    """Another embedder: its vectors beside the old ones, which then go."""

    name, about = "reindex", "another embedder: new vectors, then the old ones dropped"

    def prepare(self, place: Place) -> None:
        """Store messages with vectors of the first embedder."""
        told(place, 90, embedder=HashEmbedder(32))

    def options(self, place: Place) -> Mapping[str, Any]:
        """Return the second embedder, in small batches."""
        return {"embedder": HashEmbedder(48), "derive": "on_request", "settings": Settings.model_validate({"embedding": {"batch": 6}})}

    def steps(self) -> Sequence[Step]:
        """Return the call that indexes and tidies."""
        return [step("index", _indexed, whole=False)]


class Import(WritePath):
    """Exports restored, all or nothing."""

    name, about = "restore", "restore of exports, several owners"

    def prepare(self, place: Place) -> None:
        """Write what is restored: messages, profile records and items of one owner, in a file beside the store."""
        with memory_at(str(place.folder / "source")) as memory:
            ana = owner(memory)
            ana.add([message(n) for n in range(60)])
            ana.add([message(60, "I live in Porto. I work as a nurse."), message(61, "I live in Faro.")])

    @contextmanager
    def session(self, desk: Desk) -> Iterator[Any]:
        """Return the memory, and rows to restore."""
        with memory_at(str(desk.place.folder / "source")) as source:
            rows = list(owner(source).export())
        yield desk.memory(), rows

    def steps(self) -> Sequence[Step]:
        """Return one restore an owner."""
        return [step(f"restore {user}", _restored, user) for user in ("bo", "cy", "di", "ed", "fe", "gi")]


def added(memory: Memory, *messages: Mapping[str, Any]) -> None:
    """Add messages in one call."""
    owner(memory).add(list(messages))


def forgotten(memory: Memory, *numbers: int) -> None:
    """Forget messages; that they are gone already is what an application that calls again wants to hear."""
    with suppress(NotFoundError):
        owner(memory).forget(ids=[message(number)["id"] for number in numbers])


def _indexed(memory: Memory) -> None:
    owner(memory).index(tidy=True)


def _restored(session: tuple[Memory, list[dict[str, Any]]], user: str) -> None:
    owner(session[0], user).restore(session[1], trusted=True)


def _maintained(memory: Memory) -> None:
    owner(memory).maintain()
