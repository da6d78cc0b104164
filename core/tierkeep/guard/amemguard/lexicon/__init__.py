"""Words that say what a memory would have an agent do, in five languages: actions, safeguards, what takes them away, and what denies it.

All languages are read at once: whoever writes to a memory also picks the language, and a text that seems to be in one must not hide an
order in another. So a word stands here only when it means nothing else that matters in the other languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from tierkeep import rendering
from tierkeep.guard.amemguard.lexicon.chinese import CHINESE
from tierkeep.guard.amemguard.lexicon.english import ENGLISH
from tierkeep.guard.amemguard.lexicon.french import FRENCH
from tierkeep.guard.amemguard.lexicon.german import GERMAN
from tierkeep.guard.amemguard.lexicon.lexis import Lexis
from tierkeep.guard.amemguard.lexicon.spanish import SPANISH

__all__ = ["Sign", "folded", "signs"]

#: Letters that an inflected word, or a compound that begins with it, may have more than its stem.
_ENDING = 12
#: Characters of a stem by which it is found.
_HEAD = 2
#: Distinct words whose signs are remembered, about 5 MB.
_REMEMBERED = 32_768
_HAN = re.compile("[\u3400-\u9fff]+")
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W\d_\u3400-\u9fff][^\W\u3400-\u9fff]*(?:'[^\W\d_]+)?")


class Sign(NamedTuple):
    """What one word may stand for.

    Attributes:
        slot: action, control, weaken, deny, need, wide or condition.
        concept: Its name in the lexicon, in English.
    """

    slot: str
    concept: str


def folded(text: str) -> str:
    """Return the text as words are looked up: what a reader takes it for, in lower case."""
    return rendering.reads_as(rendering.visible(text)).casefold().replace("\u2019", "'")


def signs(text: str) -> Iterator[tuple[str, tuple[Sign, ...]]]:
    """Yield each word of a folded text with what it may stand for, in order. Linear."""
    for match in _WORD.finditer(text):
        if _HAN.match(match[0]):
            yield from ((found[0], _PHRASES[found[0]]) for found in _HAN_FORMS.finditer(match[0]))
        else:
            yield match[0], _of(match[0])


@lru_cache(maxsize=_REMEMBERED)
def _of(word: str) -> tuple[Sign, ...]:
    found = list(_EXACT.get(word, ()))
    for stem, sign in _STEMS.get(word[:_HEAD], ()):
        if word.startswith(stem) and len(word) <= len(stem) + _ENDING:
            found.append(sign)
    return tuple(dict.fromkeys(found))


def _tables(
    lexes: tuple[Lexis, ...],
) -> tuple[Mapping[str, tuple[Sign, ...]], Mapping[str, tuple[tuple[str, Sign], ...]], Mapping[str, tuple[Sign, ...]]]:
    exact: dict[str, tuple[Sign, ...]] = {}
    stems: dict[str, tuple[tuple[str, Sign], ...]] = {}
    phrases: dict[str, tuple[Sign, ...]] = {}
    for lexis in lexes:
        for sign, form in ((Sign(slot, concept), form) for slot, concept, form in lexis.forms()):
            word = folded(form)
            if _HAN.match(word):
                phrases[word] = (*phrases.get(word, ()), sign)
            elif word.endswith("*"):
                stem = word[:-1]
                stems[stem[:_HEAD]] = (*stems.get(stem[:_HEAD], ()), (stem, sign))
            else:
                exact[word] = (*exact.get(word, ()), sign)
    return exact, stems, phrases


_EXACT, _STEMS, _PHRASES = _tables((ENGLISH, GERMAN, SPANISH, FRENCH, CHINESE))
_HAN_FORMS = re.compile("|".join(sorted(_PHRASES, key=lambda form: (-len(form), form))))
