"""The answer of a language model, from the evidence and from nothing else (MemFlow's answer agent, tiers spec 1.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tierkeep.allowance import Allowance, Progress
from tierkeep.answer.extractive import NOT_IN_MEMORY
from tierkeep.prompts import answering
from tierkeep.protocols import Answerer
from tierkeep.records import Draft, Evidence, Intent, Plan, Query
from tierkeep.skills import Prompt, Skills
from tierkeep.streaming import shown

#: Longest answer, in tokens (tiers 1.8).
MAX_TOKENS = 256
#: What a model says instead of an answer when the memories do not suffice (D-Mem, tiers 3.3).
NONE = "NONE"
#: (intent, evidence, question, now, carry) -> prompt; see `answering.answer`.
Asking: TypeAlias = Callable[[Intent, Evidence, str, str, str], Prompt]


class ModelAnswerer:
    """Asks the model; the fallback answers when the model cannot or may not. Whoever listens is told the model's answer as it comes.

    Args:
        skills: The model.
        fallback: The deterministic answerer.
        prompts: How the model is asked, by name of the tier that gathered; MemFlow's way for other tiers.
    """

    def __init__(self, skills: Skills, fallback: Answerer, prompts: Mapping[str, Asking] | None = None) -> None:
        self._skills = skills
        self._fallback = fallback
        self._prompts = prompts or {}

    def answer(self, query: Query, plan: Plan, evidence: Evidence, allowance: Allowance, carry: str = "") -> Draft:
        """Return the model's answer with the memories it named; numbers that name none are left out."""
        if not evidence.items:
            return self._fallback.answer(query, plan, evidence, allowance, carry)
        asking = self._prompts.get(plan.tier, answering.answer)
        prompt = asking(plan.intent, evidence, query.text, query.now, carry)
        reply = self._skills.use("answer", prompt, answering.AnswerReply, allowance, max_tokens=MAX_TOKENS, show="answer")
        if reply is None:
            return self._fallback.answer(query, plan, evidence, allowance, carry)
        draft = drafted(reply, evidence)
        if draft.abstained:
            allowance.tell(Progress("discard"))
        return draft


def drafted(reply: answering.AnswerReply, evidence: Evidence) -> Draft:
    """Return a reply as a draft. Numbers that name no memory are left out; a reply that names none rests on all of them."""
    text = shown(reply.answer)
    if text == NONE:
        text = ""
    if reply.needs_more or not text:
        return Draft(text=text or NOT_IN_MEMORY, abstained=True, source="model")
    used = dict.fromkeys(evidence.items[n].id for n in reply.used if 0 <= n < len(evidence.items))
    return Draft(text=text, short=text, used=tuple(used) or tuple(item.id for item in evidence.items), source="model")
