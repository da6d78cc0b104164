"""What a grammar rule is: words that must be present, a bounded pattern, and a function that computes the days."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from tierkeep.dates.absolute import Context
from tierkeep.dates.spans import Window

_YEAR_TAIL = re.compile(r"[0-9]{0,2}(?:st|nd|rd|th)?,?\s{0,3}[0-9]{4}\b")


MAX_MATCHES = 1_000
"""Matches of one rule looked at in one text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A recognised stretch of text.

    Attributes:
        start: Offset of its first character.
        end: Offset after its last character.
        window: The days it stands for; None when the words are no point in time ("every Friday") or name a day that
            does not exist, and nothing inside them must be read as one.
    """

    start: int
    end: int
    window: Window | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One form of time expression.

    Attributes:
        words: The rule is tried only on texts that have one of these words; "0" stands for any digit.
        pattern: Matched on the folded text.
        build: Computes what a match stands for; returns None when it is no time after all. A ``ValueError`` or
            ``OverflowError`` means the words name a day that no calendar has.
    """

    words: frozenset[str]
    pattern: re.Pattern[str]
    build: Callable[[Context, re.Match[str]], Found | None]

    def find(self, context: Context) -> list[Found]:
        """Every stretch of the text this rule recognises, left to right."""
        found = []
        for match in islice(self.pattern.finditer(context.text), MAX_MATCHES):
            try:
                built = self.build(context, match)
            except (ValueError, OverflowError):
                year = _YEAR_TAIL.match(context.text, match.end())
                built = Found(match.start(), year.end() if year else match.end(), None)
            if built is not None:
                found.append(built)
        return found


class Grammar(list[Rule]):
    """Rules in the order in which they win ties."""

    def rule(
        self, words: str, pattern: str
    ) -> Callable[[Callable[[Context, re.Match[str]], Found | None]], Callable[[Context, re.Match[str]], Found | None]]:
        """A decorator that adds a rule built by the decorated function; ``words`` are separated by blanks."""

        def add(
            build: Callable[[Context, re.Match[str]], Found | None],
        ) -> Callable[[Context, re.Match[str]], Found | None]:
            self.append(Rule(frozenset(words.split()), re.compile(pattern), build))
            return build

        return add


def whole(match: re.Match[str], window: Window | None) -> Found:
    """``match`` stands for ``window``."""
    return Found(match.start(), match.end(), window)
