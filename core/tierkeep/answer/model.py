"""The answer of a language model, from the evidence and from nothing else (MemFlow's answer agent, tiers spec 1.6)."""

from __future__ import annotations

from tierkeep import rendering
from tierkeep.allowance import Allowance
from tierkeep.answer.extractive import NOT_IN_MEMORY
from tierkeep.prompts import answering
from tierkeep.protocols import Answerer
from tierkeep.records import Draft, Evidence, Plan, Query
from tierkeep.skills import Skills

#: Longest answer, in tokens (tiers 1.8).
_MAX_TOKENS = 256


class ModelAnswerer:
    """Asks the model; the fallback answers when the model cannot or may not.

    Args:
        skills: The model.
        fallback: The deterministic answerer.
    """

    def __init__(self, skills: Skills, fallback: Answerer) -> None:
        self._skills = skills
        self._fallback = fallback

    def answer(self, query: Query, plan: Plan, evidence: Evidence, allowance: Allowance, carry: str = "") -> Draft:
        """Return the model's answer with the memories it named; numbers that name none are left out."""
        if not evidence.items:
            return self._fallback.answer(query, plan, evidence, allowance, carry)
        prompt = answering.answer(plan.intent, evidence, query.text, query.now, carry)
        reply = self._skills.use("answer", prompt, answering.AnswerReply, allowance, max_tokens=_MAX_TOKENS)
        if reply is None:
            return self._fallback.answer(query, plan, evidence, allowance, carry)
        text = "\n".join(rendering.plain(line) for line in reply.answer.strip().splitlines())
        if reply.needs_more or not text:
            return Draft(text=text or NOT_IN_MEMORY, abstained=True, source="model")
        used = dict.fromkeys(evidence.items[n].id for n in reply.used if 0 <= n < len(evidence.items))
        return Draft(text=text, short=text, used=tuple(used) or tuple(item.id for item in evidence.items), source="model")
