"""REALTALK (Lee et al., 2025), `data/Chat_*.json`: ten chats of real people over three weeks, one file each; a folder holds several.

Traps: a message's text is `clean_text`, and pictures have captions; turn numbers have gaps, and some answer keys name missing ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tierkeep.evaluate.sets.locomo import captioned, numbered, turn_ids
from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset, existing
from tierkeep.evaluate.sets.source import Native, Source, Texts

_CATEGORIES = {1: "1 multi-hop", 2: "2 temporal", 3: "3 commonsense"}
_NAMES = re.compile(r'"name"\s*:\s*\{\s*"speaker_1"')
_MESSAGE = re.compile(r'"clean_text"\s*:')


class _Message(Native):
    clean_text: str = ""
    text: str = ""
    speaker: str
    date_time: str = ""
    dia_id: str
    blip_caption: str = ""


class _Question(Native):
    question: str
    answer: str = ""
    evidence: Texts = ()
    category: int


class RealTalk:
    """Reads one chat, or a folder of chats."""

    name = "realtalk"
    about = "REALTALK: chats of real people"

    def fits(self, source: Source) -> bool:
        """Return whether the first chat has messages with a `clean_text`, or names its two speakers."""
        first = next(iter(source.files("Chat_*.json")), None)
        if first is None:
            return False
        head = source.head(first)
        return _MESSAGE.search(head) is not None or _NAMES.search(head) is not None

    def read(self, source: Source) -> Dataset:
        """Return the set: a conversation for each chat, in the order of their numbers.

        Raises:
            ImportFormatError: It is not in this format.
        """
        files = sorted(source.files("Chat_*.json"), key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.stem))
        if not files:
            source.broken("holds no Chat_*.json")
        return Dataset(name=source.stem, conversations=tuple(_chat(source, path) for path in files))


def _chat(source: Source, path: Path) -> Conversation:
    chat = source.fit(dict[str, Any], source.json(path), path=path)
    events = [event for number in numbered(chat) for event in _session(source, path, chat, number)]
    if not events:
        source.broken("is not what it should be: it has no message", path)
    asked = source.fit(tuple[_Question, ...], chat.get("qa", ()), "qa", path)
    questions = tuple(
        BenchQuestion(
            id=f"{path.stem}_{index}", question=one.question, answer=one.answer,
            category=_CATEGORIES.get(one.category, str(one.category)), evidence=existing(turn_ids(one.evidence), events),
        )
        for index, one in enumerate(asked)
    )
    return Conversation(id=path.stem, events=tuple(events), questions=questions)


def _session(source: Source, path: Path, chat: Mapping[str, Any], number: int) -> Iterable[BenchEvent]:
    key = f"session_{number}"
    for message in source.fit(tuple[_Message, ...], chat[key], key, path):
        text = captioned(message.clean_text or message.text, message.blip_caption)
        at = message.date_time or str(chat.get(f"{key}_date_time", ""))
        if text:
            yield BenchEvent(id=message.dia_id, session=str(number), at=at, speaker=message.speaker, text=text)
