"""`tierkeep bench recall`: how much of the evidence that a question needs is inside the returned evidence.

Only what a caller of `recall` gets is measured: the rendered text, its tokens by the named counter, and which events are in
it whole. An event that was cut to fit does not count.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import tierkeep
from tierkeep import Memory, Settings
from tierkeep.evaluate.datasets import BenchQuestion, Conversation, load
from tierkeep.evaluate.date_match import matches
from tierkeep.evaluate.replay import replay
from tierkeep.scoped import ScopedMemory


@dataclass(frozen=True, slots=True)
class Row:
    """One question's result; `recall` is None when it names no evidence, `date_right` when it does not ask for a time."""

    conversation: str
    question: str
    category: str
    recall: float | None
    reciprocal_rank: float
    tokens: int
    ms: float


@dataclass(slots=True)
class Tally:
    """Everything that a run measured."""

    rows: list[Row] = field(default_factory=list)
    events: int = 0
    ingest_s: float = 0.0
    tokenizer: str = ""
    embedder: str = ""
    settings_sha256: str = ""


Progress = Callable[[int, int], None]


def run(
    path: Path, *, budget: int = 2048, settings: Settings | None = None, progress: Progress | None = None,
    only: Sequence[str] = (), per_question: bool = False,
) -> dict[str, Any]:
    """Return the report of one data set, ready for JSON.

    Args:
        path: A file in the format tierkeep-bench/1.
        budget: Tokens of evidence for each question.
        settings: Numbers to change; the defaults otherwise.
        progress: Called with (questions done, questions in all).
        only: Ids of the conversations to run; all otherwise.
        per_question: Add every question's result under "questions_detail".

    Raises:
        ImportFormatError: The file cannot be used.
    """
    data = load(path)
    chosen = [c for c in data.conversations if not only or c.id in only]
    total = sum(len(c.questions) for c in chosen)
    tally = Tally()
    for conversation in chosen:
        with tempfile.TemporaryDirectory() as folder, Memory.open(folder, settings=settings) as memory:
            about = memory.describe()
            tally.tokenizer, tally.embedder, tally.settings_sha256 = about["tokenizer"], about["embedder"], about["settings_sha256"]
            _replay(conversation, memory.scope(user="bench"), budget, tally, lambda: progress and progress(len(tally.rows), total))
    report = _report(tally, budget) | {"name": data.name, "data_sha256": data.sha256, "version": tierkeep.__version__}
    if per_question:
        report["questions_detail"] = [
            {"conversation": r.conversation, "id": r.question, "category": r.category, "recall": r.recall, "tokens": r.tokens}
            for r in tally.rows
        ]
    return report


def _replay(conversation: Conversation, memory: ScopedMemory, budget: int, tally: Tally, tick: Callable[[], object]) -> None:
    def stored(events: int, seconds: float) -> None:
        tally.events += events
        tally.ingest_s += seconds

    for question in replay(conversation, memory, conversation.questions, stored):
        tally.rows.append(_ask(conversation.id, question, memory, budget))
        tick()


def _ask(conversation: str, question: BenchQuestion, memory: ScopedMemory, budget: int) -> Row:
    began = time.perf_counter()
    evidence = memory.recall(question.question, budget=budget)
    ms = (time.perf_counter() - began) * 1000
    whole = {item.id for item in evidence.items if not item.excerpt}
    gold = set(question.evidence)
    ranked = [item.id for item in sorted(evidence.items, key=lambda item: -item.score)]
    first = next((place for place, id in enumerate(ranked, start=1) if id in gold), 0)
    return Row(
        conversation=conversation, question=question.id, category=question.category,
        recall=len(gold & whole) / len(gold) if gold else None, reciprocal_rank=1 / first if first else 0.0,
        tokens=evidence.tokens, ms=ms,
    )


def _report(tally: Tally, budget: int) -> dict[str, Any]:
    # Adversarial questions have no answer in the data; what is recalled for them says nothing about answering. They are a category
    # of their own in the table and are left out of the headline figures, as the data sets' own papers do.
    with_evidence = [row for row in tally.rows if row.recall is not None]
    scored = [row for row in with_evidence if "adversarial" not in row.category.casefold()]
    times = sorted(row.ms for row in tally.rows) or [0.0]
    categories = sorted({row.category for row in with_evidence})
    conversations = list(dict.fromkeys(row.conversation for row in scored))
    by_conversation = {name: _group(row for row in scored if row.conversation == name) for name in conversations}
    return {
        "questions": len(tally.rows),
        "scored_questions": len(scored),
        "budget": budget,
        "tokenizer": tally.tokenizer,
        "embedder": tally.embedder,
        "evidence_recall": _mean(row.recall for row in scored),
        "all_evidence": _mean(float(row.recall == 1.0) for row in scored),
        "mean_over_conversations": _mean(group["evidence_recall"] for group in by_conversation.values()),
        "mrr": _mean(row.reciprocal_rank for row in scored),
        "mean_tokens": round(fmean([row.tokens for row in tally.rows]), 1) if tally.rows else 0.0,
        "max_tokens": max((row.tokens for row in tally.rows), default=0),
        "recall_p50_ms": round(median(times), 3),
        "recall_p95_ms": round(times[min(len(times) - 1, int(len(times) * 0.95))], 3),
        "ingest_events_per_s": round(tally.events / tally.ingest_s, 1) if tally.ingest_s else 0.0,
        "by_category": {name: _group(row for row in with_evidence if row.category == name) for name in categories},
        "by_conversation": by_conversation,
        "settings_sha256": tally.settings_sha256,
    }


def _group(rows: Iterable[Row]) -> dict[str, Any]:
    held = list(rows)
    return {"n": len(held), "evidence_recall": _mean(row.recall for row in held)}


def _mean(values: Iterable[float | None]) -> float:
    held = [value for value in values if value is not None]
    return round(fmean(held), 4) if held else 0.0


def run_dates(path: Path, *, budget: int | None = None, category: str = "temporal", progress: Progress | None = None) -> dict[str, Any]:
    """Return how many questions about a time are answered with the right day, or the right coarser span.

    Args:
        path: A file in the format tierkeep-bench/1.
        budget: Tokens of evidence; by tier otherwise.
        category: Questions are those whose category contains this.
        progress: Called with (questions done, questions in all).

    Raises:
        ImportFormatError: The file cannot be used, or has no question of that category.
    """
    data = load(path)
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
                answer = scope.ask(question.question, budget=budget)
                said = answer.short or answer.text
                fits = matches(said, question.answer)
                right.setdefault(conversation.id, []).append(fits)
                if not fits:
                    wrong.append({"id": question.id, "question": question.question, "gold": question.answer, "said": said})
                if progress:
                    progress(sum(map(len, right.values())), len(asked))
    every = [fits for fitted in right.values() for fits in fitted]
    return {
        "name": data.name, "questions": len(every), "date_right": _mean(map(float, every)),
        "by_conversation": {name: {"n": len(fitted), "date_right": _mean(map(float, fitted))} for name, fitted in right.items()},
        "wrong": wrong, "version": tierkeep.__version__,
    }
