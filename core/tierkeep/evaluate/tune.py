"""`tierkeep bench tune`: weights of retrieval fitted on some conversations and reported on the others.

Candidates are the present settings and points spread evenly over a box around them (a scrambled Sobol sequence). Every candidate answers
every question in one replay. The candidate that is best on one half of the conversations is then compared with the present settings on the
other half, question by question, and the other way round. A gain that does not carry over is no gain: the report says both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import tierkeep
from tierkeep import Memory, Settings, pipelines
from tierkeep.errors import InputError
from tierkeep.evaluate import resampling
from tierkeep.evaluate.caching import CachedEmbedder
from tierkeep.evaluate.categories import unanswerable_by_label
from tierkeep.evaluate.datasets import BenchQuestion, Conversation, load
from tierkeep.evaluate.replay import replay
from tierkeep.pipelines import ReadStages
from tierkeep.presets import Parts, build
from tierkeep.protocols import Embedder, VectorIndex
from tierkeep.retrieve.vectors import ExactVectors
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import RetrievalSettings

__all__ = ["FITTED", "candidates", "run"]

#: The weights that are fitted when none is named: those that a change of corpus or encoder could move.
FITTED = ("dense", "dense_floor", "session", "neighbour", "speaker", "concept", "density")
_SEED = 20_240_229
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Case:
    """One question: where it is from, and its evidence recall under every candidate, the present settings first."""

    data: str
    conversation: str
    recall: tuple[float, ...]


def candidates(names: Sequence[str], count: int, present: RetrievalSettings, factor: float = 2.0) -> list[RetrievalSettings]:
    """Return the present settings and `count` points around them, each weight between its present value / factor and times factor.

    Args:
        names: Fields of `RetrievalSettings` that are numbers above 0.
        count: A power of two keeps the sequence balanced.
        present: The middle of the box.
        factor: Half its size, on a logarithmic scale.

    Raises:
        InputError: A name is no such field.
        MissingExtraError: SciPy is not installed.
    """
    resampling.need("bench tune")
    from scipy.stats import qmc  # type: ignore[import-untyped]

    values = {field.name: getattr(present, field.name) for field in fields(present)}
    known = {name for name, value in values.items() if isinstance(value, float) and value > 0}
    for name in names:
        if name not in known:
            raise InputError(f"there is no weight {name!r} to fit: choose among {', '.join(sorted(known))}", field="weights")
    points = qmc.Sobol(len(names), rng=_SEED).random(count) if names and count else []
    middle = {name: getattr(present, name) for name in names}
    return [present, *(
        replace(present, **{name: round(middle[name] * factor ** (2 * float(at) - 1), 4) for name, at in zip(names, point, strict=True)})
        for point in points
    )]  # fmt: skip


def run(
    paths: Sequence[Path], *, names: Sequence[str] = FITTED, count: int = 32, budget: int = 2048, every: int = 1,
    embedder: Embedder | None = None, format: str | None = None, progress: Progress | None = None,
) -> dict[str, Any]:
    """Return which weights are best on each half of the conversations, and what they are worth on the other half.

    Args:
        paths: Data sets; each weighs the same, however many questions it has.
        names: Weights to fit.
        count: Candidates beside the present settings.
        budget: Tokens of evidence for each question.
        every: Take each n-th question only.
        embedder: Embedder of the memory.
        format: The data sets' format; found out from their content otherwise.
        progress: Called with (questions done, questions in all).

    Raises:
        ImportFormatError: A file cannot be used.
        InputError: No such weight, or there are not two conversations to split.
        MissingExtraError: SciPy is not installed.
    """
    tried = candidates(names, count, RetrievalSettings())
    sets = [load(path, format) for path in paths]
    work = [(data.name, conversation, _asked(conversation)[::every]) for data in sets for conversation in data.conversations]
    if len(work) < 2:
        raise InputError("weights are fitted on some conversations and reported on others: there must be two", field="data")
    cached = None if embedder is None else CachedEmbedder(embedder)
    cases: list[_Case] = []
    total = sum(len(questions) for _, _, questions in work)
    for name, conversation, questions in work:
        for case in _measure(name, conversation, questions, tried, budget, cached):
            cases.append(case)
            if progress:
                progress(len(cases), total)
    halves = _halves([(name, conversation.id) for name, conversation, _ in work])
    sides = [[case for case in cases if (case.data, case.conversation) in half] for half in halves]
    return {
        "data": {data.name: data.sha256 for data in sets}, "weights": list(names), "candidates": len(tried), "budget": budget,
        "every": every, "embedder": "none" if embedder is None else embedder.identity, "questions": len(cases),
        "a_to_b": _transfer(sides[0], sides[1], tried, names), "b_to_a": _transfer(sides[1], sides[0], tried, names),
        "on_all": _best(cases, tried, names), "version": tierkeep.__version__,
    }  # fmt: skip


def _asked(conversation: Conversation) -> list[BenchQuestion]:
    return [q for q in conversation.questions if q.evidence and not unanswerable_by_label(q.category)]


def _halves(conversations: Sequence[tuple[str, str]]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return every second conversation, over all data sets in order, and the others: both halves have some of each larger set."""
    return set(conversations[::2]), set(conversations[1::2])


def _measure(
    data: str, conversation: Conversation, questions: Sequence[BenchQuestion], tried: Sequence[RetrievalSettings], budget: int,
    embedder: CachedEmbedder | None,
) -> Iterator[_Case]:
    """Yield a case for each question, answered under every candidate when exactly the events that it may see are stored."""
    vectors = ExactVectors(Settings().embedding.index_bytes)  # one for all candidates: vectors do not depend on weights
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=embedder) as memory:
        mine = memory.scope(user="bench")
        readers = [_reader(memory, settings, embedder, vectors) for settings in tried]
        for question in replay(conversation, mine, questions, settle=memory.settle):
            yield _Case(data, conversation.id, tuple(_recall(question, mine, stages, budget) for stages in readers))


def _reader(memory: Memory, weights: RetrievalSettings, embedder: Embedder | None, vectors: VectorIndex) -> ReadStages:
    settings = Settings(retrieval=weights)
    return build("auto", Parts(settings, memory._counter, memory._preset.read.guard, None, embedder, vectors)).read


def _recall(question: BenchQuestion, mine: ScopedMemory, stages: ReadStages, budget: int) -> float:
    query, allowance = mine._query(question.question, budget, None, None)
    evidence = pipelines.recall(query, mine._memory._ledger.view(mine.scope), stages, allowance)
    whole = {item.id for item in evidence.items if not item.excerpt}
    return len(whole.intersection(question.evidence)) / len(set(question.evidence))


def _score(cases: Sequence[_Case], place: int) -> float:
    """Return the mean over data sets of the mean over questions: a large set must not decide alone."""
    names = sorted({case.data for case in cases})
    return fmean(fmean(case.recall[place] for case in cases if case.data == name) for name in names)


def _best(cases: Sequence[_Case], tried: Sequence[RetrievalSettings], names: Sequence[str]) -> dict[str, Any]:
    place = max(range(len(tried)), key=lambda at: (_score(cases, at), -at))
    return {
        "place": place, "weights": {name: asdict(tried[place])[name] for name in names}, "evidence_recall": round(_score(cases, place), 4),
        "present": round(_score(cases, 0), 4),
    }


def _transfer(
    fitted: Sequence[_Case], reported: Sequence[_Case], tried: Sequence[RetrievalSettings], names: Sequence[str]
) -> Mapping[str, Any]:
    """Return the candidate that is best on one half, and what it is worth on the other."""
    best = _best(fitted, tried, names)
    place = int(best["place"])
    gain = resampling.interval(
        [case.recall[place] - case.recall[0] for case in reported], [f"{case.data}/{case.conversation}" for case in reported]
    )
    return {
        "weights": best["weights"], "fitted": best["evidence_recall"], "fitted_present": best["present"],
        "reported": round(_score(reported, place), 4), "reported_present": round(_score(reported, 0), 4), "gain": gain.as_json(),
        "by_data": {
            name: {"reported": round(_score(own, place), 4), "present": round(_score(own, 0), 4), "n": len(own)}
            for name in sorted({case.data for case in reported}) if (own := [case for case in reported if case.data == name])
        },
    }  # fmt: skip
