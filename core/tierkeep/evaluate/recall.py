"""`tierkeep bench recall`: how much of the evidence that a question needs is inside the returned evidence.

Only what a caller of `recall` gets is measured: the rendered text, its tokens by the named counter, and which events are in
it whole. An event that was cut to fit does not count. Baselines get the same events, budgets, rendering and counter.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tierkeep
from tierkeep import Memory, Settings
from tierkeep.errors import InputError
from tierkeep.evaluate import baselines as others
from tierkeep.evaluate import resampling
from tierkeep.evaluate.caching import CachedEmbedder
from tierkeep.evaluate.datasets import BenchQuestion, Conversation, Dataset, load
from tierkeep.evaluate.measures import KS, Found, Pack, Row, measured
from tierkeep.evaluate.replay import Stored, replay
from tierkeep.evaluate.results import Tally, compared, report_of
from tierkeep.protocols import Embedder, TokenCounter
from tierkeep.records import Evidence
from tierkeep.scoped import ScopedMemory
from tierkeep.tokens import best_counter

Progress = Callable[[int, int], None]
#: Tokens of the recall that gives the ranking when baselines are compared: room for twice the deepest rank, and no more than this.
_MOST_FOR_RANKING = 32_768


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is measured: budgets in tokens (the first is the headline), the ranking's own one, and who is compared."""

    budgets: tuple[int, ...]
    ranking_budget: int
    baselines: tuple[str, ...]
    counter: TokenCounter
    embedder: CachedEmbedder | None
    settings: Settings | None


@dataclass(slots=True)
class _Run:
    """Everything that a run measured so far."""

    ours: Tally = field(default_factory=Tally)
    rows: dict[str, list[Row]] = field(default_factory=dict)


def run(
    path: Path, *, budget: int | Sequence[int] = 2048, settings: Settings | None = None, progress: Progress | None = None,
    only: Sequence[str] = (), per_question: bool = False, embedder: Embedder | None = None, baselines: Sequence[str] = (),
    format: str | None = None, earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report of one data set, ready for JSON.

    Args:
        path: A data set: a file or folder in one of the formats of `sets`.
        budget: Tokens of evidence for each question; of several the first is the headline.
        settings: Numbers to change; the defaults otherwise.
        progress: Called with (questions done, questions in all).
        only: Ids of the conversations to run; all otherwise.
        per_question: Add every question's result under "questions_detail".
        embedder: Embedder of the memory and of the dense baselines.
        baselines: Names of baselines to compare with, as `tierkeep.evaluate.baselines.NAMES` has them, or "all".
        format: The data set's format; found out from its content otherwise.
        earlier: A report of this function with `per_question`, to compare with.

    Raises:
        ImportFormatError: The file cannot be used.
        InputError: No such baseline or conversation, or a budget below 1.
        MissingExtraError: Baselines or a comparison need the extra `bench`.
    """
    budgets = (budget,) if isinstance(budget, int) else tuple(dict.fromkeys(budget))
    if not budgets or min(budgets) < 1:
        raise InputError("a budget is a whole number of tokens from 1 on", field="budget")
    cached = None if embedder is None else CachedEmbedder(embedder)
    names = others.chosen(baselines, cached)
    if names or earlier is not None:
        resampling.need("Comparing methods")
    data = load(path, format)
    conversations = _only(data, only)
    plan = _Plan(
        budgets, _for_ranking(conversations, budgets) if names else max(budgets), tuple(names), best_counter(), cached, settings
    )
    total = sum(len(conversation.questions) for conversation in conversations)
    done = _Run(rows={name: [] for name in names})
    for conversation in conversations:
        _measure(conversation, plan, done, lambda: progress and progress(len(done.ours.rows), total))
    report = report_of(done.ours, done.rows, budgets, plan.ranking_budget) | {
        "name": data.name, "format": data.source, "data_sha256": data.sha256, "version": tierkeep.__version__,
    }
    if cached is not None:
        report["embedding"] = {
            "texts": cached.texts, "texts_per_s": round(cached.texts / cached.seconds, 1) if cached.seconds else 0.0,
        }
    if earlier is not None:
        report["compared"] = compared(done.ours.rows, earlier)
    if per_question:
        report["questions_detail"] = [
            {"conversation": r.conversation, "id": r.question, "category": r.category, "recall": r.recall[0], "tokens": r.tokens[0]}
            for r in done.ours.rows
        ]
    return report


def _for_ranking(conversations: Sequence[Conversation], budgets: Sequence[int]) -> int:
    lengths = [len(event.text) for conversation in conversations for event in conversation.events]
    messages = 2 * max(KS) * (sum(lengths) // len(lengths) // 4 + 10)
    return max(*budgets, min(messages, _MOST_FOR_RANKING)) if lengths else max(budgets)


def _only(data: Dataset, only: Sequence[str]) -> list[Conversation]:
    known = {conversation.id for conversation in data.conversations}
    if missing := [id for id in only if id not in known]:
        raise InputError(f"{data.name} has no conversation {missing[0]!r}; it has: {', '.join(sorted(known))[:500]}", field="only")
    return [conversation for conversation in data.conversations if not only or conversation.id in only]


def _measure(conversation: Conversation, plan: _Plan, done: _Run, tick: Callable[[], object]) -> None:
    options: dict[str, Any] = {"settings": plan.settings, "counter": plan.counter}
    if plan.embedder is not None:
        options["embedder"] = plan.embedder
    session_of = {event.id: event.session for event in reversed(conversation.events)}
    shelf = others.Shelf(plan.baselines, plan.budgets, plan.counter, plan.embedder) if plan.baselines else None
    tally = done.ours
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, **options) as memory:
        about = memory.describe()
        tally.tokenizer, tally.embedder, tally.settings_sha256 = about["tokenizer"], about["embedder"], about["settings_sha256"]
        scope = memory.scope(user="bench")

        def stored(portion: Stored) -> None:
            tally.stored(portion)
            if shelf is not None:
                shelf.put(list(scope.events()))

        for question in replay(conversation, scope, conversation.questions, stored, memory.settle):
            tally.rows.append(measured(conversation.id, question, _ask(question, scope, plan), session_of))
            for name, found in shelf.ask(question.question).items() if shelf is not None and question.before != 0 else ():
                done.rows[name].append(measured(conversation.id, question, found, session_of))
            tick()


def _ask(question: BenchQuestion, memory: ScopedMemory, plan: _Plan) -> Found:
    """Return what the memory finds. The headline's budget goes first, and only it is timed."""
    now = question.at or None
    before = plan.embedder.query_seconds if plan.embedder else 0.0
    began = time.perf_counter()
    first = memory.recall(question.question, budget=plan.budgets[0], now=now)
    ms = (time.perf_counter() - began) * 1000
    embed_ms = (plan.embedder.query_seconds - before) * 1000 if plan.embedder else 0.0
    evidence = {plan.budgets[0]: first}
    for budget in (*plan.budgets[1:], plan.ranking_budget):
        if budget not in evidence:
            evidence[budget] = memory.recall(question.question, budget=budget, now=now)
    packs = tuple(_pack(evidence[budget]) for budget in plan.budgets)
    widest = evidence[plan.ranking_budget]
    return Found(packs, (*_pack(widest).ranked, *widest.dropped), ms, embed_ms)


def _pack(evidence: Evidence) -> Pack:
    whole = frozenset(item.id for item in evidence.items if not item.excerpt)
    ranked = tuple(item.id for item in sorted(evidence.items, key=lambda item: -item.score))
    return Pack(whole, ranked, evidence.text, evidence.tokens)
