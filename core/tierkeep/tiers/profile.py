"""Tier 1, profile look-up: no search, only the compiled profile (MemFlow, tiers spec 1.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tierkeep.allowance import Allowance
from tierkeep.plans import about_another
from tierkeep.protocols import Gathered, View
from tierkeep.records import Hit, Intent, Plan, Query, Record
from tierkeep.retrieve.profile import matching
from tierkeep.terms import analyze

#: They say which value is wanted, not of what.
_TIME_WORDS = re.compile(r"\b(?:now|nowadays|currently|today|at the moment|these days|still)\b", re.IGNORECASE)
_WHO = re.compile(r"\bwho\b", re.IGNORECASE)


class ProfileTier:
    """Answers from what the user said about themselves. Empty when the profile has nothing for what is asked."""

    name = "profile"
    weight = 1

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return the current profile items that the question asks for."""
        hits = _current(asked_for(plan.search_text, plan.intent, view.records(kind="profile", status=None)))[: plan.k]
        if query.scope.session is not None:
            sources = [source for hit in hits if isinstance(hit.item, Record) for source in hit.item.sources]
            own = {event.id for event in view.events(sources) if event.session == query.scope.session}
            hits = [hit for hit in hits if isinstance(hit.item, Record) and own & set(hit.item.sources)]
        return Gathered([hit._replace(flag="PROFILE") for hit in hits], confidence=1.0 if hits else 0.0)


def asked_for(question: str, intent: Intent, records: Iterable[Record]) -> list[Hit]:
    """Return the profile records that the question asks for, best first.

    Where a slot holds many values ("likes", "avoids") and the question names one of them, the others are left out. For a
    constraint, what must not be comes before what is merely liked (tiers spec 1.4).

    Args:
        question: As asked.
        intent: What kind of question it is.
        records: Records of kind "profile", in any status.
    """
    if about_another(question):
        return []
    text = _TIME_WORDS.sub(" ", question)
    asked = set(analyze(text))
    hits = [hit for hit in matching(text, records) if isinstance(hit.item, Record)]
    if not _WHO.search(question):
        # "What did Ana say?" is not answered by who Ana is: only a question for the slot itself is.
        hits = [hit for hit in hits if _attribute(hit, "profile_kind") not in ("identity", "relation") or asked & _slot(hit)]
    if any(_many(hit) and asked & _value(hit) for hit in hits):
        hits = [hit for hit in hits if not _many(hit) or asked & _value(hit) or _binds(hit)]
    if intent == "constraint":
        hits = [hit._replace(score=hit.score + 100.0 * _binds(hit)) for hit in hits]
        hits.sort(key=lambda hit: -hit.score)
    return hits


def _attribute(hit: Hit, name: str) -> object:
    return hit.item.attrs.get(name) if isinstance(hit.item, Record) else None


def _many(hit: Hit) -> bool:
    return not _attribute(hit, "single")


def _binds(hit: Hit) -> bool:
    return _attribute(hit, "profile_kind") == "constraint"


def _slot(hit: Hit) -> set[str]:
    return set(analyze(f"{_attribute(hit, 'slot')} {_attribute(hit, 'asked_by')}"))


def _value(hit: Hit) -> set[str]:
    return set(analyze(str(_attribute(hit, "value") or "")))


def _current(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits that hold now, or none when what fits the question best is a single value that ended without a successor.

    "Where do I work?" after "I left Acme" is not answered by the next best item; the heavier tiers look at what was said since.
    """
    held = [(hit, hit.item) for hit in hits if isinstance(hit.item, Record)]
    holds = [hit for hit, record in held if record.status == "active"]
    keys = {record.key for _, record in held if record.status == "active"}
    best = max((hit.score for hit in holds), default=0.0)
    for hit, record in held:
        ended = record.status == "retracted" and record.attrs.get("single") and record.key not in keys
        if ended and hit.score >= best:
            return []
    return holds
