"""Matching profile records to a question, by the words that ask for their slot."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tierkeep.plans import asks_for_advice
from tierkeep.records import FROM_USER, Hit, Record
from tierkeep.terms import analyze

_FIRST_PERSON = re.compile(r"\b(?:i|my|me|mine|myself|we|our|us)\b", re.IGNORECASE)
_BINDS = 2.0


def matching(question: str, records: Iterable[Record]) -> list[Hit]:
    """Return the profile records that the question asks for, best first.

    A record matches when the question uses a word that asks for its slot or one of its value, and is about its subject: the
    asker ("my", "I") for what the user said about themselves, or the subject's name. A question for advice also gets every
    allergy and diet of the asker.

    Args:
        question: As asked.
        records: Records of kind "profile", in any status.
    """
    asked = set(analyze(question))
    advice = asks_for_advice(question)
    first_person = advice or bool(_FIRST_PERSON.search(question))
    hits = []
    for order, record in enumerate(records):
        if record.attrs.get("marker"):
            continue  # it only remembers that something ended
        worth = _worth(asked, first_person, record)
        binds = record.attrs.get("profile_kind") == "constraint" or record.attrs.get("slot") == "avoids"
        if advice and binds and record.origin.source in FROM_USER:
            worth += _BINDS  # nobody says "mind my allergy" with every question
        if worth > 0:
            hits.append((-worth, order, record))
    return [Hit(record, -worth) for worth, _, record in sorted(hits, key=lambda hit: hit[:2])]


def _worth(asked: set[str], first_person: bool, record: Record) -> float:
    subject = set(analyze(str(record.attrs.get("subject", ""))))
    about_asker = first_person and record.origin.source in FROM_USER
    if not about_asker and not (subject and subject <= asked):
        return 0.0
    words = asked - subject
    slot = set(analyze(f"{record.attrs.get('slot', '')} {record.attrs.get('asked_by', '')}"))
    value = set(analyze(str(record.attrs.get("value", ""))))
    return 1.0 * len(words & slot) + 1.5 * len(words & value)
