"""Times in languages other than English: one table of words and patterns for each, read by the same few functions.

A language's rules run only on a text that shows it: on its script, or on more of its own function and time words than English ones.
What was said of English holds for all: a bounded pattern takes a constant number of steps at one position, and nothing is more precise than
its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from itertools import islice
from typing import NamedTuple

from tierkeep.dates.absolute import Context
from tierkeep.dates.languages.arabic import ARABIC
from tierkeep.dates.languages.east_asian import EAST_ASIAN
from tierkeep.dates.languages.german import GERMAN
from tierkeep.dates.languages.lexis import Lexis, widely_folded
from tierkeep.dates.languages.readers import calendar_parts, written
from tierkeep.dates.languages.spanish import SPANISH
from tierkeep.dates.rule import MAX_MATCHES, Found
from tierkeep.dates.tense import Tense
from tierkeep.terms.evidence import MARKERS, evident

__all__ = ["CalendarDate", "calendar_dates", "find_foreign", "looks"]

_BY_SCRIPT = ((re.compile("[\u0621-\u064a\u0660-\u0669]"), ARABIC), (re.compile("[\u4e00-\u9fff\u3041-\u3096]"), EAST_ASIAN))
_BY_WORDS = {"german": GERMAN, "spanish": SPANISH}
_NAMED = re.compile(r"[^\W\d_]+")


class CalendarDate(NamedTuple):
    """A date as it is written, 0 for what is not: year, month, first and last day; and "early", "mid" or "late" of a month."""

    year: int
    month: int
    first: int
    last: int
    part: str


def find_foreign(text: str, anchor: date) -> list[Found]:
    """What the rules of the languages that the text shows recognise in it, said on the anchor."""
    lexes = list(_shown(text))
    if not lexes:
        return []
    folded = widely_folded(text)
    return [found for lexis in lexes for rule in lexis.rules for found in rule.find(Context(text, folded, anchor, lexis.cues))]


def calendar_dates(text: str) -> list[CalendarDate]:
    """The dates, months and years that are written in the languages that the text shows, in text order and not overlapping."""
    found: list[tuple[int, int, CalendarDate]] = []
    for lexis in _shown(text):
        folded = widely_folded(text)
        for rule, (_, reader) in zip(lexis.rules, lexis.patterns, strict=True):
            matches = islice(rule.pattern.finditer(folded), MAX_MATCHES) if reader is written else ()
            for match in matches:
                with suppress(ValueError):  # a number that is none, such as "two or three"
                    found.append((match.start(), -match.end(), CalendarDate(*calendar_parts(lexis, match))))
    kept: list[CalendarDate] = []
    floor = 0
    for start, end, when in sorted(found, key=lambda one: one[:2]):
        if start >= floor:
            kept.append(when)
            floor = -end
    return kept


def looks(text: str) -> Tense:
    """Which way a text of such a language looks: ahead, back, or neither for one that says nothing or both."""
    folded = widely_folded(text)
    for lexis in _shown(text):
        ahead, behind = lexis.cues.future.search(folded) is not None, lexis.cues.past.search(folded) is not None
        if ahead != behind:
            return Tense.FUTURE if ahead else Tense.PAST
    return Tense.NONE


def _shown(text: str) -> Iterator[Lexis]:
    if not text.isascii():
        yield from (lexis for script, lexis in _BY_SCRIPT if script.search(text))
    words = {word.lower() for word in _NAMED.findall(text)}
    if not MARKERS.isdisjoint(words) and (lexis := _BY_WORDS.get(evident(text) or "")) is not None:
        yield lexis
