"""The plain model that every data set becomes: conversations of events, and questions with the events that answer them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """What all parts have in common: they do not change, and ignore keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class BenchEvent(Part):
    """One message, as the source has it; `at` in the source's own words."""

    id: str
    session: str
    at: str
    speaker: str
    text: str


class BenchQuestion(Part):
    """One question with the ids of the events that answer it.

    Attributes:
        id: Unique in its conversation.
        question: What is asked.
        answer: The expected answer, "" when there is none in a few words.
        category: The source's own label.
        evidence: Ids of the events that answer it; none when the source does not say, or nothing answers it.
        sessions: Conversations that answer it, where the source names those rather than messages.
        before: Only events at positions below it may be used; all when None.
        at: When it is asked, in the source's own words; "" when the source does not say.
    """

    id: str
    question: str
    answer: str = ""
    category: str = ""
    evidence: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    before: int | None = None
    at: str = ""


class Conversation(Part):
    """One conversation and its questions."""

    id: str
    events: Annotated[tuple[BenchEvent, ...], Field(min_length=1)]
    questions: tuple[BenchQuestion, ...]


class Dataset(Part):
    """A data set.

    Attributes:
        format: The generic format's name; every set is turned into it.
        name: What reports call it.
        conversations: At least one.
        source: Name of the format that it was read from.
        sha256: Of the file, or of every file of a folder that was read.
    """

    format: Literal["tierkeep-bench/1"] = "tierkeep-bench/1"
    name: str
    conversations: Annotated[tuple[Conversation, ...], Field(min_length=1)]
    source: str = "tierkeep-bench/1"
    sha256: str = ""


def existing(wanted: Iterable[str], events: Sequence[BenchEvent]) -> tuple[str, ...]:
    """Return the wanted event ids that there are, each once, in the order of the events: answer keys name events that do not exist."""
    held = set(wanted)
    return tuple(dict.fromkeys(event.id for event in events if event.id in held))
