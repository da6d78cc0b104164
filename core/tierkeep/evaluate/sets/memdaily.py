"""MemDaily (MemSim, Zhang et al., 2024), `memdaily.json` and its raw parts: short lists of a user's messages in Chinese, one question each.

Traps: the raw parts hold questions that their makers discard ([ERRORQ], [ERRORA]); times are written 2024年04月01日 周一 08:30.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset, existing
from tierkeep.evaluate.sets.source import Native, Source

_LOOKS = re.compile(r'"message_list"\s*:\s*\[')
_TIME = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日\D*?(?:(\d{1,2}):(\d{2}))?$")
_DISCARDED = ("[ERRORQ]", "[ERRORA]")


class _Message(Native):
    mid: str
    message: str
    time: str = ""


class _Question(Native):
    qid: str = "0"
    question: str
    answer: str = ""
    target_step_id: tuple[str, ...] = ()
    time: str = ""


class _Trajectory(Native):
    tid: str
    message_list: tuple[_Message, ...]
    question_list: tuple[_Question, ...] = ()
    QA: _Question | None = None


class MemDaily:
    """Reads the set, by type and scenario, or one of its raw parts."""

    name = "memdaily"
    about = "MemDaily: daily messages in Chinese"

    def fits(self, source: Source) -> bool:
        """Return whether the file has lists of messages."""
        return _LOOKS.search(source.head()) is not None

    def read(self, source: Source) -> Dataset:
        """Return the set: a conversation for each list of messages.

        Raises:
            ImportFormatError: It is not in this format.
        """
        conversations = [made for kind, entry in _trajectories(source, source.json()) for made in _conversation(source, kind, entry)]
        if not conversations:
            source.broken("is not what it should be: it has no list of messages with a question")
        return Dataset(name=source.stem, conversations=tuple(conversations))


def _trajectories(source: Source, document: Any) -> Iterable[tuple[str, _Trajectory]]:
    """Yield each list with its type and scenario: of {type: {scenario: [list]}}, or of a plain list of a raw part."""
    if isinstance(document, Mapping):
        nested = source.fit(dict[str, dict[str, tuple[_Trajectory, ...] | None]], document)
        for kind, scenarios in nested.items():
            for scenario, entries in scenarios.items():
                yield from ((f"{kind}/{scenario}", entry) for entry in entries or ())
        return
    # 01_simple_events.json: a number, the type, the scenario
    kind = re.sub(r"^\d+_", "", source.stem).replace("_", "/")
    yield from ((kind, entry) for entry in source.fit(tuple[_Trajectory, ...], document))


def _conversation(source: Source, kind: str, entry: _Trajectory) -> Iterable[Conversation]:
    owner = f"{kind}/{entry.tid}"
    events = [
        BenchEvent(id=one.mid, session=_iso(one.time)[:10] or "1", at=_iso(one.time), speaker="user", text=one.message)
        for one in entry.message_list
    ]
    asked = [one for one in (*entry.question_list, *([entry.QA] if entry.QA else [])) if not {one.question, one.answer} & set(_DISCARDED)]
    if not events or not asked:
        return
    questions = tuple(
        BenchQuestion(
            id=f"{owner}_{one.qid}", question=one.question, answer=one.answer, category=kind.partition("/")[0],
            evidence=existing(one.target_step_id, events), at=_iso(one.time),
        )
        for one in asked
    )
    yield Conversation(id=owner, events=tuple(events), questions=questions)


def _iso(time: str) -> str:
    """Return 2024年04月01日 周一 08:30 as 2024-04-01T08:30, and anything else as it is."""
    found = _TIME.search(time.strip())
    if not found:
        return time
    year, month, day, hour, minute = found.groups()
    return f"{year}-{int(month):02}-{int(day):02}" + (f"T{int(hour):02}:{minute}" if hour else "")
