"""LifeBench (2026), `life_bench_data/…/<person>/`: a year of one person's phone records, and questions about it.

Given is one person's folder (`phone_data/` beside `QA/QA_clean.json` or `QA_all/QA.json`), or a folder of such folders. A unit is one
record: a message, call, calendar entry, note, picture, notification or chat with an assistant. A session is a day. Health records are left
out: a day's sums, which no question's evidence names. Traps: ids of evidence are numbers or strings; some records share an id, and the
first one counts; the translator's own prompt stands in some fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset, existing
from tierkeep.evaluate.sets.source import Native, Source

_QUESTIONS = ("QA/QA_clean.json", "QA_all/QA.json", "QA/QA.json")
_Record = Mapping[str, Any]


class _Evidence(Native):
    type: str
    id: str


class _Question(Native):
    question: str
    answer: str = ""
    question_type: str = ""
    evidence: tuple[_Evidence, ...] = ()


class LifeBench:
    """Reads one person's folder, or a folder of such folders."""

    name = "lifebench"
    about = "LifeBench: a year of phone records"

    def fits(self, source: Source) -> bool:
        """Return whether there is a folder with phone data and questions."""
        return source.is_folder and bool(_people(source.path))

    def read(self, source: Source) -> Dataset:
        """Return the set: a conversation for each person.

        Raises:
            ImportFormatError: It is not in this format.
        """
        people = _people(source.path) if source.is_folder else []
        if not people:
            source.broken("holds no phone_data folder with questions beside it")
        return Dataset(name=source.stem, conversations=tuple(_person(source, folder) for folder in people))


def _people(folder: Path) -> list[Path]:
    found = [data.parent for data in sorted(folder.glob("**/phone_data")) if data.is_dir()]
    return [one for one in found if _asked(one) is not None]


def _asked(folder: Path) -> Path | None:
    return next((folder / name for name in _QUESTIONS if (folder / name).is_file()), None)


def _person(source: Source, folder: Path) -> Conversation:
    owner = folder.resolve().name
    events: list[BenchEvent] = []
    for kind, shown in _KINDS.items():
        path = folder / "phone_data" / f"{kind}.json"
        if path.is_file():
            records = source.fit(tuple[dict[str, Any], ...], source.json(path), path=path)
            events += (_event(kind, record, shown) for record in records)
    events.sort(key=lambda event: event.at)  # stable: records of one moment keep their order
    if not events:
        source.broken("holds no record", folder)
    path = _asked(folder) or folder
    asked = source.fit(tuple[_Question, ...], source.json(path), path=path)
    questions = tuple(
        BenchQuestion(
            id=f"{owner}_{index}", question=one.question, answer=one.answer, category=one.question_type,
            evidence=existing([f"{gold.type}:{gold.id}" for gold in one.evidence], events),
        )
        for index, one in enumerate(asked)
    )
    return Conversation(id=owner, events=tuple(events), questions=questions)


def _event(kind: str, record: _Record, shown: Callable[[_Record], tuple[str, str]]) -> BenchEvent:
    at = _word(record, "datetime") or _word(record, "date") or _word(record, "start_time")
    speaker, text = shown(record)
    return BenchEvent(id=f"{kind}:{_word(record, 'phone_id')}", session=at[:10], at=at, speaker=speaker, text=text)


def _word(record: _Record, key: str) -> str:
    value = record.get(key)
    return "" if value is None or isinstance(value, (list, dict)) else str(value)


def _joined(record: _Record, *keys: str) -> str:
    parts = [_word(record, key).strip().removesuffix(".") for key in keys[:-1]]
    return ". ".join([*filter(None, parts), _word(record, keys[-1])])


def _place(record: _Record) -> str:
    location = record.get("location")
    return f" at {_word(location, 'poi')}" if isinstance(location, Mapping) and location.get("poi") else ""


def _dialogue(record: _Record) -> str:
    turns = record.get("conversation")
    said: list[str] = []
    for turn in turns.values() if isinstance(turns, Mapping) else ():
        sides = [turn.get(side) for side in ("user", "assistant")] if isinstance(turn, Mapping) else []
        said += [_word(side, "content") for side in sides if isinstance(side, Mapping)]
    return " ".join(filter(None, said))


def _call(record: _Record) -> tuple[str, str]:
    """Return a call as a line of a call list: who, which way, and what it was about where the record says."""
    way = f" ({_word(record, 'call_type')})" if record.get("call_type") else ""
    line = f"Call with {_word(record, 'contactName')}{way}"
    about = _word(record, "summarized_info")
    return "Call", f"{line}. {about}" if about else line


#: Kind of record -> who it is from and what it says, as one line of a phone would show it.
_KINDS: Mapping[str, Callable[[_Record], tuple[str, str]]] = {
    "agent_chat": lambda record: ("Assistant chat", _dialogue(record)),
    "calendar": lambda record: ("Calendar", _joined(record, "title", "description")),
    "call": _call,
    "note": lambda record: ("Note", _joined(record, "title", "content")),
    "photo": lambda record: ("Photo", _word(record, "caption") + _place(record)),
    "push": lambda record: (f"Notification {_word(record, 'source')}", _joined(record, "title", "content")),
    "sms": lambda record: (f"SMS {_word(record, 'message_type')} {_word(record, 'contactName')}", _word(record, "message_content")),
}
