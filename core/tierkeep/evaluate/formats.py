"""Importers of benchmark data: the generic bench format, and LoCoMo's own.

They are given to the command line beside the readers of `tierkeep.importers`; nothing outside `tierkeep.evaluate` knows
them. Only the conversations are imported; the questions are for `tierkeep bench`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tierkeep.importers.json_values import moment, string
from tierkeep.importers.reader import ROLES, Found, Place, Reader, ReadOptions, Tally
from tierkeep.importers.source import ImportFile

BENCH_FORMAT = "tierkeep-bench/1"

_BENCH = re.compile(r'"format"\s*:\s*"tierkeep-bench/1"')
_LOCOMO = re.compile(r'"session_\d{1,4}_date_time"\s*:|^\[?\s*\{\s*"qa"\s*:\s*\[')
_SESSION = re.compile(r"session_(\d{1,4})")


class BenchConversations:
    """Reads the conversations of a `tierkeep-bench/1` file."""

    name = "tierkeep-bench"
    about = "tierkeep-bench/1, the generic benchmark format"

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether the file says that it is in this format."""
        return _BENCH.search(head) is not None

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the events of every conversation; each of its sessions becomes a session of its own."""
        document = source.json()
        conversations = document.get("conversations") if isinstance(document, Mapping) else None
        if not isinstance(conversations, list):
            source.broken(f"a {BENCH_FORMAT} file is an object with a list of conversations")
        for number, conversation in enumerate(conversations, start=1):
            place = Place(item=f"conversation {number}")
            events = conversation.get("events") if isinstance(conversation, Mapping) else None
            if not isinstance(events, list):
                source.broken(f"{place.item} has no list of events")
            owner = string(conversation, "id") or str(number)
            for index, event in enumerate(events, start=1):
                where = Place(item=f"{place.item}, event {index}")
                if not isinstance(event, Mapping):
                    source.broken(f"{where.item} is not an object")
                session = f"{owner}/{string(event, 'session')}"
                yield _spoken(session, event, moment(event, "at"), string(event, "id"), where)


class LoCoMoConversations:
    """Reads the conversations of LoCoMo's `locomo10.json`: an object with numbered sessions, and a date beside each."""

    name = "locomo"
    about = "LoCoMo's own format"

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether the file begins with questions or dated sessions as LoCoMo's does."""
        return _LOCOMO.search(head.lstrip()) is not None

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the turns of every conversation, session by session."""
        document = source.json()
        samples = [document] if isinstance(document, Mapping) else document
        if not isinstance(samples, list):
            source.broken("a LoCoMo file is a list of samples")
        for number, sample in enumerate(samples, start=1):
            conversation = sample.get("conversation") if isinstance(sample, Mapping) else None
            if not isinstance(conversation, Mapping):
                source.broken(f"sample {number} has no conversation")
            owner = string(sample, "sample_id") or str(number)
            yield from _sessions(source, conversation, owner, number)


def _sessions(source: ImportFile, conversation: Mapping[str, Any], owner: str, number: int) -> Iterator[Found]:
    numbered = [(int(match[1]), key) for key in conversation if (match := _SESSION.fullmatch(key))]
    for session, key in sorted(numbered):
        turns = conversation[key]
        if not isinstance(turns, list):
            source.broken(f"sample {number}: {key} is not a list of turns")
        at = moment(conversation, f"{key}_date_time")
        for index, turn in enumerate(turns, start=1):
            where = Place(item=f"sample {number}, {key}, turn {index}")
            if not isinstance(turn, Mapping):
                source.broken(f"{where.item} is not an object")
            yield _spoken(f"{owner}/{session}", turn, at, string(turn, "dia_id"), where)


def _spoken(session: str, turn: Mapping[str, Any], at: str | float | None, own_id: str, place: Place) -> Found:
    speaker = string(turn, "speaker")
    role = ROLES.get(speaker.casefold())
    return Found(
        session=session,
        role=role or "user",
        text=_with_caption(turn),
        place=place,
        speaker=speaker,
        person=role is None and bool(speaker),
        at=at,
        own_id=own_id,
    )


def _with_caption(turn: Mapping[str, Any]) -> str:
    """Return what was said, with the description of a picture that was sent along."""
    text, caption = string(turn, "text"), string(turn, "blip_caption")
    return f"{text} [shares {caption}]".strip() if caption else text


#: The benchmark formats, to be tried before the general ones.
READERS: tuple[Reader, ...] = (BenchConversations(), LoCoMoConversations())
