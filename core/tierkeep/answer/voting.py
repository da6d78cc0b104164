"""D-Mem's other gates begin here: several answers from one evidence, and whether they agree (tiers spec, 3.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.allowance import Allowance
from tierkeep.answer.model import MAX_TOKENS, Asking, drafted
from tierkeep.prompts import answering, dmem
from tierkeep.protocols import Answerer
from tierkeep.records import Draft, Evidence, Plan, Query
from tierkeep.settings import DMemSettings
from tierkeep.skills import Skills
from tierkeep.terms import analyze

_JUDGE_TOKENS = 96
_FILLER = re.compile(
    r"\b(?:well|actually|basically|i (?:think|believe|guess)|it (?:seems|appears)|according to|based on|as (?:stated|mentioned)|"
    r"the (?:answer|memories?) (?:is|says?))\b",
    re.IGNORECASE,
)


class VotingAnswerer:
    """Asks for several answers at a temperature and returns one of the largest group, word for word.

    One judge call groups the answers that say the same; it is spared when they are all the same words. Abstentions are a group of their own
    and never agree on an answer. Without the judge, the same content words make a group.

    Args:
        skills: The model.
        once: Answers for other tiers, and when the model cannot be asked.
        asking: Builds the prompt.
        settings: How many answers, and at which temperature.
        unanimous: True for consensus (all agree), False for majority (more than half).
        tier: Name of the tier whose answers are voted on.
    """

    def __init__(
        self, skills: Skills, once: Answerer, asking: Asking, settings: DMemSettings, *, unanimous: bool, tier: str = "facts"
    ) -> None:
        self._skills = skills
        self._once = once
        self._asking = asking
        self._settings = settings
        self._unanimous = unanimous
        self._tier = tier

    def answer(self, query: Query, plan: Plan, evidence: Evidence, allowance: Allowance, carry: str = "") -> Draft:
        """Return one of the drafts; `agreed` says whether enough of them said the same."""
        if plan.tier != self._tier or not evidence.items:
            return self._once.answer(query, plan, evidence, allowance, carry)
        prompt = self._asking(plan.intent, evidence, query.text, query.now, carry)
        drafts: list[Draft] = []
        for _ in range(self._settings.votes):
            reply = self._skills.use(
                "answer", prompt, answering.AnswerReply, allowance, max_tokens=MAX_TOKENS, temperature=self._settings.vote_temperature
            )
            if reply is None:
                break
            drafts.append(drafted(reply, evidence))
        if not drafts:
            return self._once.answer(query, plan, evidence, allowance, carry)
        groups = self._groups(query.text, drafts, allowance)
        group = max(groups, key=lambda places: (len(places), -places[0]))
        needed = self._settings.votes if self._unanimous else self._settings.votes // 2 + 1
        if len(group) >= needed:
            best = drafts[_plainest(group, drafts)]
            return best.model_copy(update={"agreed": not best.abstained})
        first = next((draft for draft in drafts if not draft.abstained), drafts[0])
        return first.model_copy(update={"agreed": False})

    def _groups(self, question: str, drafts: Sequence[Draft], allowance: Allowance) -> list[list[int]]:
        """Return the places of the drafts in groups that say the same; every place in exactly one."""
        answered = [place for place, draft in enumerate(drafts) if not draft.abstained]
        declined = [place for place, draft in enumerate(drafts) if draft.abstained]
        groups = _by_words([drafts[place].text for place in answered])
        if len(groups) > 1:
            prompt = dmem.agree(question, [drafts[place].text for place in answered])
            reply = self._skills.use("judge", prompt, dmem.AgreeReply, allowance, max_tokens=_JUDGE_TOKENS)
            groups = groups if reply is None else _partition(reply.groups, len(answered))
        named = [[answered[n] for n in group] for group in groups]
        return [*named, declined] if declined else named


def _partition(groups: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Return the groups as a partition of 0 to count - 1: unknown numbers dropped, the first group of a number holds, the rest alone."""
    left = dict.fromkeys(range(count))
    found: list[list[int]] = []
    for group in groups:
        own = sorted(n for n in dict.fromkeys(group) if n in left)
        for n in own:
            del left[n]
        if own:
            found.append(own)
    return [*found, *([n] for n in left)]


def _by_words(texts: Sequence[str]) -> list[list[int]]:
    """Return the places of the texts, those with the same content words together."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, text in enumerate(texts):
        groups.setdefault(tuple(sorted(set(analyze(text)))) or (text.casefold(),), []).append(place)
    return list(groups.values())


def _plainest(group: Sequence[int], drafts: Sequence[Draft]) -> int:
    """Return the place of the draft without filler, then the shortest, then the first."""
    return min(group, key=lambda place: (bool(_FILLER.search(drafts[place].text)), len(drafts[place].text), place))
