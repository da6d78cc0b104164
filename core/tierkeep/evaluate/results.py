"""From questions to a report: means, intervals, differences and tables' figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from tierkeep.errors import InputError
from tierkeep.evaluate import resampling
from tierkeep.evaluate.measures import KS, Row
from tierkeep.evaluate.replay import Stored
from tierkeep.evaluate.resampling import Interval, interval


@dataclass(slots=True)
class Tally:
    """Everything that the memory itself did in a run."""

    rows: list[Row] = field(default_factory=list)
    events: int = 0
    ingest_s: float = 0.0
    settle_s: float = 0.0
    tokenizer: str = ""
    embedder: str = ""
    settings_sha256: str = ""

    def stored(self, portion: Stored) -> None:
        """Count a portion that was stored."""
        self.events += portion.events
        self.ingest_s += portion.add_s
        self.settle_s += portion.settle_s


def report_of(tally: Tally, others: Mapping[str, Sequence[Row]], budgets: Sequence[int], ranking_budget: int) -> dict[str, Any]:
    """Return the report of a run: the memory's own figures, and those of each baseline with the difference from them.

    Args:
        tally: What the memory did.
        others: The rows of each baseline.
        budgets: Tokens of evidence, the headline first.
        ranking_budget: Tokens of the recall that gave the ranking.
    """
    rows = tally.rows
    times = sorted(row.ms for row in rows) or [0.0]
    without = sorted(row.ms - row.embed_ms for row in rows) or [0.0]
    scored = [row for row in rows if row.scored]
    report = {
        "questions": len(rows),
        "scored_questions": len(scored),
        "budget": budgets[0],
        "tokenizer": tally.tokenizer,
        "embedder": tally.embedder,
        **figures(rows, budgets),
        "max_tokens": max((row.tokens[0] for row in rows), default=0),
        "recall_p50_ms": round(median(times), 3),
        "recall_p95_ms": round(percentile(times, 0.95), 3),
        "recall_p50_ms_without_embedding": round(median(without), 3),
        "recall_p95_ms_without_embedding": round(percentile(without, 0.95), 3),
        "events": tally.events,
        "ingest_events_per_s": _rate(tally.events, tally.ingest_s),
        "index_events_per_s": _rate(tally.events, tally.ingest_s + tally.settle_s),
        "ranked": {"budget": ranking_budget, "mean_hits": round(fmean([row.ranked for row in rows]), 1) if rows else 0.0},
        "settings_sha256": tally.settings_sha256,
        "intervals": _intervals(rows, scored),
        "baselines": {name: figures(own, budgets) | {"difference": _difference(rows, own)} for name, own in others.items()},
        "notes": _notes(scored),
    }
    return report


def _notes(scored: Sequence[Row]) -> list[str]:
    notes = [] if scored else ["no question of this data names its evidence: evidence recall says nothing here"]
    if not resampling.available():
        notes.append('no intervals: they need SciPy; install it with: pip install "tierkeep[bench]"')
    return notes


def figures(rows: Sequence[Row], budgets: Sequence[int]) -> dict[str, Any]:
    """Return the figures that every method has, the memory and the baselines alike."""
    with_evidence = [row for row in rows if row.recall[0] is not None]
    scored = [row for row in rows if row.scored]
    conversations = list(dict.fromkeys(row.conversation for row in scored))
    by_conversation = {name: _group(row for row in scored if row.conversation == name) for name in conversations}
    return {
        "evidence_recall": mean(row.recall[0] for row in scored),
        "all_evidence": mean(float(row.recall[0] == 1.0) for row in scored),
        "session_recall": mean_or_none(row.session_recall[0] for row in rows if row.scored or row.recall[0] is None),
        "answer_contained": mean_or_none(row.contained[0] for row in scored),
        "mean_over_conversations": mean(group["evidence_recall"] for group in by_conversation.values()),
        "mrr": mean(row.reciprocal_rank for row in scored),
        "mean_tokens": round(fmean([row.tokens[0] for row in rows]), 1) if rows else 0.0,
        "recall_at": {str(k): mean(row.recall_at[place] for row in scored) for place, k in enumerate(KS)},
        "all_at": {str(k): mean(float(row.recall_at[place] == 1.0) for row in scored) for place, k in enumerate(KS)},
        "budgets": {str(budget): _budget(rows, scored, place) for place, budget in enumerate(budgets)},
        "by_category": {
            name: _group(row for row in with_evidence if row.category == name) for name in sorted({row.category for row in with_evidence})
        },
        "by_conversation": by_conversation,
    }


def compared(rows: Sequence[Row], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the difference from an earlier report with `questions_detail`, over the questions that both have.

    Raises:
        InputError: It has none, or no question in common with this run.
    """
    detail = earlier.get("questions_detail")
    if not isinstance(detail, list):
        raise InputError("the earlier report has no questions_detail: make it with --per-question", field="compare")
    known = {(entry.get("conversation"), entry.get("id")): entry.get("recall") for entry in detail if isinstance(entry, Mapping)}
    shared = [(row, then) for row in rows if row.scored and (then := known.get((row.conversation, row.question))) is not None]
    if not shared:
        raise InputError("the earlier report has no question in common with this run: it is of other data", field="compare")
    difference = interval([float(row.recall[0] or 0.0) - float(then) for row, then in shared], [row.conversation for row, _ in shared])
    return {
        "with": {key: earlier.get(key) for key in ("name", "version", "embedder", "budget", "settings_sha256", "data_sha256")},
        "questions": len(shared), "evidence_recall": mean(float(then) for _, then in shared), "difference": difference.as_json(),
    }


def _budget(rows: Sequence[Row], scored: Sequence[Row], place: int) -> dict[str, Any]:
    return {
        "evidence_recall": mean(row.recall[place] for row in scored),
        "all_evidence": mean(float(row.recall[place] == 1.0) for row in scored),
        "session_recall": mean_or_none(row.session_recall[place] for row in rows if row.scored or row.recall[0] is None),
        "answer_contained": mean_or_none(row.contained[place] for row in scored),
        "mean_tokens": round(fmean([row.tokens[place] for row in rows]), 1) if rows else 0.0,
        "interval": _interval(scored, lambda row: row.recall[place]).as_json(),
    }


def _intervals(rows: Sequence[Row], scored: Sequence[Row]) -> dict[str, Any]:
    with_evidence = [row for row in rows if row.recall[0] is not None]
    categories = sorted({row.category for row in with_evidence})
    return {
        "evidence_recall": _interval(scored, lambda row: row.recall[0]).as_json(),
        "all_evidence": _interval(scored, lambda row: float(row.recall[0] == 1.0)).as_json(),
        "by_category": {
            name: _interval([row for row in with_evidence if row.category == name], lambda row: row.recall[0]).as_json()
            for name in categories
        },
    }


def _interval(rows: Sequence[Row], figure: Callable[[Row], float | None]) -> Interval:
    held = [(value, row.conversation) for row in rows if (value := figure(row)) is not None]
    return interval([value for value, _ in held], [conversation for _, conversation in held])


def _difference(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, Any]:
    """Return ours minus theirs on the same questions: evidence recall within the headline's budget."""
    other = {(row.conversation, row.question): row.recall[0] or 0.0 for row in theirs}
    pairs = [(row, other.get((row.conversation, row.question), 0.0)) for row in ours if row.scored]
    return interval([(row.recall[0] or 0.0) - then for row, then in pairs], [row.conversation for row, _ in pairs]).as_json()


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that there are, rounded; None for none."""
    held = [value for value in values if value is not None]
    return round(fmean(held), 4) if held else None


def mean(values: Iterable[float | None]) -> float:
    """Return the mean of the values that there are, rounded; 0 for none."""
    return mean_or_none(values) or 0.0


def _group(rows: Iterable[Row]) -> dict[str, Any]:
    held = list(rows)
    return {"n": len(held), "evidence_recall": mean(row.recall[0] for row in held)}


def _rate(events: int, seconds: float) -> float:
    return round(events / seconds, 1) if seconds else 0.0
