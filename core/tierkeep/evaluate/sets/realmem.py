"""RealMem (Bian et al., ACL Findings 2026), `*_dialogues_*.json`: long project dialogues of a user with an assistant, one file a person.

A question is a turn of the dialogue that is marked `is_query`. Only sessions before its own may be used for it (the authors' evaluation),
so it has a `before`. The reply after it names the memories that it rests on; each was extracted from one turn of an earlier session, and
that turn is the evidence. Traps: turns are counted from 1 there, and 0 or a number past the end means that the turn is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset, existing
from tierkeep.evaluate.sets.source import Native, Source

_LOOKS = re.compile(r'"(?:session_identifier|dialogue_turns|extracted_memory)"\s*:')


class _Used(Native):
    session_uuid: str = ""
    content: Any = ""


class _Turn(Native):
    speaker: str
    content: str
    is_query: bool = False
    query_id: str = ""
    category_name: str = ""
    memory_used: tuple[_Used, ...] = ()


class _Memory(Native):
    content: Any = ""
    source_turn: int = -1


class _Session(Native):
    session_uuid: str = ""
    current_time: str = ""
    dialogue_turns: tuple[_Turn, ...]
    extracted_memory: tuple[_Memory, ...] = ()


class RealMem:
    """Reads one person's dialogues, or a folder of such files."""

    name = "realmem"
    about = "RealMem: project dialogues with an assistant"

    def fits(self, source: Source) -> bool:
        """Return whether the (first) file has sessions with dialogue turns."""
        first = next(iter(source.files("*_dialogues*.json")), None)
        return first is not None and _LOOKS.search(source.head(first)) is not None

    def read(self, source: Source) -> Dataset:
        """Return the set: a conversation for each person.

        Raises:
            ImportFormatError: It is not in this format.
        """
        files = source.files("*_dialogues*.json")
        if not files:
            source.broken("holds no *_dialogues*.json")
        return Dataset(name=source.stem, conversations=tuple(_conversation(source, path) for path in files))


def _conversation(source: Source, path: Path) -> Conversation:
    document = source.fit(dict[str, Any], source.json(path), path=path)
    sessions = source.fit(tuple[_Session, ...], document.get("dialogues"), "dialogues", path)
    about = document.get("_metadata")
    owner = str(about.get("person_name") or path.stem) if isinstance(about, Mapping) else path.stem
    events = [
        BenchEvent(id=f"{place}:{number}", session=str(place), at=session.current_time, speaker=turn.speaker, text=turn.content)
        for place, session in enumerate(sessions)
        for number, turn in enumerate(session.dialogue_turns)
    ]
    if not events:
        source.broken("is not what it should be: it has no turn", path)
    return Conversation(id=owner, events=tuple(events), questions=tuple(_questions(path.stem, sessions, events)))


def _questions(stem: str, sessions: Sequence[_Session], events: Sequence[BenchEvent]) -> Iterable[BenchQuestion]:
    #: (uuid of a session, what was extracted) -> id of the turn that it was extracted from
    turns: dict[tuple[str, str], str] = {}
    seen = 0
    for place, session in enumerate(sessions):
        for number, turn in enumerate(session.dialogue_turns):
            if turn.is_query and turn.content.strip():
                reply = session.dialogue_turns[number + 1] if number + 1 < len(session.dialogue_turns) else None
                used = reply.memory_used if reply else ()
                found = [turns.get((one.session_uuid, _said(one.content)), "") for one in used]
                yield BenchQuestion(
                    id=f"{stem}_{turn.query_id}_{place}_{number}", question=turn.content, category=turn.category_name, before=seen,
                    evidence=existing(found, events), at=session.current_time,
                )
        # Only now: a question never sees its own session.
        for memory in session.extracted_memory:
            if 1 <= memory.source_turn <= len(session.dialogue_turns):
                turns.setdefault((session.session_uuid, _said(memory.content)), f"{place}:{memory.source_turn - 1}")
        seen += len(session.dialogue_turns)


def _said(content: Any) -> str:
    return " ".join(str(content).split())
