"""Data sets in the plain model of `sets`, and how their conversations become memories."""

from __future__ import annotations

from pathlib import Path

from tierkeep import Origin
from tierkeep.evaluate.sets import read
from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset
from tierkeep.scoped import ScopedMemory

__all__ = ["BenchEvent", "BenchQuestion", "Conversation", "Dataset", "ingest", "load", "spoken"]

_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "tool": "tool"}


def load(path: Path, format: str | None = None) -> Dataset:
    """Return the data set in a file or folder, in the generic format or in the set's own.

    Args:
        path: Where it is.
        format: Name of its format; found out from the content otherwise.

    Raises:
        SettingsError: There is no such format.
        ImportFormatError: It cannot be read, or is of no known format.
    """
    return read(path, format)


def spoken(event: BenchEvent) -> str:
    """Return what an event says. A record without words, such as a line of a call list, says who it is from."""
    return event.text if event.text.strip() else event.speaker


def ingest(memory: ScopedMemory, events: tuple[BenchEvent, ...]) -> int:
    """Store the events in order, one call for each run of one session and time; return how many were stored.

    A speaker called user or assistant has that role. Named people are imported speakers, as in an imported chat.
    """
    stored = 0
    start = 0
    for end in range(1, len(events) + 1):
        if end == len(events) or (events[end].session, events[end].at) != (events[start].session, events[start].at):
            run = [event for event in events[start:end] if spoken(event).strip()]
            if run:
                batch = [
                    {"speaker": e.speaker, "text": spoken(e), "id": e.id, **_who(e.speaker)} for e in run
                ]
                stored += len(memory.add(batch, session=events[start].session, at=events[start].at or None).ids)
            start = end
    return stored


def _who(speaker: str) -> dict[str, object]:
    role = _ROLES.get(speaker.strip().casefold())
    return {"role": role} if role else {"role": "user", "origin": Origin.imported().model_copy(update={"principal": speaker})}
