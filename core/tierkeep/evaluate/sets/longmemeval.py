"""LongMemEval (Wu et al., ICLR 2025), files `longmemeval_*.json`: 500 questions, each with a chat history of its own.

Evidence is named twice: the turns that are marked `has_answer`, and the sessions in `answer_session_ids`. Traps: the oracle file's
sessions are not in the order of time; a question whose id ends with `_abs` has no answer in its history, and its authors leave it out of
retrieval.
"""

from __future__ import annotations

import re

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset
from tierkeep.evaluate.sets.source import Native, Source

_LOOKS = re.compile(r'"(?:haystack_sessions|haystack_dates|haystack_session_ids|answer_session_ids)"\s*:')
#: "2023/05/20 (Sat) 02:21" sorts as text, but for the day's name.
_DAY_NAME = re.compile(r"\s*\([^)]*\)")


class _Turn(Native):
    role: str
    content: str
    has_answer: bool = False


class _Instance(Native):
    question_id: str
    question_type: str = ""
    question: str
    answer: str = ""
    question_date: str = ""
    haystack_session_ids: tuple[str, ...]
    haystack_dates: tuple[str, ...]
    haystack_sessions: tuple[tuple[_Turn, ...], ...]
    answer_session_ids: tuple[str, ...] = ()


class LongMemEval:
    """Reads any of the set's files; each question is a conversation of its own."""

    name = "longmemeval"
    about = "LongMemEval: 500 questions, each with its own chat history"

    def fits(self, source: Source) -> bool:
        """Return whether the file has haystacks or answer sessions."""
        return _LOOKS.search(source.head()) is not None

    def read(self, source: Source) -> Dataset:
        """Return the set.

        Raises:
            ImportFormatError: It is not in this format.
        """
        instances = source.fit(tuple[_Instance, ...], source.json())
        return Dataset(name=source.stem, conversations=tuple(_conversation(source, one) for one in instances))


def _conversation(source: Source, instance: _Instance) -> Conversation:
    sizes = {len(instance.haystack_session_ids), len(instance.haystack_dates), len(instance.haystack_sessions)}
    if len(sizes) > 1:
        source.broken(f"is not what it should be: {instance.question_id} has haystack lists of different lengths")
    sessions = zip(instance.haystack_session_ids, instance.haystack_dates, instance.haystack_sessions, strict=True)
    ordered = sorted(sessions, key=lambda session: _DAY_NAME.sub("", session[1]))
    events: list[BenchEvent] = []
    marked: list[str] = []
    for name, at, turns in ordered:
        known = {event.session for event in events}
        session = name if name not in known else f"{name}~{len(known)}"
        for number, turn in enumerate(turns, start=1):
            events.append(BenchEvent(id=f"{session}_{number}", session=session, at=at, speaker=turn.role, text=turn.content))
            if turn.has_answer:
                marked.append(events[-1].id)
    if not events:
        source.broken(f"is not what it should be: {instance.question_id} has no turn")
    unanswerable = instance.question_id.endswith("_abs")
    question = BenchQuestion(
        id=instance.question_id, question=instance.question, answer=instance.answer, at=instance.question_date,
        category=f"{instance.question_type} (abstention)" if unanswerable else instance.question_type,
        evidence=() if unanswerable else tuple(marked), sessions=() if unanswerable else instance.answer_session_ids,
    )
    return Conversation(id=instance.question_id, events=tuple(events), questions=(question,))
