"""Signals that a text from outside reads like an order to the agent, not like information.

A signal may quarantine what came from outside or stood in a memory file. It never raises authority, and it never looks at the user's
own words (guard spec, section 9). It is a sieve, not the wall: the wall is that recalled text has no authority to act.

What is read is what a prompt would show and what a reader would take it for (`rendering`): an order is not hidden by invisible
characters, look-alike letters or line ends.
"""

from __future__ import annotations

import re

from tierkeep import rendering
from tierkeep.guard.encoded import hidden
from tierkeep.guard.orders import orders
from tierkeep.records import FROM_OUTSIDE, MEMORY_FILE, Authority, EventDraft, Scope

#: Visible characters that are read; an order hidden behind more than this much text has no better chance of being recalled.
_SCAN = 32_768
_SIGNALS = {
    "overrides": re.compile(
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your|other)\b.{0,40}"
        r"\b(?:instructions?|rules?|guidelines?|messages?|prompts?|policy|policies)\b",
        re.I,
    ),
    # At the beginning of a line, behind marks. Possessive, and from the first blank of a run, to stay linear in hostile white space.
    "poses_as_system": re.compile(
        r"(?:^\s*+|(?<!\s)[^\S\n]*+\n\s*+)[\[<(*#]{0,3}+\s*+(?:system|developer|admin(?:istrator)?)\s*+"
        r"(?:message|prompt|notice|note|override|update|instruction)?\s*+[\]>)*]{0,3}+\s*+:"
        r"|\b(?:system|developer) (?:message|prompt|instruction|notice|override)s?\b|<\|?(?:im_start|system)\|?>",
        re.I,
    ),
    "addresses_agent": re.compile(
        r"\b(?:ai|llms?|chatbots?|language models?)\b.{0,60}"
        r"\b(?:must|should|shall|need to|are (?:required|instructed) to|has to|have to|will now)\b"
        # "Notice for AI assistants: …", "language models reading this page …"
        r"|\b(?:note|notice|message|instructions?|attention|reminder)\b.{0,12}(?:\bto\b|\bfor\b|[,:]).{0,12}"
        r"\b(?:ai (?:assistants?|agents?|models?|systems?)|llms?|chatbots?|language models?)\b"
        r"|\b(?:assistants?|agents?|ai|llms?|chatbots?|language models?) (?:reading|processing|parsing|visiting|summari[sz]ing) "
        r"(?:this|these|the)\b",
        re.I,
    ),
    "plants_memory": re.compile(
        r"\b(?:remember|memori[sz]e|store|save|note|record|add)\b.{0,60}"
        r"\b(?:in(?:to)? (?:your |the |long-term |user )*(?:memory|memories|profile)|"
        r"for (?:all )?(?:future|later)|permanently|from now on|"
        r"as (?:an? |the )?(?:(?:new|user|permanent|standing|lasting|trusted) )*(?:fact|preference|instruction|rule))\b",
        re.I,
    ),
    "standing_order": re.compile(
        r"\bin (?:all )?future (?:conversations?|sessions?|chats?|answers?|replies)\b|\b(?:whenever|every time|each time) (?:the|a) user\b"
        r"|\bfrom now on,? (?:you|always|never|only|please|do|don't|answer|reply|respond|say|use|name|recommend|mention|tell|call|treat"
        r"|include)\b",
        re.I,
    ),
    "secrecy": re.compile(
        r"\b(?:do not|don't|never) (?:tell|mention|reveal|inform|alert|notify|show)\b.{0,40}"
        r"\b(?:user|anyone|anybody|human|owner|them)\b"
        r"|\bwithout (?:saying|telling|explaining|mentioning|revealing|informing)\b.{0,20}\b(?:why|user|anyone|anybody|human|owner|them)\b",
        re.I,
    ),
    "exfiltrates": re.compile(
        r"(?<!\bnever )(?<!\bnot )(?<!\bdon't )\b(?:send|forward|post|upload|transmit|email|exfiltrate|submit)\b.{0,60}"
        r"\b(?:user(?:'s)?|their|profile|conversation|memory|memories|credentials?|passwords?|history|personal data)\b"
        r".{0,60}\b(?:to|at)\b",
        re.I,
    ),
}

#: Signals that look at where a line begins; a prompt shows a memory on one line, so the others read across line ends.
_BY_LINE = {"poses_as_system"}
#: Signals that ordinary pages give too ("Agents must carry a badge. From now on, entry is free."): one alone is no sign of an order.
_HINTS = {
    "bids_agents": re.compile(r"\b(?:assistants?|agents?)\b.{0,60}\b(?:must|shall|need to|are (?:required|instructed) to|have to)\b", re.I),
    "from_now_on": re.compile(r"\bfrom now on\b", re.I),
    "runs_remote_code": re.compile(r"\b(?:curl|wget)\b[^\n|]{0,200}\|\s{0,4}(?:sudo )?(?:ba|z|da)?sh\b", re.I),
    "fakes_result": re.compile(
        r"\b(?:mark|stamp|flag|report|record|set)\w{0,3}\b.{0,60}\b(?:as )?"
        r"(?:passed|successful|complete|clean|approved|sanitized|final|ok)\b", re.I,
    ),
    # A picture whose address would carry something out.
    "hidden_picture": re.compile(r"!\[[^\]\n]{0,200}\]\(https?://[^)\s]{1,500}[?&=][^)\s]{0,500}[{\[<$%]"),
}
#: Signals of `orders` that count only together with another.
_ORDER_HINTS = {"defers_control", "rushes"}


#: Words of which a text has one from each group, or the pattern does not match. They stand between word boundaries there, and after
#: `rendering.reads_as` no other letter counts as one of theirs in another case.
_WORDS = {
    name: tuple(frozenset(group.split()) for group in groups)
    for name, groups in {
        "overrides": ("ignore disregard forget override",
                      "instruction instructions rule rules guideline guidelines message messages prompt prompts policy policies"),
        "addresses_agent": ("ai llm llms chatbot chatbots language assistant assistants agent agents",),
        "plants_memory": ("remember memorise memorize store save note record add",
                          "in into for permanently from as"),
        "standing_order": ("in whenever every each from", "future user now"),
        "secrecy": ("not don never without",
                    "tell mention reveal inform alert notify show saying telling explaining mentioning revealing informing"),
        "exfiltrates": ("send forward post upload transmit email exfiltrate submit",
                        "user their profile conversation memory memories credential credentials password passwords history personal",
                        "to at"),
        "bids_agents": ("assistant assistants agent agents", "must shall need are have"),
        "from_now_on": ("from", "now"),
        "runs_remote_code": ("curl wget",),
        "fakes_result": ("passed successful complete clean approved sanitized final ok",),
    }.items()
}  # fmt: skip
_WORD = re.compile(r"\w+")
#: Parts of words, for the patterns that ask for no whole ones.
_PARTS = {"poses_as_system": ("system", "developer", "admin", "im_start"), "hidden_picture": ("![",)}

#: Characters that show as nothing or as a gap: between letters they hide a word, between words they stand for the space.
_FILLERS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\u2800\u3164\ufeff\uffa0]+"
)


def signals(text: str) -> tuple[str, ...]:
    """Return the names of the signals that the text gives, in a fixed order. Linear in the text.

    One telling signal is enough; hints count only together. What the text hides in base64 is read as well.
    """
    found = _signals(text)
    gapped = text if text.isascii() else _FILLERS.sub(" ", text)
    found = found or (_signals(gapped) if gapped != text else ())
    if not found:
        inner = " \n".join(run.text for run in hidden(text[:_SCAN]))
        found = _signals(inner) if inner else ()
    return found


def _signals(text: str) -> tuple[str, ...]:
    lines = rendering.reads_as(rendering.lines_of(text)[:_SCAN])
    flat = lines.replace("\n", " ")
    small = flat.lower()
    words = set(_WORD.findall(small))

    def gives(name: str, pattern: re.Pattern[str]) -> bool:
        if any(map(words.isdisjoint, _WORDS.get(name, ()))) or not any(part in small for part in _PARTS.get(name, ("",))):
            return False
        return pattern.search(lines if name in _BY_LINE else flat) is not None

    found = dict.fromkeys(name for name, pattern in _SIGNALS.items() if gives(name, pattern))
    hints = dict.fromkeys(name for name, pattern in _HINTS.items() if gives(name, pattern))
    for name in orders(lines):
        (hints if name in _ORDER_HINTS else found)[name] = None
    return (*found, *hints) if found or len(hints) > 1 else ()


class ScreeningGuard:
    """Quarantines what came from outside and reads like an order. The text is kept, inspectable, and not recalled."""

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft, quarantined when it gives signals and its origin is outside, or a memory file."""
        if draft.origin.source not in FROM_OUTSIDE and draft.origin.channel != MEMORY_FILE:
            return draft
        found = signals(draft.text)
        if not found:
            return draft
        meta = {**draft.meta, "tierkeep.signals": list(found)}
        return draft.model_copy(update={"authority": Authority.QUARANTINED, "meta": meta})
