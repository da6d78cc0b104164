"""Words in Arabic letters to terms: a light stemmer.

After light10 (Larkey, Ballesteros and Connell, "Light stemming for Arabic information retrieval", 2007), which finds more than stemmers
that look for roots, with possessive endings on a feminine noun and verb prefixes beside it. Snowball's Arabic stemmer was tried: it takes
the letters waw and seen off words that begin with them, so that one noun ends up under three stems.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tierkeep.terms.stemming import MAX_CACHED, MAX_WORD
from tierkeep.terms.stopwords import ARABIC_STOP

__all__ = ["arabic_terms", "is_arabic", "without_diacritics"]

_LETTERS = re.compile("[\u0600-\u06ff]")
_SILENT = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+")
#: Alef with hamza, madda or wasla; alef maksura and Persian yeh; ta marbuta; waw and yeh with hamza; Persian kaf.
_ALIKE = str.maketrans("\u0622\u0623\u0625\u0671\u0649\u06cc\u0629\u0624\u0626\u06a9", "اااايي\u0647ويك")
_ALEF = str.maketrans("\u0622\u0623\u0625\u0671", "اااا")
_LEAST = 3  # letters of a stem
_ARTICLES = ("وبال", "وكال", "ولل", "وال", "فال", "بال", "كال", "لل", "ال")
_ENDINGS = ("تها", "تهم", "تنا", "تكم", "ته", "تك", "تي", "ها", "هم", "كم", "نا", "ات", "ان", "ون", "ين", "وا", "يه", "ه", "ي", "ت")
#: Particles that are written as part of a word, and the persons of a verb in the present; the words of many nouns begin with them too.
_PREFIXES = ("سي", "سا", "ست", "سن", "و", "ف", "ب", "ل", "ك", "ي", "ت", "ن")


def is_arabic(character: str) -> bool:
    """Whether the character is of the Arabic block."""
    return "\u0600" <= character <= "\u06ff"


def without_diacritics(text: str) -> str:
    """The text without vowel signs and without the stroke that widens words; Arabic is written with or without them. Linear."""
    return _SILENT.sub("", text) if _LETTERS.search(text) else text


@lru_cache(maxsize=MAX_CACHED)
def arabic_terms(word: str) -> tuple[str, ...]:
    """The terms of one word without diacritics: its light stem and, when that begins with what may be a particle or a person, the rest.

    None for a stop word.
    """
    if len(word) > MAX_WORD:
        return (word[:MAX_WORD],)
    if word.translate(_ALEF) in ARABIC_STOP or len(word) < 2:
        return ()
    stem = _without_ending(_without_article(word.translate(_ALIKE)))
    first_person = word[0] == "\u0623" and stem[0] == "ا"
    rest = stem[1:] if first_person else next((stem[len(prefix) :] for prefix in _PREFIXES if stem.startswith(prefix)), "")
    return (stem, rest) if len(rest) >= _LEAST else (stem,)


def _without_article(word: str) -> str:
    for article in _ARTICLES:
        if word.startswith(article) and len(word) - len(article) >= _LEAST - 1:
            return word[len(article) :]
    return word


def _without_ending(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST:
            return word[: -len(ending)]
    return word
