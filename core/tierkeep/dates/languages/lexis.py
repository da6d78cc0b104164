"""What the readers know of one language: tables from its words to days, numbers, units and months, and its rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tierkeep.dates.absolute import Context
from tierkeep.dates.rule import Found, Rule
from tierkeep.dates.spans import Unit
from tierkeep.dates.tense import Cues

__all__ = ["FOLDING", "Lexis", "Reader", "forms", "widely_folded"]

Reader = Callable[["Lexis", Context, re.Match[str]], Found | None]
"""Computes what a match of one of a language's patterns stands for."""

#: One character to one, so that offsets stay: capitals of Latin letters, Arabic alef and yeh forms, ta marbuta, digits of all widths.
FOLDING = str.maketrans(
    "ÄÖÜÁÉÍÓÚÑÀÈÌÒÙÂÊÎÔÛÇ\u2019\u2018\u3000\u0622\u0623\u0625\u0671\u0649\u0629",
    "äöüáéíóúñàèìòùâêîôûç'' \u0627\u0627\u0627\u0627\u064a\u0647",
) | {start + digit: str(digit) for start in (0xFF10, 0x0660, 0x06F0) for digit in range(10)}
FOLDING |= {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def widely_folded(text: str) -> str:
    """The text as the rules of languages other than English read it; offsets stay the same."""
    return text.translate(FOLDING)


def forms(words: str, endings: str = "") -> str:
    """A group that matches any of the words (blanks between them, `_` for a blank inside one), each with one of the endings."""
    found = sorted(words.split(), key=lambda word: (-len(word), word))
    body = "|".join(re.escape(word).replace("_", r"\s{1,3}") for word in found)
    return f"(?:{body}){endings}"


@dataclass(frozen=True)
class Lexis:
    """Tables of one language. Their keys are written as `widely_folded` leaves them, words of a phrase one blank apart.

    Attributes:
        cues: What tells past from future.
        days: Words for days, in days from the anchor.
        steps: "last", "this" and "next", in units from the anchor.
        units: Words for units of time.
        months: Names of months, 1 to 12.
        weekdays: Names of weekdays, Monday 0.
        seasons: Names of seasons, in English.
        parts: "early", "mid" and "late" for the words that stand for them.
        number: Reads the words of a count: a number, a range for a loose one, a half for 0.
        patterns: Patterns with their readers, in the order in which they win ties.
    """

    cues: Cues
    days: Mapping[str, int]
    steps: Mapping[str, int]
    units: Mapping[str, Unit]
    months: Mapping[str, int]
    weekdays: Mapping[str, int]
    seasons: Mapping[str, str]
    parts: Mapping[str, str]
    number: Callable[[str], int | tuple[int, int]]
    patterns: list[tuple[str, Reader]] = field(default_factory=list)

    def rule(self, reader: Reader, *patterns: str) -> None:
        """Add patterns that the reader computes; they are compiled when the first text shows the language."""
        self.patterns.extend((pattern, reader) for pattern in patterns)

    @cached_property
    def rules(self) -> list[Rule]:
        """The patterns as rules."""
        return [Rule(frozenset(), re.compile(pattern), self._bound(reader)) for pattern, reader in self.patterns]

    def _bound(self, reader: Reader) -> Callable[[Context, re.Match[str]], Found | None]:
        return lambda context, match: reader(self, context, match)
