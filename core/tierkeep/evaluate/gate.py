"""`tierkeep bench gate`: whether the sufficiency signal knows when evidence is missing (tiers spec, 5.3.7 and 6).

The signal is `Evidence.confidence` of targeted retrieval with a light budget; a question is well served when all of its gold events
are whole inside that evidence. A threshold is fitted on one half of the conversations, to escalate a given share of the questions, and
reported on the other half, in both directions. Halves are in file order. A data set of one conversation is halved by its questions.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import tierkeep
from tierkeep import Memory, Settings
from tierkeep.evaluate.categories import unanswerable_by_label
from tierkeep.evaluate.datasets import BenchQuestion, Conversation, load
from tierkeep.evaluate.ranking import auc, auc_interval, escalation, threshold_for
from tierkeep.evaluate.replay import replay
from tierkeep.presets import Parts, Preset, auto
from tierkeep.records import Answer
from tierkeep.route.constant import ConstantRouter

Progress = Callable[[int, int], None]
#: Hits handed to the packer; no budget of this measurement holds more.
_HITS = 400
_AXES = ("relevance", "faithfulness", "completeness")


@dataclass(frozen=True, slots=True)
class Case:
    """One question: its place, and for each budget the signal and whether all gold evidence was inside."""

    conversation: str
    question: str
    category: str
    signal: tuple[float, ...]
    complete: tuple[bool, ...]


def run(
    path: Path, *, budgets: Sequence[int] = (600, 2048), share: float = 0.3, axes: bool = True, per_question: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the report of one data set, ready for JSON.

    Args:
        path: A file in the format tierkeep-bench/1.
        budgets: Light budgets, in tokens.
        share: Share of the questions that the fitted threshold escalates, 0 to 1 exclusive.
        axes: Also answer every question offline and count which axes of the validator fail.
        per_question: Add every question's signal.
        progress: Called with (conversations done, conversations in all).

    Raises:
        ImportFormatError: The file cannot be used.
    """
    data = load(path)
    cases: list[Case] = []
    answers: list[tuple[BenchQuestion, Answer]] = []
    for done, conversation in enumerate(data.conversations, start=1):
        cases += _measure(conversation, budgets)
        if axes:
            answers += _answer(conversation)
        if progress:
            progress(done, len(data.conversations))
    scored = [case for case in cases if not unanswerable_by_label(case.category)]
    first, second, split = halves(scored, [conversation.id for conversation in data.conversations])
    report: dict[str, Any] = {
        "name": data.name, "questions": len(scored), "share_fitted": share, "split": split,
        "half_a": sorted({case.conversation for case in first}), "half_b": sorted({case.conversation for case in second}),
        "escalate_below": Settings().gate.escalate_below,
        "budgets": {str(budget): _signal(scored, first, second, place, share) for place, budget in enumerate(budgets)},
    }
    if axes:
        report["axes"] = failing(answers)
    if per_question:
        report["questions_detail"] = [
            {"conversation": c.conversation, "id": c.question, "signal": c.signal, "complete": c.complete} for c in scored
        ]
    return report | {"data_sha256": data.sha256, "version": tierkeep.__version__}


def _light(parts: Parts) -> Preset:
    """Return the default preset with targeted retrieval first, so that the signal is compared on one and the same operation."""
    preset = auto(parts)
    router = ConstantRouter("targeted", _HITS, parts.settings.budgets.targeted)
    return replace(preset, name="light", read=replace(preset.read, router=router))


def _measure(conversation: Conversation, budgets: Sequence[int]) -> list[Case]:
    """Return a case for each question that names evidence; none sees an event that it must not see."""
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, preset=_light) as memory:
        scope = memory.scope(user="bench")
        for question in replay(conversation, scope, (q for q in conversation.questions if q.evidence)):
            packs = [scope.recall(question.question, budget=budget) for budget in budgets]
            whole = [{item.id for item in pack.items if not item.excerpt} for pack in packs]
            cases.append(Case(
                conversation.id, question.id, question.category, tuple(pack.confidence for pack in packs),
                tuple(ids.issuperset(question.evidence) for ids in whole),
            ))
    return cases


def _answer(conversation: Conversation) -> list[tuple[BenchQuestion, Answer]]:
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
        scope = memory.scope(user="bench")
        return [(question, scope.ask(question.question)) for question in replay(conversation, scope, conversation.questions)]


def halves(cases: Sequence[Case], order: Sequence[str]) -> tuple[list[Case], list[Case], str]:
    """Return the cases of the first conversations, those of the others, and what was split: "conversations" or "questions".

    Args:
        cases: Cases of the conversations.
        order: Ids of the conversations in file order; the first half takes the odd one.
    """
    if len(order) < 2:
        middle = (len(cases) + 1) // 2
        return list(cases[:middle]), list(cases[middle:]), "questions"
    early = set(order[: (len(order) + 1) // 2])
    first = [case for case in cases if case.conversation in early]
    return first, [case for case in cases if case.conversation not in early], "conversations"


def _signal(scored: Sequence[Case], first: Sequence[Case], second: Sequence[Case], place: int, share: float) -> dict[str, Any]:
    signal, complete = _columns(scored, place)
    return {
        "all_evidence": round(float(complete.mean()), 4) if len(complete) else None,
        "auc": _rounded(auc(signal, complete)),
        "as_set": escalation(signal, complete, Settings().gate.escalate_below).figures(),
        "a_to_b": _transfer(first, second, place, share),
        "b_to_a": _transfer(second, first, place, share),
    }


def _transfer(fitted_on: Sequence[Case], reported_on: Sequence[Case], place: int, share: float) -> dict[str, Any]:
    """Return the threshold of one half and what it does on the other; {} when a half is empty."""
    if not fitted_on or not reported_on:
        return {}
    threshold = threshold_for(_columns(fitted_on, place)[0], share)
    signal, complete = _columns(reported_on, place)
    interval = auc_interval(signal, complete)
    return {
        "threshold": round(threshold, 4),
        "auc": _rounded(auc(signal, complete)),
        "auc_95": [round(end, 4) for end in interval] if interval else None,
        **escalation(signal, complete, threshold).figures(),
    }


def _columns(cases: Sequence[Case], place: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    signal = np.array([case.signal[place] for case in cases], np.float64)
    return signal, np.array([case.complete[place] for case in cases], np.bool_)


def failing(answers: Sequence[tuple[BenchQuestion, Answer]]) -> dict[str, Any]:
    """Return, for answerable and unanswerable questions, how often each axis fails the first answer, and how far asking went."""
    kinds = {"answerable": False, "unanswerable": True}
    return {
        kind: _axes([answer for question, answer in answers if unanswerable_by_label(question.category) is wanted])
        for kind, wanted in kinds.items()
    }


def _axes(answers: Sequence[Answer]) -> dict[str, Any]:
    firsts = [answer.trace[0].verdict for answer in answers]
    reasons = Counter(_kind(reason) for verdict in firsts if verdict for reason in verdict.reasons)
    return {
        "n": len(answers),
        "escalated": sum(len(answer.trace) > 1 for answer in answers),
        "accepted_first": sum(bool(verdict and verdict.accept) for verdict in firsts),
        "accepted_in_the_end": sum(bool(answer.verdict and answer.verdict.accept) for answer in answers),
        "abstained": sum(answer.abstained for answer in answers),
        **{f"{axis}_fails": sum(bool(verdict) and getattr(verdict, axis) == "fail" for verdict in firsts) for axis in _AXES},
        "reasons": dict(sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))),
    }


def _kind(reason: str) -> str:
    """Return a reason without the name or number that it carries, so that equal kinds are counted together."""
    if reason.startswith("nothing cited speaks of"):
        return "nothing cited speaks of the person named"
    return reason.split(":")[0]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
