"""A question as lexical retrieval sees it: term ids, whether it is about the asker, the dates it names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tierkeep.dates.languages import calendar_dates
from tierkeep.terms import term_ids
from tierkeep.terms.evidence import evident

__all__ = ["DateWords", "Question", "read_question"]

_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), start=1)}
_SHORT = {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_MONTH = "|".join([*_MONTHS, *_SHORT])
_THIRDS = {"early": 0, "beginning": 0, "start": 0, "mid": 1, "middle": 1, "late": 2, "end": 2}
_THIRD_DAYS = (range(1, 11), range(11, 21), range(21, 32))
_MONTH_FIRST = re.compile(
    rf"(?:\b({'|'.join(_THIRDS)})(?: of)?[ -]{{1,3}})?\b({_MONTH})\b\.?(?: {{1,3}}(?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\b)?",
    re.IGNORECASE,
)
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? {{1,3}}(?:of )?({_MONTH})\b", re.IGNORECASE)
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})(?:-(\d{1,2}))?\b")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_FIRST_PERSON = re.compile(r"\b(?:I|[Mm]y|[Mm]e|[Mm]ine|[Mm]yself|[Ww]e|[Oo]ur)\b")
#: The same in other languages: by script, and where the words are English or names too, only in a text of that language.
_FIRST_PERSON_ANYWHERE = re.compile(
    "[我咱俺僕]|私(?![人立有下密])|わたし|ぼく|ボク|オレ|自分"
    r"|(?<!\w)(?:[وف]?(?:أنا|انا|نحن|لي|لَيّ|عندي|لدي|مني|معي|لنا|عندنا)|(?!التي)\w{2,10}تي|[أا]خ[ت]?ي|[أا]مي|[أا]بي|صديقي|زوجي|بيتي|عملي)(?!\w)"
    r"|\b(?:[Ii]ch|mich|mir|[Mm]eine?[nrms]?|uns|[Uu]nsere?[nrms]?)\b"
)
_FIRST_PERSON_IN = {
    "german": re.compile(r"\b[Ww]ir\b"),
    "spanish": re.compile(
        r"\b(?:yo|mis?|mí|míos?|mías?|me|conmigo|nosotr[oa]s|nuestr[oa]s?|nos|soy|estoy|vivo|tengo|trabajo|fui|fuimos|hice|hicimos|tuve|estuve|puedo|debo|"
        r"quiero|prefiero|llamo)\b",
        re.IGNORECASE,
    ),
}
_PARTS = {"early": 0, "mid": 1, "late": 2}
_MAX_CHARS = 20_000  # of a question; dates and persons further on are not looked for
_MAX_TERMS = 512  # distinct terms of a question; more can only be a pasted document, and each costs a lookup


@dataclass(frozen=True, slots=True)
class DateWords:
    """Calendar words of a question. A day always has its month; any part may be empty."""

    years: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    days: frozenset[tuple[int, int]] = frozenset()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.years or self.months or self.days)


@dataclass(frozen=True, slots=True)
class Question:
    """Term ids of the question, shape (terms,), distinct and in order; first person or not; its calendar words."""

    terms: NDArray[np.uint32]
    first_person: bool = False
    dates: DateWords = field(default_factory=DateWords)


def _month(word: str) -> int:
    """The month a word names, 0 for the everyday words `may`, `march`, `mar` and the like in lower case."""
    lowered = word.lower()
    if word[0].islower() and lowered in {"may", "march", "mar", "jan", "dec", "sep", "sept", "apr", "jun", "jul"}:
        return 0
    return _MONTHS.get(lowered, _SHORT.get(lowered, 0))


def _calendar(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def _dates(text: str) -> DateWords:
    """The calendar words of a text; linear in its length."""
    pairs: list[tuple[int, int]] = []
    for third, name, day in _MONTH_FIRST.findall(text):
        month = _month(name)
        spread = _THIRD_DAYS[_THIRDS[third.lower()]] if third and not day else (int(day or 0),)
        pairs += [(month, of_month) for of_month in spread]
    # "5 may" can only be a date, so the month after a number needs no capital.
    pairs += [(_month(name.title()), int(day)) for day, name in _DAY_FIRST.findall(text)]
    iso = _ISO.findall(text)
    pairs += [(int(month), int(day or 0)) for _, month, day in iso]
    elsewhere = calendar_dates(text)
    for written in elsewhere:
        spread = _THIRD_DAYS[_PARTS[written.part]] if written.part and not written.first else range(written.first, written.last + 1)
        pairs += [(written.month, of_month) for of_month in spread[:31] if written.month]
    days = {(month, day) for month, day in pairs if _calendar(month, day)}
    # A month that is only there as part of a day is not asked for as a whole.
    months = {month for month, day in pairs if 1 <= month <= 12 and not day} - {month for month, _ in days}
    years = {*map(int, _YEAR.findall(text)), *(written.year for written in elsewhere if written.year)}
    return DateWords(frozenset(years), frozenset(months), frozenset(days))


def _first_person(text: str) -> bool:
    if _FIRST_PERSON.search(text) or _FIRST_PERSON_ANYWHERE.search(text):
        return True
    spoken = _FIRST_PERSON_IN.get(evident(text) or "")
    return spoken is not None and spoken.search(text) is not None


def read_question(text: str, language: str = "english") -> Question:
    """The question's terms, person and dates, from its wording alone."""
    terms = list(dict.fromkeys(term_ids(text, language).tolist()))[:_MAX_TERMS]
    head = text[:_MAX_CHARS]
    return Question(np.array(terms, np.uint32), _first_person(head), _dates(head))
