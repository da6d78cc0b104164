"""Words of a text that is evidently German, Spanish, French, Portuguese, Italian or Dutch, to terms.

A word becomes its English-chain term and, where that differs, the stem of its own language. The first is what a question too short to tell
its language has; the second joins inflected forms. Base forms are often their own stem, so the two meet as well.
"""

from __future__ import annotations

from functools import lru_cache

from tierkeep.terms.english import english_term
from tierkeep.terms.stemming import MAX_CACHED, MAX_WORD, fold, stemmer
from tierkeep.terms.stopwords import STOP

__all__ = ["latin_terms"]

#: What stands before an apostrophe and is an article or a pronoun: l'amie, dell'acqua, qu'il.
_ELIDED = frozenset("l d j m t s n c qu un all dell nell sull dall quest quell gli".split())
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


@lru_cache(maxsize=MAX_CACHED)
def latin_terms(word: str, language: str) -> tuple[str, ...]:
    """The terms of one case-folded word of that language, the English chain's first; none for a stop word."""
    if len(word) > MAX_WORD:
        return (word[:MAX_WORD],)
    head, mark, tail = word.partition("'")
    if mark and tail and head in _ELIDED and language in ("french", "italian"):
        word = tail
    if word in STOP[language]:
        return ()
    plain = english_term(word)
    if len(fold(word)) < 2 or "'" in word:
        return (plain,) if plain else ()
    own = fold(stemmer(language)(word.replace("ae", "ä").replace("oe", "ö") if language == "german" else word))
    return tuple(dict.fromkeys(term for term in (plain, own) if term))
