"""Signals that a text from outside reads like an order to the agent, not like information.

A signal may quarantine what came from outside. It never raises authority, and it never looks at the user's own words (guard spec,
section 9). It is a sieve, not the wall: the wall is that recalled text has no authority to act.
"""

from __future__ import annotations

import re

from tierkeep.records import Authority, EventDraft, Source

#: Origins that anybody could have written.
FROM_OUTSIDE = frozenset({Source.TOOL_UNTRUSTED, Source.WEB, Source.DOCUMENT, Source.PEER_AGENT, Source.UNKNOWN})
#: Characters that are read; an order hidden behind more than this much text has no better chance of being recalled.
_SCAN = 32_768
_SIGNALS = {
    "overrides": re.compile(
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your|other)\b.{0,40}"
        r"\b(?:instructions?|rules?|guidelines?|messages?|prompts?|policy|policies)\b",
        re.I,
    ),
    "poses_as_system": re.compile(
        r"(?:^|\n)\s*[\[<(*#]{0,3}\s*(?:system|developer|admin(?:istrator)?)\s*"
        r"(?:message|prompt|notice|note|override|update|instruction)?\s*[\]>)*]{0,3}\s*:"
        r"|\b(?:system|developer) (?:message|prompt|instruction|notice|override)s?\b|<\|?(?:im_start|system)\|?>",
        re.I,
    ),
    "addresses_agent": re.compile(
        r"\b(?:assistants?|agents?|ai|llm|chatbots?|language models?)\b.{0,60}"
        r"\b(?:must|should|shall|need to|are (?:required|instructed) to|has to|have to|will now)\b",
        re.I,
    ),
    "plants_memory": re.compile(
        r"\b(?:remember|memori[sz]e|store|save|note|record|add)\b.{0,60}"
        r"\b(?:in(?:to)? (?:your |the |long-term |user )*(?:memory|memories|profile)|"
        r"for (?:all )?(?:future|later)|permanently|from now on|as (?:a )?(?:fact|preference|instruction|rule))\b",
        re.I,
    ),
    "standing_order": re.compile(
        r"\b(?:from now on|in (?:all )?future (?:conversations?|sessions?|chats?|answers?|replies)"
        r"|whenever (?:the|a) user|every time (?:the|a) user)\b",
        re.I,
    ),
    "secrecy": re.compile(
        r"\b(?:do not|don't|never) (?:tell|mention|reveal|inform|alert|notify|show)\b.{0,40}"
        r"\b(?:user|anyone|anybody|human|owner|them)\b",
        re.I,
    ),
    "exfiltrates": re.compile(
        r"\b(?:send|forward|post|upload|transmit|email|exfiltrate|submit)\b.{0,60}"
        r"\b(?:user(?:'s)?|their|profile|conversation|memory|memories|credentials?|passwords?|history|personal data)\b"
        r".{0,60}\b(?:to|at)\b",
        re.I,
    ),
}


def signals(text: str) -> tuple[str, ...]:
    """Return the names of the signals that the text gives, in a fixed order. Linear in the text."""
    head = text[:_SCAN]
    return tuple(name for name, pattern in _SIGNALS.items() if pattern.search(head))


class ScreeningGuard:
    """Quarantines what came from outside and reads like an order. The text is kept, inspectable, and not recalled."""

    def __init__(self, needed: int = 1) -> None:
        """Quarantine from `needed` distinct signals on."""
        self._needed = needed

    def admit(self, draft: EventDraft) -> EventDraft:
        """Return the draft, quarantined when it gives signals and its origin is outside."""
        if draft.origin.source not in FROM_OUTSIDE:
            return draft
        found = signals(draft.text)
        if len(found) < self._needed:
            return draft
        meta = {**draft.meta, "tierkeep.signals": list(found)}
        return draft.model_copy(update={"authority": Authority.QUARANTINED, "meta": meta})
