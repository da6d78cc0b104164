"""`tierkeep bench route`: what the router rules make of questions (tiers spec, 1.3, 5.3.1 and 6).

Only questions are read: an empty memory routes them, so no retrieval takes part. A data set's category says which questions are
about a time; questions that it labels as unanswerable are counted apart, as the data sets' own papers do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tierkeep
from tierkeep import Memory
from tierkeep.evaluate.categories import asks_for_time_by_label, unanswerable_by_label
from tierkeep.evaluate.datasets import load

Progress = Callable[[int, int], None]


class Routed(NamedTuple):
    """One question with its data set's category and the first plan's intent and tier."""

    id: str
    question: str
    category: str
    intent: str
    tier: str


def run(path: Path, *, progress: Progress | None = None, per_question: bool = False) -> dict[str, Any]:
    """Return precision and recall of the temporal rule, and the share of each intent and tier, ready for JSON.

    Args:
        path: A file in the format tierkeep-bench/1.
        progress: Called with (questions done, questions in all).
        per_question: Add the questions that the temporal rule got wrong, as "missed" and "false_alarms".

    Raises:
        ImportFormatError: The file cannot be used.
    """
    data = load(path)
    asked = [question for conversation in data.conversations for question in conversation.questions]
    rows: list[Routed] = []
    with Memory.open(":memory:") as memory:
        scope = memory.scope(user="bench")
        for question in asked:
            plan = scope.ask(question.question).trace[0].plan
            rows.append(Routed(question.id, question.question, question.category, plan.intent, plan.tier))
            if progress:
                progress(len(rows), len(asked))
    report = _report(rows) | {"name": data.name, "data_sha256": data.sha256, "version": tierkeep.__version__}
    if per_question:
        answerable = [row for row in rows if not unanswerable_by_label(row.category)]
        report["missed"] = [row._asdict() for row in answerable if asks_for_time_by_label(row.category) and row.intent != "temporal"]
        report["false_alarms"] = [
            row._asdict() for row in answerable if row.intent == "temporal" and not asks_for_time_by_label(row.category)
        ]
    return report


def _report(rows: Sequence[Routed]) -> dict[str, Any]:
    answerable = [row for row in rows if not unanswerable_by_label(row.category)]
    apart = [row for row in rows if unanswerable_by_label(row.category)]
    return {
        "questions": len(answerable),
        "temporal": temporal_rule(answerable),
        "intents": _shares(row.intent for row in answerable),
        "tiers": _shares(row.tier for row in answerable),
        "by_category": {
            name: {"n": len(own), **Counter(row.intent for row in own)}
            for name in sorted({row.category for row in rows})
            if (own := [row for row in rows if row.category == name])
        },
        "unanswerable": {"questions": len(apart), "intents": _shares(row.intent for row in apart)},
    }


def temporal_rule(rows: Sequence[Routed]) -> dict[str, Any]:
    """Return counts, precision and recall of the intent `temporal` against the labels; a ratio over nothing is None."""
    fired = [row for row in rows if row.intent == "temporal"]
    labelled = sum(asks_for_time_by_label(row.category) for row in rows)
    right = sum(asks_for_time_by_label(row.category) for row in fired)
    return {
        "labelled": labelled,
        "fired": len(fired),
        "right": right,
        "precision": round(right / len(fired), 4) if fired else None,
        "recall": round(right / labelled, 4) if labelled else None,
    }


def _shares(names: Any) -> dict[str, dict[str, float]]:
    counts = Counter(names)
    total = sum(counts.values())
    return {name: {"n": n, "share": round(n / total, 4)} for name, n in sorted(counts.items())}
