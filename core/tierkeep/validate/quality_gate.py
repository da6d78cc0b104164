"""D-Mem's gates: whether the fast answer is good enough, or all that was said must be read again (tiers spec, 3.4)."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.prompts import dmem
from tierkeep.protocols import Validator
from tierkeep.records import Draft, Evidence, Plan, Query, Verdict
from tierkeep.skills import Skills
from tierkeep.validate.checks import from_outside_only

__all__ = ["QualityGate", "VoteGate"]

_MAX_TOKENS = 96


class QualityGate:
    """One judge call on three axes; any that fails sends the question to the deliberation. No scores, no threshold, no weights.

    Ours: an abstention fails without a call; a judge that replies and never fits the format fails all axes; a judge that cannot be reached
    leaves it to the rules. An answer of the final tier is not judged again when everything was read for it, but what
    only an unverified source says is never accepted.

    Args:
        skills: The judge.
        rules: Judges extractive answers, and any answer when the judge cannot be reached.
        final: Name of the tier whose answers are final; "" for none (`auto`, where even an answer from everything is checked).
    """

    def __init__(self, skills: Skills, rules: Validator, final: str = "deliberation") -> None:
        self._skills = skills
        self._rules = rules
        self._final = final

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        """Return the verdict, after one call at most."""
        early = _without_a_call(evidence, draft, final=_is_final(plan, evidence, self._final))
        if early is not None:
            return early
        if draft.source != "model":
            return self._rules.validate(query, plan, evidence, draft, allowance)
        before = len(allowance.made())
        reply = self._skills.use("judge", dmem.gate(query.text, draft.text, evidence), dmem.GateReply, allowance, max_tokens=_MAX_TOKENS)
        if reply is None:
            if any(call.tries for call in allowance.made(before)):
                unread = ("the judge gave no verdict that can be read",)
                return Verdict(accept=False, relevance="fail", faithfulness="fail", completeness="fail", reasons=unread, source="model")
            return self._rules.validate(query, plan, evidence, draft, allowance)
        axes = reply.model_dump()
        failed = [axis for axis, found in axes.items() if found == "fail"]
        support = 1.0 - len(failed) / len(axes)
        reasons = tuple(f"the judge fails its {axis}" for axis in failed)
        return Verdict.model_validate({**axes, "accept": not failed, "support": round(support, 4), "reasons": reasons, "source": "model"})


class VoteGate:
    """Accepts an answer on which the votes agreed (majority or consensus: `VotingAnswerer` counts them). Costs no call.

    Args:
        rules: Judges an answer that was not voted on, because the model could not be asked.
        final: Name of the tier whose answers are final.
    """

    def __init__(self, rules: Validator, final: str = "deliberation") -> None:
        self._rules = rules
        self._final = final

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        """Return the verdict."""
        early = _without_a_call(evidence, draft, final=_is_final(plan, evidence, self._final))
        if early is not None:
            return early
        if draft.agreed is None:
            return self._rules.validate(query, plan, evidence, draft, allowance)
        reasons = () if draft.agreed else ("the answers do not agree",)
        return Verdict(accept=draft.agreed, faithfulness="pass" if draft.agreed else "unknown", reasons=reasons, source="model")


def _is_final(plan: Plan, evidence: Evidence, tier: str) -> bool:
    """Return whether everything was read for the answer; a deliberation that was too dear has searched instead: no scan's facts."""
    return plan.tier == tier and any(item.kind == "scan" for item in evidence.items)


def _without_a_call(evidence: Evidence, draft: Draft, *, final: bool) -> Verdict | None:
    """Return the verdict where no judge is needed: abstentions, what only outsiders say, and model answers of the final tier."""
    if draft.abstained or not draft.text.strip():
        return Verdict(accept=False, relevance="fail", completeness="fail", reasons=("the memories do not suffice",))
    if from_outside_only(evidence, draft):
        return Verdict(accept=False, relevance="fail", reasons=("only an unverified source says so",))
    if final and draft.source == "model":
        return Verdict(accept=True, relevance="unknown", faithfulness="unknown", completeness="unknown", source="none")
    return None
