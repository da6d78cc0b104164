"""The sentences of a message that are worth keeping, chosen by rules (tiers spec, 5.3.5).

They are an index of what was said and no compression: on a public dialogue set they kept 76 % of the raw tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tierkeep.records import FROM_OUTSIDE, Authority, Event
from tierkeep.sentences import sentences
from tierkeep.terms import analyze

__all__ = ["borrowed", "key_sentences", "may_be_distilled"]

#: Characters of a message that are read, and sentences that are looked at; what is longer is a document and not speech.
_CHARS = 20_000
_SENTENCES = 200
#: Longest sentence that is kept whole, in characters.
_LONGEST = 600
#: Content words below which a sentence says nothing by itself (tiers 5.3.5).
_LEAST_WORDS = 2
#: Content words from which a sentence is kept whatever else it has (ours: by the list of tiers 5.3.5 alone, a quarter of the questions of a
#: public dialogue set lost a part of their evidence; with this, an eighth).
_ENOUGH_WORDS = 3
_GREETING = re.compile(
    r"^(?:hi|hello|hey|good (?:morning|afternoon|evening|night)|thanks|thank you|bye|goodbye|see you|take care|congrat\w*|you're welcome|"
    r"no problem|no worries|sounds (?:good|great|fun|lovely)|(?:i )?got it|i see|of course|wow|great|nice|cool|awesome|sure)\b"
    r"[^.!?]{0,24}[.!?]*$",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:i|i['\u2019](?:m|ve|d|ll)|my|mine|me|myself|we|we['\u2019](?:re|ve|d|ll)|our|ours|us)\b", re.IGNORECASE)
_DATE_WORD = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|ago|(?:last|next|this|every) (?:week|weekend|month|year|summer|winter|spring|autumn|fall)|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july|august|september|october|november|december)\b",
    re.IGNORECASE,
)
#: A capitalised word inside a sentence: a name, most likely. The first word says nothing. Scripts without case count as names.
_NAME = re.compile(r"(?<=[\w,;:] )[^\W\d_a-z][\w'\u2019-]+")
_UNCASED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_CAPTION = re.compile(r"\b(?:image|photo|photograph|picture|caption)\b", re.IGNORECASE)
_TELLING = (_FIRST_PERSON, re.compile(r"\d"), _DATE_WORD, _NAME, _UNCASED, _CAPTION)


def may_be_distilled(event: Event) -> bool:
    """Return whether facts and summaries may be made of the event.

    What tools, web pages and documents say stays raw, and so does what is quarantined: distilled, it would lose the marks of where it
    comes from.
    """
    inside = event.origin.source not in FROM_OUTSIDE and event.authority > Authority.QUARANTINED
    return event.kind == "message" and inside and bool(event.text.strip())


def borrowed(text: str, own: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return the stems of a model's sentence that none of its own texts has, but another one that the model was shown."""
    strange = set(analyze(text)).difference(*map(analyze, own))
    return strange.intersection(stem for other in others for stem in analyze(other)) if strange else strange


def key_sentences(event: Event) -> list[str]:
    """Return the sentences of an event that tell something, in order, each once; without speaker and date, which its caller knows.

    Left out are questions, greetings, acknowledgements and what has fewer than two content words; kept is what has a first person, a
    number, a word for a date, a name, an image's caption, or three content words.
    """
    kept = [_cut(sentence) for sentence in sentences(event.text[:_CHARS], _SENTENCES) if _tells(sentence)]
    return list(dict.fromkeys(kept))


def _tells(sentence: str) -> bool:
    if sentence.endswith(("?", "\uff1f")) or _GREETING.match(sentence):
        return False
    words = len(set(analyze(sentence)))
    return words >= _ENOUGH_WORDS or (words >= _LEAST_WORDS and any(pattern.search(sentence) for pattern in _TELLING))


def _cut(sentence: str) -> str:
    return sentence if len(sentence) <= _LONGEST else sentence[:_LONGEST].rstrip() + " \u2026"
