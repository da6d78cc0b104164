"""`tierkeep bench dates`: how many questions about a time are answered with the right day, or the right coarser span."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import tierkeep
from tierkeep import Memory
from tierkeep.evaluate.datasets import load
from tierkeep.evaluate.date_match import matches
from tierkeep.evaluate.replay import replay

Progress = Callable[[int, int], None]


def run(
    path: Path, *, budget: int | None = None, category: str = "temporal", format: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Return how many questions about a time are answered with the right one.

    Args:
        path: A data set.
        budget: Tokens of evidence; by tier otherwise.
        category: Questions are those whose category contains this.
        format: The data set's format; found out otherwise.
        progress: Called with (questions done, questions in all).

    Raises:
        ImportFormatError: The file cannot be used.
    """
    data = load(path, format)
    asked = [(c, q) for c in data.conversations for q in c.questions if category in q.category.casefold() and q.answer]
    right: dict[str, list[bool]] = {}
    wrong: list[dict[str, str]] = []
    for conversation in data.conversations:
        own = [q for c, q in asked if c is conversation]
        if not own:
            continue
        with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
            scope = memory.scope(user="bench")
            for question in replay(conversation, scope, own):
                answer = scope.ask(question.question, budget=budget, now=question.at or None)
                said = answer.short or answer.text
                fits = matches(said, question.answer)
                right.setdefault(conversation.id, []).append(fits)
                if not fits:
                    wrong.append({"id": question.id, "question": question.question, "gold": question.answer, "said": said})
                if progress:
                    progress(sum(map(len, right.values())), len(asked))
    every = [fits for fitted in right.values() for fits in fitted]
    return {
        "name": data.name, "questions": len(every), "date_right": _share(every),
        "by_conversation": {name: {"n": len(fitted), "date_right": _share(fitted)} for name, fitted in right.items()},
        "wrong": wrong, "version": tierkeep.__version__,
    }


def _share(flags: Iterable[bool]) -> float:
    held = [float(flag) for flag in flags]
    return round(fmean(held), 4) if held else 0.0
