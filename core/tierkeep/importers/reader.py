"""What a reader is, and what it hands on: the values between a file and its messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from tierkeep.importers.source import ImportFile
from tierkeep.records import Message, Origin, Role

_UTC = ZoneInfo("UTC")

#: What exports call the parts of a conversation.
ROLES: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "you": "user",
    "me": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "gpt": "assistant",
    "claude": "assistant",
    "gemini": "assistant",
    "copilot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}


class ImportedMessage(NamedTuple):
    """A message of an export, ready to be added: its conversation, and itself with a stable id."""

    session: str
    message: Message


class Place(NamedTuple):
    """Where in a file something stands: the line when it is known, else the item in words."""

    line: int | None = None
    item: str = ""


class Found(NamedTuple):
    """A message as a reader finds it, before it is checked, cleaned and named.

    Attributes:
        session: Conversation; "" stands for the file's name.
        role: Part in the conversation.
        text: What was said.
        place: Where it stands, for error messages.
        speaker: Display name.
        person: True when `speaker` is the name of one of several people, so that nobody knows which one is the user.
        at: When it was said, in any form that dates come in; None when the file does not say.
        day_first: How to read 3/4/2026; None when `at` cannot be misread.
        own_id: The export's own id of the message.
        tool_calls: Calls that the assistant made.
        meta: Further values to keep.
        by_day: True when each day of the conversation is a session of its own.
        doubtful: True when some of the text may be another's than the speaker's: it then counts as imported, whoever `speaker` is.
        origin: Who it comes from, where the format says more than the role does; None derives it.
        keeps_id: True when `own_id` is the id of an event of ours, and used as it is.
    """

    session: str
    role: Role
    text: str
    place: Place
    speaker: str = ""
    person: bool = False
    at: str | float | date | None = None
    day_first: bool | None = None
    own_id: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] = {}
    by_day: bool = False
    doubtful: bool = False
    origin: Origin | None = None
    keeps_id: bool = False


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the person who imports knows and the file does not say.

    Attributes:
        me: Which speaker is the user; every other person's messages then count as imported text. None: nobody in a
            transcript between people counts as the user.
        tz: Zone of times that carry none.
        day_first: Whether 3/4/2026 is the third of April; None lets the file's other dates decide.
        at: Date of messages that carry none and have no dated message before them in their conversation.
        untrusted: True when somebody else made the file: no message then counts as the user's own words.
        max_text: Characters that one message may have; None for no limit.
        skip_long: Leave longer messages out, and count them, instead of refusing the file.
        may_be_empty: Whether a file without any message is none of the errors: it is one of many.
    """

    me: str | None = None
    tz: tzinfo = _UTC
    day_first: bool | None = None
    at: datetime | date | str | None = None
    untrusted: bool = False
    max_text: int | None = None
    skip_long: bool = False
    may_be_empty: bool = False


@dataclass(slots=True)
class Tally:
    """What was met while reading, for the report.

    Attributes:
        messages: Messages that were read.
        sessions: Messages by conversation, in order of appearance.
        people: Messages by name, of speakers whose part is not known.
        mine: Messages of the speaker that `ReadOptions.me` names.
        skipped: Things left out, by reason.
        replaced: Characters that no store can hold (NUL, half of a surrogate pair), replaced by U+FFFD.
        undated: Messages without a date of their own.
        notes: Other things worth knowing, each once.
    """

    messages: int = 0
    sessions: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    mine: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    undated: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Keep something worth knowing, once."""
        self.notes.setdefault(text)

    def lines(self) -> list[str]:
        """Return the report in words, without the plain counts of messages and conversations."""
        told = [f"{n} left out: {why}" for why, n in sorted(self.skipped.items())]
        if self.replaced:
            told.append(f"{self.replaced} characters that cannot be stored were replaced by U+FFFD")
        return told + list(self.notes)


class Reader(Protocol):
    """Reads one format.

    Attributes:
        name: What `--format` calls it.
        about: What it reads, in a few words.
    """

    name: str
    about: str

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether a file that begins with `head` looks like this format. Cheap; never raises."""
        ...

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the messages in the order in which they were said, and count what is left out.

        Raises:
            ImportFormatError: The file breaks the format; names the place.
        """
        ...
