"""MemFlow's validator: rules first, a short answer passes on its words, one light model call decides the rest (tiers spec, 1.7)."""

from __future__ import annotations

import re

from tierkeep.allowance import Allowance
from tierkeep.prompts import answering
from tierkeep.protocols import Validator
from tierkeep.records import Draft, Evidence, Plan, Query, Verdict
from tierkeep.skills import Skills
from tierkeep.terms import analyze

#: An answer of at most this many words is checked by its words alone (tiers 1.7, step 2).
_SHORT = 6
_META = re.compile(r"\b(?:as an ai|i cannot|i can't|i'm sorry|i am sorry|i do not have access|i don't have access)\b", re.I)
_WORD = re.compile(r"\w+")
#: The same four words this often are a loop, not an answer (tiers 1.7, step 1).
_LOOP = 3


class SupportValidator:
    """Checks a model's answer against its evidence.

    Args:
        skills: The model that judges.
        rules: The deterministic validator; it judges extractive answers, and any answer when the model cannot.
        judged_attempts: Attempts that the model judges; later ones are checked by the rules alone, which keeps MemFlow's bound of
            four calls for a question.
        judge: Who judges instead of MemFlow's one call; it is shown only the memories that the answer names (`auto`: D-Mem's axes at a
            tenth of the tokens).
    """

    def __init__(self, skills: Skills, rules: Validator, judged_attempts: int = 1, *, judge: Validator | None = None) -> None:
        self._skills = skills
        self._rules = rules
        self._judged_attempts = judged_attempts
        self._judge = judge

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        """Return the verdict: rules, then the short-answer exemption, then the model."""
        if draft.abstained or draft.source != "model":
            return self._rules.validate(query, plan, evidence, draft, allowance)
        failure = _failure(draft.text)
        if failure:
            return Verdict(accept=False, relevance="fail", reasons=(failure,))
        words = _WORD.findall(draft.text)
        ruled = self._rules.validate(query, plan, evidence, draft, allowance)
        if ruled.relevance == "fail":
            return ruled  # off the question, or only somebody unverified says so: no judge makes that good
        if ruled.relevance == "pass" and len(words) <= _SHORT and _all_in(draft.text, evidence):
            return Verdict(accept=True, relevance="pass", faithfulness="pass", completeness="unknown", support=1.0)
        if plan.attempt >= self._judged_attempts:
            return ruled.model_copy(update={"accept": ruled.relevance == "pass" and ruled.faithfulness != "fail"})
        if self._judge is not None:
            return self._judge.validate(query, plan, _cited(evidence, draft), draft, allowance)
        reply = self._skills.use(
            "judge", answering.support(query.text, draft.text, evidence), answering.SupportReply, allowance, max_tokens=64
        )
        if reply is None:
            # A judge that talks nonsense must not send a good answer round again and again; what the rules say stands.
            return ruled.model_copy(update={"accept": ruled.relevance == "pass" and ruled.faithfulness != "fail"})
        supported = reply.verdict == "supported"
        return Verdict(
            accept=supported,
            relevance="pass",
            faithfulness="fail" if reply.verdict == "unsupported" else "pass",
            completeness="fail" if reply.verdict == "insufficient" else "pass",
            support=1.0 if supported else ruled.support / 2,
            reasons=() if supported else (reply.missing or f"the judge says {reply.verdict}",),
            source="model",
        )


def _failure(text: str) -> str:
    """Return what is plainly wrong with an answer, "" when nothing is."""
    words = [word.casefold() for word in _WORD.findall(text)]
    if not words:
        return "the answer is empty"
    if _META.search(text):
        return "the answer speaks of the model, not of the memory"
    runs: dict[tuple[str, ...], int] = {}
    for start in range(len(words) - 3):
        run = tuple(words[start : start + 4])
        runs[run] = runs.get(run, 0) + 1
        if runs[run] >= _LOOP:
            return "the answer repeats itself"
    return ""


def _cited(evidence: Evidence, draft: Draft) -> Evidence:
    """Return the evidence with the memories that the answer names, and the worked-out lines that rest on nothing else."""
    used = frozenset(draft.used)
    items = tuple(item for item in evidence.items if item.id in used)
    if len(items) == len(evidence.items):
        return evidence
    lines = [entry for entry in zip(evidence.computed, evidence.computed_from, strict=True) if used.issuperset(entry[1])]
    narrowed = {"items": items, "computed": tuple(text for text, _ in lines), "computed_from": tuple(behind for _, behind in lines)}
    return evidence.model_copy(update=narrowed)


def _all_in(text: str, evidence: Evidence) -> bool:
    ground = " ".join([*evidence.computed, *(f"{i.speaker} {i.text} {i.at} {' '.join(i.dates)}" for i in evidence.items)])
    return set(analyze(text)) <= set(analyze(ground))
