"""The read path of SafeHarbor: score, fast path, rules of the nearest leaves, judge (guard spec 2.5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tierkeep.allowance import Allowance, Clock
from tierkeep.clock import SystemClock
from tierkeep.errors import InputError, ModelError, SettingsError
from tierkeep.guard.safeharbor.files import RuleBase, load
from tierkeep.guard.safeharbor.tree import Matrix, RulePair, Vector
from tierkeep.prompts import safeharbor as prompts
from tierkeep.protocols import ChatModel, Embedder
from tierkeep.records import Risk
from tierkeep.rendering import visible
from tierkeep.settings import SafeHarborSettings
from tierkeep.skills import Skills
from tierkeep.tokens import best_counter

#: The rule base that is shipped; its vectors and projector are of all-MiniLM-L6-v2.
SHIPPED = Path(__file__).parent / "rules"
_OVERLAP = 0.25  # share of a part that the next one repeats, so that no sentence is only seen in halves


class ScoreLog(NamedTuple):
    """One assessment, for a log: no word of the text, only its hash.

    Attributes:
        at: ISO time.
        query_sha256: Of the text.
        s_harm: As in `Risk`.
        s_benign: As in `Risk`.
        cluster: Nearest cluster.
        branch: As in `Risk`.
        ms: Milliseconds it took.
    """

    at: str
    query_sha256: str
    s_harm: float
    s_benign: float
    cluster: str
    branch: str
    ms: float


class _Score(NamedTuple):
    """A part of a text: its scores, its vector, and its words."""

    s_harm: float
    s_benign: float
    vector: Vector
    text: str


class SafeHarbor:
    """Says how a text stands to a rule base. May be used from several threads when the embedder may.

    A text takes the fast path only when it is both unlike the harms (s_harm below `tau_low`) and like a benign text (s_benign above
    `tau_high`). Otherwise the best leaf of each of the nearest clusters gives its rules; a chat model then decides by them, and without one
    the text is blocked when s_harm is above `tau_block` and s_benign not above `tau_high`, and comes back as "judge" else. A long text is
    scored in parts, and its worst part counts. Nothing is ever put in front of a text, on any path: what to do is the caller's decision.

    When the model fails, the thresholds decide. When the embedder fails, the error is raised: the signal abstains, it does not say "safe".

    Args:
        base: Rules, vectors and projector.
        embedder: The one that made the vectors.
        chat: Judges by the rules; None for thresholds alone.
        settings: Thresholds.
        clock: For times; the machine's otherwise.
        listener: Is handed the score of every assessment, for a log.

    Raises:
        SettingsError: The embedder is not the one that the base was made with, or there is no projector.
    """

    def __init__(
        self,
        base: RuleBase,
        embedder: Embedder,
        chat: ChatModel | None = None,
        *,
        settings: SafeHarborSettings | None = None,
        clock: Clock | None = None,
        listener: Callable[[ScoreLog], None] | None = None,
    ) -> None:
        if base.projector is None:
            raise SettingsError("the rule base has no projector: make one with tierkeep safeharbor train")
        for what, made_with in (("rules", base.tree.embedder), ("projector", base.projector.embedder)):
            if made_with != embedder.identity:
                raise SettingsError(
                    f"the {what} are of the embedder {made_with!r}, and not of {embedder.identity!r}: use that embedder, or make them anew "
                    "with tierkeep safeharbor build and train"
                )
        if not base.tree.clusters:
            raise SettingsError("the rule base has no rules: make one with tierkeep safeharbor build")
        self.settings = settings or SafeHarborSettings()
        self.tree = base.tree
        self._projector = base.projector
        self._embedder = embedder
        self._clock = clock or SystemClock()
        self._skills = None if chat is None else Skills(chat, best_counter(), self._clock)
        self._listener = listener
        benign = base.tree.benign()
        self._benign: Matrix = np.stack([one.embedding for one in benign]) if benign else np.zeros((0, base.tree.dimension), np.float32)
        self._centroids: Matrix = np.stack([cluster.centroid for cluster in base.tree.clusters])

    @classmethod
    def bundled(cls, embedder: Embedder, chat: ChatModel | None = None, **options: Any) -> SafeHarbor:
        """Return a guard with the shipped rule base, which is for `MiniLMEmbedder()`.

        Args:
            embedder: The one the base was made with.
            chat: Judges by the rules.
            options: As for `SafeHarbor`.

        Raises:
            SettingsError: Another embedder.
            MissingExtraError: safetensors is not installed.
        """
        return cls(load(SHIPPED), embedder, chat, **options)

    def assess(self, text: str, allowance: Allowance | None = None) -> Risk:
        """Return the risk of a text: a user's request, a tool's output, a candidate for the memory, or a tool call written out.

        Args:
            text: The text.
            allowance: What a model may spend on it; as much as it likes otherwise.

        Raises:
            ModelError: The embedder is down.
        """
        allowance = allowance or Allowance(self._clock)
        began = self._clock.monotonic()
        score = self._worst(text)
        risk = self._risk(score, allowance)
        if self._listener is not None:
            nearest = self.tree.clusters[int((self._centroids @ score.vector).argmax())].id
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            ms = (self._clock.monotonic() - began) * 1000
            self._listener(ScoreLog(self._clock.now().isoformat(), digest, risk.s_harm, risk.s_benign, nearest, risk.branch, ms))
        return risk

    def assess_call(self, tool: str, arguments: Mapping[str, Any], allowance: Allowance | None = None) -> Risk:
        """Return the risk of a proposed tool call, its arguments included.

        Raises:
            InputError: The arguments are no JSON.
            ModelError: The embedder is down.
        """
        return self.assess(call_text(tool, arguments), allowance)

    def rules_for(self, vector: Vector) -> list[RulePair]:
        """Return the pairs of the most similar leaf of each of the nearest clusters, best cluster first."""
        best = np.argsort(-(self._centroids @ vector), kind="stable")[: self.settings.clusters]
        found: list[RulePair] = []
        for place in best:
            cluster = self.tree.clusters[int(place)]
            rule = cluster.rule_of(cluster.leaves[int((cluster.vectors() @ vector).argmax())])
            if rule is not None:
                found.append(rule)
        return found

    def _risk(self, score: _Score, allowance: Allowance) -> Risk:
        scores = {"s_harm": round(score.s_harm, 6), "s_benign": round(score.s_benign, 6)}
        severity = self._severity(score)
        if severity == 0:
            return Risk.model_validate({**scores, "branch": "fast"})
        rules = self.rules_for(score.vector)
        ids = [rule.id for rule in rules]
        if self._skills is not None:
            prompt = prompts.judge(score.text, rules)
            reply = self._skills.use("judge", prompt, prompts.JudgeReply, allowance, max_tokens=self.settings.reply_tokens)
            if reply is not None:
                if 0 <= reply.rule < len(ids):
                    ids.insert(0, ids.pop(reply.rule))
                branch = "block" if reply.decision == "REFUSE" else "judge"
                return Risk.model_validate({**scores, "branch": branch, "rules": ids, "answered_by": "model"})
        return Risk.model_validate({**scores, "branch": "block" if severity == 2 else "judge", "rules": ids})

    def _worst(self, text: str) -> _Score:
        """Return the part of the text that is judged most severely: benign words around it cannot pad a text into the fast path."""
        parts = split(text, self.settings.part_chars, self.settings.most_parts)
        vectors = np.asarray(self._embedder.embed(parts), dtype=np.float32)
        if vectors.shape != (len(parts), self.tree.dimension) or not np.isfinite(vectors).all():
            raise ModelError(f"{self._embedder.identity} gave vectors of the shape {vectors.shape} for {len(parts)} texts")
        harm = self._projector.s_harm(vectors)
        benign = np.clip((vectors @ self._benign.T).max(axis=1), -1, 1) if len(self._benign) else np.full(len(parts), -1.0)
        scores = [_Score(float(h), float(b), row, part) for h, b, row, part in zip(harm, benign, vectors, parts, strict=True)]
        return max(scores, key=lambda one: (self._severity(one), one.s_harm, -one.s_benign))

    def _severity(self, score: _Score) -> int:
        """Return 0 for the fast path, 2 for what the thresholds block, 1 between them. Both conditions count, never one alone."""
        if score.s_harm < self.settings.tau_low and score.s_benign > self.settings.tau_high:
            return 0
        return 2 if score.s_harm > self.settings.tau_block and score.s_benign < self.settings.tau_high else 1


def split(text: str, chars: int, most: int) -> list[str]:
    """Return the visible text in at most so many parts of `chars` characters that overlap by a quarter; an empty text is one part."""
    shown = visible(text[: 2 * chars * most])
    step = max(1, int(chars * (1 - _OVERLAP)))
    starts = range(0, max(1, len(shown) - int(chars * _OVERLAP)), step)
    return [shown[start : start + chars] for start in starts][:most]


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return a tool call as text, its arguments as JSON.

    Raises:
        InputError: The arguments are no JSON.
    """
    try:
        return f"{tool}({json.dumps(dict(arguments), ensure_ascii=False, sort_keys=True)})"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the arguments of {tool!r} cannot be written as JSON: {error}", field="arguments") from None
