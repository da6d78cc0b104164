"""The generic benchmark format `tierkeep-bench/1`, and how its conversations become memories."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierkeep import Origin
from tierkeep.errors import ImportFormatError
from tierkeep.scoped import ScopedMemory

_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "tool": "tool"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class BenchEvent(_Part):
    """One message, as the source has it; `at` in the source's own words."""

    id: str
    session: str
    at: str
    speaker: str
    text: str


class BenchQuestion(_Part):
    """One question with the ids of the events that answer it; `before` limits it to the first events."""

    id: str
    question: str
    answer: str = ""
    category: str = ""
    evidence: tuple[str, ...] = ()
    before: int | None = None


class Conversation(_Part):
    """One conversation and its questions."""

    id: str
    events: Annotated[tuple[BenchEvent, ...], Field(min_length=1)]
    questions: tuple[BenchQuestion, ...]


class Dataset(_Part):
    """A file in the generic format."""

    format: Literal["tierkeep-bench/1"]
    name: str
    conversations: Annotated[tuple[Conversation, ...], Field(min_length=1)]
    sha256: str = ""


def load(path: Path) -> Dataset:
    """Return the data set in a file.

    Raises:
        ImportFormatError: The file cannot be read, or is not in the generic format.
    """
    try:
        raw = path.read_bytes()
        data = Dataset.model_validate(json.loads(raw))
    except OSError as error:
        raise ImportFormatError(f"{path} cannot be read: {error.strerror or error}", path=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ImportFormatError(f"{path} is not in the format tierkeep-bench/1: {where}: {first['msg']}", path=str(path)) from error
    except ValueError as error:
        raise ImportFormatError(f"{path} is not JSON: {error}", path=str(path)) from error
    return data.model_copy(update={"sha256": hashlib.sha256(raw).hexdigest()})


def ingest(memory: ScopedMemory, events: tuple[BenchEvent, ...]) -> int:
    """Store the events in order, one call for each run of one session and time; return how many were stored.

    A speaker called user or assistant has that role. Named people are imported speakers, as in an imported chat.
    """
    stored = 0
    start = 0
    for end in range(1, len(events) + 1):
        if end == len(events) or (events[end].session, events[end].at) != (events[start].session, events[start].at):
            run = [event for event in events[start:end] if event.text.strip()]
            if run:
                batch = [
                    {"speaker": e.speaker, "text": e.text, "id": e.id, **_who(e.speaker)} for e in run
                ]
                stored += len(memory.add(batch, session=events[start].session, at=events[start].at).ids)
            start = end
    return stored


def _who(speaker: str) -> dict[str, object]:
    role = _ROLES.get(speaker.strip().casefold())
    return {"role": role} if role else {"role": "user", "origin": Origin.imported().model_copy(update={"principal": speaker})}
