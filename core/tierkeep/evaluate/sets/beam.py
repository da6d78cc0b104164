"""BEAM (Tavakoli et al., 2025), `chats/<size>/<number>/`: long chats of a user and an assistant, with questions of ten abilities.

Given is one chat's folder (`chat.json` beside `probing_questions/probing_questions.json`), or a folder of such folders.
Traps: where there is a `chat_trunecated.json` (so spelled) the authors evaluate on it; only the first turn of a batch has a time; turns end
with the plan's number ("->-> 1,2"), which is no part of what was said; ids of evidence stand in lists, or in objects of lists. The chats of
ten million tokens are several plans in one file whose ids begin anew, and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset, existing
from tierkeep.evaluate.sets.source import Native, Source

_PLAN_NUMBER = re.compile(r"\s*->->\s*[\d,\s.]*\Z")
_CHATS = ("chat_trunecated.json", "chat.json")
_QUESTIONS = "probing_questions/probing_questions.json"


class _Turn(Native):
    role: str
    id: str
    content: str
    time_anchor: str = ""


class _Batch(Native):
    batch_number: str
    turns: tuple[tuple[_Turn, ...], ...]


class Beam:
    """Reads one chat's folder, or a folder of such folders in the order of their numbers."""

    name = "beam"
    about = "BEAM: long chats with an assistant, ten abilities"

    def fits(self, source: Source) -> bool:
        """Return whether there is a folder with a chat and its probing questions."""
        return source.is_folder and bool(_folders(source))

    def read(self, source: Source) -> Dataset:
        """Return the set: a conversation for each chat.

        Raises:
            ImportFormatError: It is not in this format.
        """
        folders = _folders(source)
        if not folders:
            source.broken(f"holds no chat.json with a {_QUESTIONS} beside it")
        return Dataset(name=source.stem, conversations=tuple(_conversation(source, folder) for folder in folders))


def _folders(source: Source) -> list[Path]:
    if not source.is_folder:
        return []
    found = {questions.parent.parent for questions in source.path.glob(f"**/{_QUESTIONS}")}
    chats = [folder for folder in found if any((folder / name).is_file() for name in _CHATS)]
    return sorted(chats, key=lambda folder: (folder.parent.name, int(folder.name) if folder.name.isdigit() else 0, folder.name))


def _conversation(source: Source, folder: Path) -> Conversation:
    path = next(folder / name for name in _CHATS if (folder / name).is_file())
    events = list(_events(source.fit(tuple[_Batch, ...], source.json(path), path=path)))
    if not events:
        source.broken("is not what it should be: it has no turn", path)
    owner = f"{folder.resolve().parent.name}_{folder.resolve().name}"
    asked_path = folder / _QUESTIONS
    asked = source.fit(dict[str, list[dict[str, Any]]], source.json(asked_path), path=asked_path)
    questions = [
        BenchQuestion(
            id=f"{owner}_{category}_{index}", question=source.fit(str, one.get("question"), f"{category}.{index}.question", asked_path),
            answer=str(one.get("answer") or ""), category=category, evidence=existing(_ids(one.get("source_chat_ids")), events),
        )
        for category, entries in sorted(asked.items())
        for index, one in enumerate(entries)
    ]
    return Conversation(id=owner, events=tuple(events), questions=tuple(questions))


def _events(batches: Iterable[_Batch]) -> Iterable[BenchEvent]:
    at = ""
    for batch in batches:
        for turn in (turn for turns in batch.turns for turn in turns):
            at = turn.time_anchor or at
            text = _PLAN_NUMBER.sub("", turn.content)
            yield BenchEvent(id=turn.id, session=batch.batch_number, at=at, speaker=turn.role, text=text)


def _ids(value: Any) -> Iterable[str]:
    """Yield the ids in a list, or in an object of lists, however deep."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _ids(entry)
    elif value is not None:
        yield str(value)
