"""`tierkeep bench tiers`: what the presets cost and can answer, simulated with an oracle in the model's place.

An answer counts as right when every message that the data names as evidence was in front of the model that answered (see `OracleChat`).
So the figures are bounds set by retrieval, gates and budgets, and say nothing of how well any model reads. Records are derived by the
rules; their cost is not in the figures. Baselines: the whole history in one prompt, and one retrieval of a fixed budget with one call.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import tierkeep
from tierkeep import Memory, Settings
from tierkeep.errors import InputError
from tierkeep.evaluate.categories import unanswerable_by_label
from tierkeep.evaluate.datasets import BenchQuestion, Conversation, ingest, load
from tierkeep.evaluate.oracle import OracleChat
from tierkeep.presets import PRESETS, Builder, Parts, Preset
from tierkeep.prompts import answering
from tierkeep.route.constant import ConstantRouter
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import Ceilings
from tierkeep.tokens import best_counter

_FLAT = (512, 1_024, 2_048, 3_072, 4_096, 6_144, 8_192)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One question under one way of answering."""

    conversation: str
    category: str
    right: bool
    tokens: int
    calls: int
    tiers: tuple[str, ...]


def run(
    path: Path, *, presets: Sequence[str] = ("memflow", "hymem", "dmem", "auto"), every: int = 1, wrong: float = 0.0, miss: float = 0.0,
    alarm: float = 0.0, progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the report of one data set, ready for JSON.

    Args:
        path: A file in the format tierkeep-bench/1. Questions without evidence, and those that are asked before the end, are left out.
        presets: Names of the presets to simulate.
        every: Take each n-th question only.
        wrong: Share of the questions with incomplete evidence that the simulated model answers wrongly instead of declining.
        miss: Share of the wrong answers that the simulated judge passes.
        alarm: Share of the right answers that it fails.
        progress: Called with (steps done, steps in all).

    Raises:
        ImportFormatError: The file cannot be used.
        InputError: There is no such preset.
    """
    data = load(path)
    counter = best_counter()
    oracle = OracleChat(counter, wrong=wrong, miss=miss, alarm=alarm)
    unknown = [name for name in presets if name not in PRESETS]
    if unknown:
        raise InputError(f"there is no preset {unknown[0]!r}: choose from {', '.join(sorted(PRESETS))}", field="presets")
    ways: dict[str, Builder] = {name: PRESETS[name] for name in presets}
    if "dmem" in presets:
        ways["full deliberation"] = _always_deliberate
    rows: dict[str, list[Row]] = {"full context": [], **{f"flat {size}": [] for size in _FLAT}, **{name: [] for name in ways}}
    steps = len(data.conversations) * (len(ways) + 1)
    done = 0
    for conversation in data.conversations:
        questions = _answerable(conversation)[::every]
        with tempfile.TemporaryDirectory() as folder:
            _store(conversation, Path(folder), ways)
            for size, found in _flat(conversation, questions, Path(folder), oracle).items():
                rows[size] += found
            done += 1
            for name, builder in ways.items():
                rows[name] += _simulated(conversation, questions, Path(folder), builder, oracle)
                done += 1
                if progress is not None:
                    progress(done, steps)
    summaries = {name: _summary(own) for name, own in rows.items() if own}
    return {
        "name": data.name, "data_sha256": data.sha256, "version": tierkeep.__version__, "tokenizer": counter.name,
        "questions": len(rows["full context"]), "oracle": {"wrong": wrong, "miss": miss, "alarm": alarm},
        "ways": summaries, "compared": _compared(summaries),
    }


def _answerable(conversation: Conversation) -> list[BenchQuestion]:
    """Return the questions that name their evidence, have an answer, and are asked when everything has been said."""
    whole = len(conversation.events)
    asked = (q for q in conversation.questions if q.evidence and (q.before is None or q.before >= whole))
    return [q for q in asked if not unanswerable_by_label(q.category)]


def _always_deliberate(parts: Parts) -> Preset:
    preset = PRESETS["dmem"](parts)
    router = ConstantRouter("deliberation", parts.settings.dmem.k, parts.settings.dmem.deliberate_budget)
    return dataclasses.replace(preset, name="full deliberation", read=dataclasses.replace(preset.read, router=router))


def _store(conversation: Conversation, folder: Path, ways: dict[str, Builder]) -> None:
    """Store the conversation, and let the rules of every preset derive from it: no model writes."""
    with Memory.open(folder, preset=next(iter(ways.values())), derive="on_request") as memory:
        ingest(memory.scope(user="bench"), conversation.events)
    for builder in ways.values():
        with Memory.open(folder, preset=builder, derive="on_request") as memory:
            memory.scope(user="bench").maintain()


def _simulated(
    conversation: Conversation, questions: Sequence[BenchQuestion], folder: Path, builder: Builder, oracle: OracleChat
) -> list[Row]:
    texts = {event.id: event.text for event in conversation.events}
    rows = []
    with Memory.open(folder, preset=builder, chat=oracle, derive="on_request") as memory:
        mine = memory.scope(user="bench")
        for question in questions:
            oracle.face(question, texts)
            answer = mine.ask(question.question)
            spent = answer.usage.tokens_in + answer.usage.tokens_out
            rows.append(Row(conversation.id, question.category, answer.text == oracle.right, spent, oracle.calls, answer.tiers))
    return rows


def _flat(
    conversation: Conversation, questions: Sequence[BenchQuestion], folder: Path, oracle: OracleChat
) -> dict[str, list[Row]]:
    """Return the rows of the baselines: one prompt with everything, and one retrieval of each size."""
    rows: dict[str, list[Row]] = {"full context": [], **{f"flat {size}": [] for size in _FLAT}}
    texts = {event.id: event.text for event in conversation.events}
    history = "\n".join(f"[{event.at}] {event.speaker}: {event.text}" for event in conversation.events)
    counter = best_counter()
    whole = counter.count(history)
    frame = counter.count(answering.answer("targeted", tierkeep.Evidence(question=""), "", "2026-01-01").system) + 40
    with Memory.open(folder, derive="on_request", settings=Settings(ceilings=Ceilings(attempts=1))) as memory:
        mine = memory.scope(user="bench")
        for question in questions:
            oracle.face(question, texts)
            fixed = frame + counter.count(question.question)
            rows["full context"].append(Row(conversation.id, question.category, True, whole + fixed, 1, ("everything",)))
            for size in _FLAT:
                evidence = _targeted(mine, question.question, size)
                right = oracle.would_answer(evidence.text)
                rows[f"flat {size}"].append(
                    Row(conversation.id, question.category, right, evidence.tokens + fixed, 1, ("targeted",))
                )
    return rows


def _targeted(mine: ScopedMemory, question: str, budget: int) -> tierkeep.Evidence:
    return mine.recall(question, budget=budget)


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    by_category: dict[str, list[bool]] = {}
    for row in rows:
        by_category.setdefault(row.category, []).append(row.right)
    return {
        "right": round(fmean(row.right for row in rows), 4),
        "tokens": round(fmean(row.tokens for row in rows)),
        "tokens_p50": round(median(row.tokens for row in rows)),
        "calls": round(fmean(row.calls for row in rows), 2),
        "calls_most": max(row.calls for row in rows),
        "escalated": round(fmean(len(row.tiers) > 1 for row in rows), 4),
        "by_category": {name: round(fmean(own), 4) for name, own in sorted(by_category.items())},
        "tiers": _counts("+".join(row.tiers) for row in rows),
    }


def _counts(names: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _compared(ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the ratios that the papers give, and each preset beside flat retrieval at the same mean tokens."""
    found: dict[str, Any] = {}
    full = ways["full context"]
    for name in ("memflow", "hymem", "dmem", "auto"):
        if name in ways:
            flat = _at_tokens(ways, ways[name]["tokens"])
            found[name] = {
                "saved_of_full_context": round(1 - ways[name]["tokens"] / full["tokens"], 4),
                "flat_at_same_tokens": round(flat, 4), "over_flat": round(ways[name]["right"] - flat, 4),
            }
    if "dmem" in ways and ways["full deliberation"]["right"]:
        deliberate = ways["full deliberation"]
        found["dmem"]["right_of_deliberation"] = round(ways["dmem"]["right"] / deliberate["right"], 4)
        found["dmem"]["tokens_of_deliberation"] = round(ways["dmem"]["tokens"] / deliberate["tokens"], 4)
    return found


def _at_tokens(ways: dict[str, dict[str, Any]], tokens: float) -> float:
    """Return the share that flat retrieval answers at this mean cost, between the measured budgets; the whole history is the last point."""
    points = sorted((own["tokens"], own["right"]) for name, own in ways.items() if name.startswith("flat") or name == "full context")
    before = points[0]
    for point in points:
        if point[0] >= tokens:
            span = point[0] - before[0]
            return float(point[1] if not span else before[1] + (point[1] - before[1]) * (tokens - before[0]) / span)
        before = point
    return float(points[-1][1])
