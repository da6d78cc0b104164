"""Three ways to tell which memories disagree: by rules, by clustering paths, by asking a model for its judgement (guard spec 3.3, 3.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import ModelError
from tierkeep.guard.amemguard.claims import Claims
from tierkeep.guard.amemguard.cluster import NOISE, dbscan, largest
from tierkeep.guard.amemguard.divergence import divergences, outlying, vote_weights, weighted_median
from tierkeep.guard.amemguard.paths import ModelPaths, by_rules
from tierkeep.prompts import amemguard as prompts
from tierkeep.protocols import Embedder, View
from tierkeep.records import Hit, Query
from tierkeep.settings import AMemGuardSettings
from tierkeep.skills import Skills

__all__ = ["Backend", "Case", "ClusterBackend", "Judged", "LlmBackend", "RulesBackend"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Case(NamedTuple):
    """What a backend is asked about.

    Attributes:
        hits: The memories, best first.
        claims: What the rules read in each.
        voices: The voice of each; memories that share an origin root have one.
        weights: w_j, shape (n,): 1 / the number of memories with j's voice.
        query: The question.
        view: The scope.
        allowance: What the question may still spend.
    """

    hits: Sequence[Hit]
    claims: Sequence[Claims]
    voices: Sequence[int]
    weights: NDArray[np.float64]
    query: Query
    view: View
    allowance: Allowance

    def first(self, most: int) -> Case:
        """Return the case of the first hits only; a voice weighs 1 among those."""
        voices = self.voices[:most]
        return self._replace(hits=self.hits[:most], claims=self.claims[:most], voices=voices, weights=vote_weights(voices))


class Judged(NamedTuple):
    """What a backend found.

    Attributes:
        outliers: By place of the hit: its divergence, 0 to 1, and the reason code.
        failed: Why it could not tell; "" when it could.
    """

    outliers: dict[int, tuple[float, str]]
    failed: str = ""


class Backend(Protocol):
    """One way to judge.

    Attributes:
        name: What notes call it.
        calls: Model calls of one judgement at most.
    """

    name: str
    calls: int

    def judge(self, case: Case) -> Judged:
        """Return which memories disagree with the others. Never raises."""
        ...


class RulesBackend:
    """The divergence score over claims, without a model: who stands out from an agreement that is there, and says what to do.

    Args:
        settings: Numbers.
    """

    name = "rules"
    calls = 0

    def __init__(self, settings: AMemGuardSettings) -> None:
        self._settings = settings

    def judge(self, case: Case) -> Judged:
        """Return the outliers. Where nobody agrees with anybody there is no consensus to be left, and none is an outlier."""
        own = self._settings
        if len(set(case.voices)) < own.outlier_voices:
            return Judged({})
        scores = divergences([claims.features() for claims in case.claims], case.weights)
        if weighted_median(scores, case.weights) >= own.agreeing:
            return Judged({})
        out = outlying(scores, case.weights, spread=own.spread, least=own.least)
        return Judged({place: (float(scores[place]), "outlier") for place in np.flatnonzero(out).tolist() if case.claims[place].acts})


class ClusterBackend:
    """DBSCAN over the vectors of paths, as in the released code: the largest cluster is kept.

    Args:
        embedder: Makes the vectors.
        settings: Numbers.
        paths: A model's paths; those of the rules otherwise.
    """

    name = "cluster"

    def __init__(self, embedder: Embedder, settings: AMemGuardSettings, paths: ModelPaths | None = None) -> None:
        self._embedder = embedder
        self._settings = settings
        self._paths = paths
        self.calls = 0 if paths is None else 1

    def judge(self, case: Case) -> Judged:
        """Return what is not in the largest cluster; clusters are weighed by voices, in mode "code" by memories."""
        case = case.first(self._settings.judged)
        paths = _paths(case, self._paths)
        if paths is None:
            return Judged({}, "the paths could not be had")
        try:
            vectors = self._embedder.embed(paths)
        except ModelError as error:
            return Judged({}, f"the embedder failed ({type(error).__name__})")
        labels = dbscan(vectors, self._settings.eps, self._settings.min_samples)
        code = self._settings.mode == "code"
        best = largest(labels, np.ones(len(labels)) if code else case.weights)
        if best == NOISE:
            return Judged(_all(case, "no_cluster")) if code else Judged({}, "no two paths agree")
        return Judged(dict.fromkeys(np.flatnonzero(labels != best).tolist(), (1.0, "outlier")))


class LlmBackend:
    """One call for the paths of all memories, one for their judgement (guard spec 3.3, batched as in 3.10.6).

    Args:
        skills: The model's.
        settings: Numbers.
    """

    name = "llm"
    calls = 2

    def __init__(self, skills: Skills, settings: AMemGuardSettings) -> None:
        self._skills = skills
        self._settings = settings
        self._paths = ModelPaths(skills, settings)

    def judge(self, case: Case) -> Judged:
        """Return what the model calls inconsistent or unsafe. A reply that leaves out a number or makes one up is no reply."""
        case = case.first(self._settings.judged)
        paths = _paths(case, self._paths)
        if paths is None:
            return self._unparsed(case, "the paths could not be had")
        shown = list(zip(_letters(case.voices), paths, strict=True))
        most = self._settings.verdict_tokens * len(shown)
        reply = self._skills.use("judge", prompts.judging(case.query.text, shown), prompts.JudgeReply, case.allowance, max_tokens=most)
        if reply is None or sorted(verdict.id for verdict in reply.verdicts) != list(range(len(shown))):
            return self._unparsed(case, "the judge's reply could not be used")
        # Where no path is consistent there is nothing that they could be consistent with.
        lost = self._settings.mode == "guarded" and not any(verdict.consistent for verdict in reply.verdicts)
        return Judged({
            verdict.id: (verdict.s_div, "outlier" if verdict.safe else "unsafe")
            for verdict in reply.verdicts if not verdict.safe or not (verdict.consistent or lost)
        })  # fmt: skip

    def _unparsed(self, case: Case, why: str) -> Judged:
        return Judged(_all(case, "unparsed"), why) if self._settings.mode == "code" else Judged({}, why)


def _paths(case: Case, model: ModelPaths | None) -> list[str] | None:
    """Return the path of each hit: what the rules see, in front of what a model sees."""
    ruled = [by_rules(claims) for claims in case.claims]
    if model is None:
        return ruled
    seen = model(case.hits, case.query, case.view, case.allowance)
    return None if seen is None else [f"{rules} | {steps}" if steps else rules for rules, steps in zip(ruled, seen, strict=True)]


def _letters(voices: Sequence[int]) -> list[str]:
    return [_LETTERS[voice % len(_LETTERS)] * (1 + voice // len(_LETTERS)) for voice in voices]


def _all(case: Case, reason: str) -> dict[int, tuple[float, str]]:
    return dict.fromkeys(range(len(case.hits)), (1.0, reason))
