"""HyMem's reflection: does the answer settle the question, and if not, what should be looked up next (tiers spec, 2.3 and 2.7)."""

from __future__ import annotations

import re

from tierkeep.allowance import Allowance
from tierkeep.prompts import hymem
from tierkeep.protocols import Validator
from tierkeep.records import Draft, Evidence, Plan, Query, Verdict
from tierkeep.rendering import plain
from tierkeep.settings import GateSettings
from tierkeep.skills import Skills
from tierkeep.terms import analyze

_MAX_TOKENS = 256
#: Characters of a rewrite that are searched with, and names that an offline rewrite takes over (ours).
_REWRITE_CHARS = 400
_NAMES = 8
_WORD = re.compile(r"[^\W_][\w'\u2019-]*")
#: A capitalised word that does not begin a sentence: a name, most likely.
_NAME = re.compile(r"(?<=[\w,;:] )[^\W\d_a-z][\w'\u2019-]+")


class ReflectionValidator:
    """Judges question and answer without their evidence, as the paper does; so faithfulness is what the rules say of it.

    An answer that was declined costs no call. An answer of the rules, or one that only outside sources carry, is judged by the rules.

    Args:
        skills: The model that reflects; None without one.
        rules: The deterministic validator.
        settings: For the threshold below which evidence looks thin.
    """

    def __init__(self, skills: Skills | None, rules: Validator, settings: GateSettings) -> None:
        self._skills = skills
        self._rules = rules
        self._settings = settings

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        """Return the verdict; where it does not accept an answer, `rewrite` says what to search for instead."""
        sought = query
        if draft.source == "model" and plan.search_text != query.text:
            # The evidence of an answer that takes two steps may share words with the second question only.
            sought = query.model_copy(update={"text": f"{query.text} {plan.search_text}"})
        ruled = self._rules.validate(sought, plan, evidence, draft, allowance)
        if draft.abstained:
            return ruled.model_copy(update={"reasons": ("declined",) if evidence.items else ruled.reasons})
        if self._skills is None or draft.source != "model":
            return self._offline(query, plan, evidence, draft, ruled)
        if ruled.relevance == "fail":
            return _refused(ruled, query, draft)
        prompt = hymem.reflection(query.text, draft.text)
        reply = self._skills.use("judge", prompt, hymem.ReflectionReply, allowance, max_tokens=_MAX_TOKENS)
        if reply is None:
            # It cannot see the evidence anyway, so what the rules say of that stands; nothing is accepted against them.
            return ruled.model_copy(update={"accept": True}) if ruled.faithfulness != "fail" else _refused(ruled, query, draft)
        if reply.finished:
            return ruled.model_copy(update={"accept": True, "relevance": "pass", "completeness": "pass", "source": "model"})
        asked = plain(reply.new_question)[:_REWRITE_CHARS]
        return ruled.model_copy(
            update={
                "accept": False, "completeness": "fail", "source": "model", "rewrite": asked or _rewrite(query, draft),
                "reasons": (f"not settled: {asked}" if asked else "not settled",),
            }
        )  # fmt: skip

    def _offline(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, ruled: Verdict) -> Verdict:
        # A tier that returns k sentences leaves out what it did not rank: the rules cannot see that, and take it for all there is.
        full = len(evidence.items) + len(evidence.dropped) >= plan.k
        if ruled.accept and full and evidence.confidence < self._settings.escalate_below:
            ruled = ruled.model_copy(update={"accept": False, "completeness": "fail", "reasons": ("the evidence looks thin",)})
        return ruled if ruled.accept else _refused(ruled, query, draft)


def _refused(ruled: Verdict, query: Query, draft: Draft) -> Verdict:
    return ruled.model_copy(update={"accept": False, "rewrite": _rewrite(query, draft)})


def _rewrite(query: Query, draft: Draft) -> str:
    """Return what to search for without a model: the question's words that the answer lacks, and the names it brings (tiers 2.7)."""
    said, asked = set(analyze(draft.text)), set(analyze(query.text))
    open_words = [word for word in _WORD.findall(query.text) if (stems := set(analyze(word))) and not stems & said]
    names = [name for name in _NAME.findall(draft.text) if (stems := set(analyze(name))) and not stems & asked]
    return " ".join(dict.fromkeys([*open_words, *list(dict.fromkeys(names))[:_NAMES]]))[:_REWRITE_CHARS]
