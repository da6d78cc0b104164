"""Tier 1, profile look-up: no search, only the compiled profile (MemFlow, tiers spec 1.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.allowance import Allowance
from tierkeep.plans import about_another
from tierkeep.protocols import Gathered, View
from tierkeep.records import Hit, Plan, Query, Record
from tierkeep.retrieve.profile import matching
from tierkeep.retrieve.sessions import in_session
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
        hits = current(asked_for(query, plan, view))[: plan.k]
        return Gathered([hit._replace(flag=hit.flag or "PROFILE") for hit in hits], confidence=1.0 if hits else 0.0)


def asked_for(query: Query, plan: Plan, view: View) -> list[Hit]:
    """Return the profile records in any status that the question asks for, best first; of the scope's session, when it has one.

    Where a slot holds many values ("likes", "avoids") and the question names one of them, the others are left out. For a
    constraint, what must not be comes before what is merely liked (tiers spec 1.4).

    Args:
        query: For its scope.
        plan: The question as it is searched for, and what kind of question it is.
        view: The scope.
    """
    question = plan.search_text
    if about_another(question):
        return []
    text = _TIME_WORDS.sub(" ", question)
    asked = set(analyze(text))
    hits = matching(text, view.records(kind="profile", status=None))
    said = {record.id for record in in_session([hit.item for hit in hits if isinstance(hit.item, Record)], query.scope.session, view)}
    hits = [hit for hit in hits if hit.item.id in said]
    if not _WHO.search(question):
        # "What did Ana say?" is not answered by who Ana is: only a question for the slot itself is.
        hits = [hit for hit in hits if _attribute(hit, "profile_kind") not in ("identity", "relation") or asked & _slot(hit)]
    if any(_many(hit) and asked & _value(hit) for hit in hits):
        hits = [hit for hit in hits if not _many(hit) or asked & _value(hit) or _binds(hit)]
    if plan.intent == "constraint":
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


def current(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits that hold now; or, flagged ENDED, those that fit the question better and ended without a successor.

    "Where do I work?" after "I left Acme" is not answered by the next best item, and not by an old message that still says Acme.
    """
    held = [(hit, hit.item) for hit in hits if isinstance(hit.item, Record)]
    holds = [hit for hit, record in held if record.status == "active"]
    keys = {record.key for _, record in held if record.status == "active"}
    best = max((hit.score for hit in holds), default=0.0)
    over = [(hit, record) for hit, record in held if record.status == "retracted" and record.key not in keys]
    ended = [hit for hit, record in over if hit.score > best or (record.attrs.get("single") and hit.score == best)]
    return [hit._replace(flag="ENDED") for hit in ended] or holds
