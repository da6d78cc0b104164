"""Which language a text in Latin letters is evidently written in, from its own function words.

A wrong guess costs more than none: what is not evident is analysed as English, which finds the words as they stand. So English wins
whenever its function words are as many, one word alone proves nothing, and words that two languages share count little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from tierkeep.terms.english import ENGLISH_STOP
from tierkeep.terms.stopwords import HINTS, STOP, WEAK

__all__ = ["MARKERS", "evident", "language_of", "words_of"]

_LOOKED_AT = 200  # words of a text: more of them add nothing
_WEAK = 0.34  # three words that are weak evidence are some
_SPREAD = 12  # distinct words that one sure function word may stand for: a list of names has none
_WORDS = re.compile(r"[^\W\d_]+|[¿¡]")

_SIGNS = {"spanish": {"¿", "¡"}}
_EVIDENCE = {
    name: {
        word: _WEAK if word in WEAK else 1.0
        for word in sorted(stop | HINTS.get(name, frozenset()) | _SIGNS.get(name, set()))
        if len(word) > 1 or not word.isalpha()  # a letter is a label, a variable, an initial
    }
    for name, stop in STOP.items()
}
MARKERS = frozenset(word for words in _EVIDENCE.values() for word in words) - ENGLISH_STOP
"""Words one of which a text must have before any language but English is thought of."""


def words_of(text: str) -> list[str]:
    """The first words of a text in lower case, and the marks that open Spanish questions."""
    return [match[0].lower() for match in islice(_WORDS.finditer(text), _LOOKED_AT)]


def language_of(words: Iterable[str], least: float = 1.0) -> str | None:
    """The language that the words are evidently in, by its Snowball name; None for English and for what is not evident.

    Args:
        words: Words of one text, in lower case; the first 200 are looked at.
        least: Evidence below which nothing is evident; one sure function word or time word is 1. Texts of fewer than two
            words need `least` below 1 to count at all.
    """
    spoken = set(islice(words, _LOOKED_AT))
    if MARKERS.isdisjoint(spoken):
        return None
    english = ENGLISH_STOP & spoken
    best, most = None, 0.0
    for name, known in _EVIDENCE.items():
        found = known.keys() & spoken
        weight = sum(known[word] for word in sorted(found))
        shared = len(english & found)
        if weight > most and weight > len(english) - shared + _WEAK * shared:
            best, most = name, weight
    if least >= 1 and (len(spoken) < 2 or len(spoken) > _SPREAD * most):
        return None
    return best if most >= least else None


def evident(text: str) -> str | None:
    """`language_of` for a whole text, on the slightest evidence: for readers that need words of that language anyway."""
    return language_of(words_of(text), least=0.1)
