"""LoCoMo (Maharana et al., ACL 2024), `locomo10.json`: ten long conversations of two people, with numbered sessions and turn ids.

Traps: the keys of the sessions are not in order; evidence ids come several in one string ("D8:6; D9:17"), with leading zeros ("D30:05")
or stray signs ("D:11:26"), and some name turns that do not exist. Category 5 is adversarial: its question has no answer in the history.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset, existing
from tierkeep.evaluate.sets.source import Native, Source, Texts

#: The names that the paper gives to the numbers of the file.
_CATEGORIES = {1: "1 multi-hop", 2: "2 temporal", 3: "3 open-domain", 4: "4 single-hop", 5: "5 adversarial"}
_LOOKS = re.compile(r'"session_\d{1,4}_date_time"\s*:|^\[?\s*\{\s*"qa"\s*:\s*\[')
_SESSION = re.compile(r"session_(\d{1,4})")
_TURN_ID = re.compile(r"D:?(\d+):0*(\d+)")


class Turn(Native):
    """One turn of a conversation."""

    speaker: str
    dia_id: str
    text: str = ""
    blip_caption: str = ""


class Question(Native):
    """One question; the adversarial ones have no answer."""

    question: str
    answer: str = ""
    evidence: Texts = ()
    category: int


class Sample(Native):
    """One conversation with its questions."""

    sample_id: str = ""
    qa: tuple[Question, ...] = ()
    conversation: Mapping[str, Any]


class LoCoMo:
    """Reads LoCoMo's own file: one sample, or a list of them."""

    name = "locomo"
    about = "LoCoMo: ten long conversations of two people"

    def fits(self, source: Source) -> bool:
        """Return whether the file begins with questions or dated sessions."""
        return _LOOKS.search(source.head().lstrip()) is not None

    def read(self, source: Source) -> Dataset:
        """Return the set.

        Raises:
            ImportFormatError: It is not in this format.
        """
        document = source.json()
        samples = source.fit(tuple[Sample, ...], [document] if isinstance(document, Mapping) else document)
        return Dataset(name=source.stem, conversations=tuple(_conversation(source, one, place) for place, one in enumerate(samples)))


def _conversation(source: Source, sample: Sample, place: int) -> Conversation:
    owner = sample.sample_id or str(place)
    events = [event for number in numbered(sample.conversation) for event in _session(source, sample, number, place)]
    if not events:
        source.broken(f"is not what it should be: sample {place} has no turn")
    questions = tuple(
        BenchQuestion(
            id=f"{owner}_{index}", question=one.question, answer=one.answer,
            category=_CATEGORIES.get(one.category, str(one.category)), evidence=existing(turn_ids(one.evidence), events),
        )
        for index, one in enumerate(sample.qa)
    )
    return Conversation(id=owner, events=tuple(events), questions=questions)


def _session(source: Source, sample: Sample, number: int, place: int) -> Iterable[BenchEvent]:
    key = f"session_{number}"
    turns = source.fit(tuple[Turn, ...], sample.conversation[key], f"{place}.conversation.{key}")
    at = str(sample.conversation.get(f"{key}_date_time", ""))
    for turn in turns:
        yield BenchEvent(id=turn.dia_id, session=str(number), at=at, speaker=turn.speaker, text=captioned(turn.text, turn.blip_caption))


def numbered(sessions: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the sessions among the keys, in order."""
    return sorted(int(found[1]) for key in sessions if (found := _SESSION.fullmatch(key)))


def turn_ids(evidence: Iterable[str]) -> list[str]:
    """Return the ids of turns in an answer key's strings, as the turns themselves have them."""
    return [f"D{int(found[1])}:{int(found[2])}" for entry in evidence for found in _TURN_ID.finditer(entry)]


def captioned(text: str, caption: str) -> str:
    """Return what was said, with the description of a picture that was sent along."""
    return f"{text} [image: {caption}]".strip() if caption else text
