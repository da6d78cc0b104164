"""PersonaMem (Jiang et al., 2025), `questions_<size>.csv` beside `shared_contexts_<size>.jsonl`: sessions of a user with a chatbot.

Given is the table, or the folder that holds both. Many questions share a context, and each may see only a beginning of it. Traps: every
session begins with a system message that holds the persona, which is the answer to many questions and is left out here; answers are
options. The set does not say which messages answer a question, so there is no evidence recall for it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tierkeep.evaluate.sets.model import BenchEvent, BenchQuestion, Conversation, Dataset
from tierkeep.evaluate.sets.source import Native, Source

_COLUMN = "shared_context_id"


class _Message(Native):
    role: str
    content: str


class PersonaMem:
    """Reads the table of questions and the contexts beside it."""

    name = "personamem"
    about = "PersonaMem: sessions with a chatbot, questions with four options"

    def fits(self, source: Source) -> bool:
        """Return whether there is a table of questions that names shared contexts."""
        table = next(iter(source.files("questions*.csv")), None)
        return table is not None and _COLUMN in source.head(table).partition("\n")[0]

    def read(self, source: Source) -> Dataset:
        """Return the set: a conversation for each shared context.

        Raises:
            ImportFormatError: It is not in this format, or the contexts are missing.
        """
        tables = source.files("questions*.csv")
        if len(tables) != 1:
            source.broken(f"holds {len(tables)} tables questions*.csv: name one of them")
        (table,) = tables
        rows = source.table(table)
        contexts = _contexts(source, table.with_name(re.sub(r"^questions", "shared_contexts", table.stem) + ".jsonl"))
        wanted = dict.fromkeys(row.get(_COLUMN, "") for row in rows)
        return Dataset(name=table.stem, conversations=tuple(_conversation(source, table, one, rows, contexts) for one in wanted))


def _contexts(source: Source, path: Path) -> dict[str, tuple[_Message, ...]]:
    if not path.is_file():
        source.broken("has no shared contexts beside it: fetch both files", path)
    found: dict[str, tuple[_Message, ...]] = {}
    for line in source.json_lines(path):
        found |= source.fit(dict[str, tuple[_Message, ...]], line, path=path)
    return found


def _conversation(
    source: Source, table: Path, context: str, rows: Sequence[Mapping[str, str]], contexts: Mapping[str, tuple[_Message, ...]]
) -> Conversation:
    if context not in contexts:
        source.broken(f"names the context {context!r}, which the file of contexts does not have", table)
    events, seen = _events(context, contexts[context])
    if not events:
        source.broken(f"names the context {context!r}, in which nobody says anything", table)
    own = [row for row in rows if row.get(_COLUMN) == context]
    return Conversation(id=context, events=tuple(events), questions=tuple(_question(source, table, row, seen) for row in own))


def _events(context: str, messages: Iterable[_Message]) -> tuple[list[BenchEvent], list[int]]:
    """Return what was said, and for each place of the context how many events lie before it."""
    events: list[BenchEvent] = []
    seen = [0]
    session = 0
    for place, message in enumerate(messages):
        if message.role == "system":
            session += 1
        elif message.content.strip():
            text = re.sub(r"^(?:User|Assistant):\s*", "", message.content)
            # The sessions have no dates. Whole numbers of days from an arbitrary one keep them apart and in order.
            events.append(BenchEvent(id=f"{context}:{place}", session=str(session), at=_day(session), speaker=message.role, text=text))
        seen.append(len(events))
    return events, seen


def _day(session: int) -> str:
    return f"{2000 + session // 336:04}-{session // 28 % 12 + 1:02}-{session % 28 + 1:02}"


def _question(source: Source, table: Path, row: Mapping[str, str], seen: Sequence[int]) -> BenchQuestion:
    end = source.fit(int, row.get("end_index_in_shared_context"), f"question {row.get('question_id')}: end_index_in_shared_context", table)
    letter = row.get("correct_answer", "").strip()
    answer = next((option for option in _options(row.get("all_options", "")) if option.strip().startswith(letter)), letter)
    return BenchQuestion(
        id=row.get("question_id", ""), question=row.get("user_question_or_message") or row.get("question", ""),
        answer=answer.removeprefix(letter).strip(), category=row.get("question_type", ""), before=seen[min(max(end, 0), len(seen) - 1)],
    )


def _options(text: str) -> list[str]:
    """Return the options, which are written as a Python list or as JSON."""
    for reader in (json.loads, ast.literal_eval):
        try:
            value = reader(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, list):
            return [str(option) for option in value]
    return []
