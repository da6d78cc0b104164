"""What a language's table of words holds, and one index over all of them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tierkeep.rendering import reads_as

#: What a word may be; a token has the bits of all that it is.
(NOT, WITHOUT, WEAKEN, ASK, CONTROL, ACT, EGRESS, SENSITIVE, OUTSIDE, STANDING, OVERRIDE, RULES, PRIOR, AGENT, MUST, REMEMBER, MEMORY,
 HIDE, USER, DEFER, RUSH, CLAIM, CONSENT, INSTEAD, ADDRESS, ACCOUNT) = (1 << place for place in range(26))  # fmt: skip


class Lexicon(NamedTuple):
    """The words of one language, in its dictionary's or any inflected form. `word*` is a beginning; several words are a phrase.

    Attributes:
        negations: Turn a verb round: "never skip".
        without: Stand before what is left out: "without approval".
        weaken: Verbs that take a control away.
        ask: Verbs that exercise one; with a negation they take it away.
        controls: What keeps an action from happening unseen.
        act: Verbs that go ahead.
        egress: Verbs that take something out.
        sensitive: What should not leave.
        outside: Where it should not go.
        standing: Make a rule of it: always, whenever, from now on.
        override: Verbs that set rules aside.
        rules: What is set aside.
        prior: Which ones: all, previous, your.
        agents: Whom an order is for.
        must: How it is put.
        remember: Verbs that plant.
        memory: Where to.
        hide: Verbs of secrecy, behind a negation or "without".
        user: From whom.
        defer: Put a control off.
        rush: Leave no time for one.
        claim: Say that it was settled before.
        consent: What was settled.
        instead: Put one thing in another's place.
    """

    negations: str
    without: str
    weaken: str
    ask: str
    controls: str
    act: str
    egress: str
    sensitive: str
    outside: str
    standing: str
    override: str
    rules: str
    prior: str
    agents: str
    must: str
    remember: str
    memory: str
    hide: str
    user: str
    defer: str
    rush: str
    claim: str
    consent: str
    instead: str


class Index:
    """All languages' words in one place: a token is looked up, never searched for.

    Args:
        lexicons: One for each language; their entries are separated by commas.

    Attributes:
        phrase_ends: For each word that ends phrases, these phrases with their bits.
        longest: Letters of the longest word.
        of: Returns the bits of a word in small letters without accents.
    """

    def __init__(self, lexicons: tuple[Lexicon, ...]) -> None:
        self._words: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        phrases: dict[tuple[str, ...], int] = {}
        for lexicon in lexicons:
            for place, entries in enumerate(lexicon):
                for entry in filter(None, map(str.strip, entries.split(","))):
                    self._enter(reads_as(entry).lower(), 1 << place, phrases)
        self.phrase_ends: dict[str, tuple[tuple[tuple[str, ...], int], ...]] = {}
        for phrase, bits in phrases.items():
            self.phrase_ends[phrase[-1]] = (*self.phrase_ends.get(phrase[-1], ()), (phrase, bits))
        # Beginnings by their first letters, as many as the shortest has: a word is compared with few.
        self._stem = min(map(len, self._beginnings))
        self._stems: dict[str, list[tuple[str, int]]] = {}
        for beginning, bits in self._beginnings.items():
            self._stems.setdefault(beginning[: self._stem], []).append((beginning, bits))
        self.longest = max(map(len, self._words))
        self.of = lru_cache(maxsize=16_384)(self._of)

    def _enter(self, entry: str, bit: int, phrases: dict[tuple[str, ...], int]) -> None:
        first, *rest = entry.split()
        if rest:
            phrases[(first, *rest)] = phrases.get((first, *rest), 0) | bit
        elif first.endswith("*"):
            self._beginnings[first[:-1]] = self._beginnings.get(first[:-1], 0) | bit
        else:
            self._words[first] = self._words.get(first, 0) | bit

    def _of(self, word: str) -> int:
        """Return the bits of a word in small letters without accents."""
        bits = self._words.get(word, 0)
        for beginning, more in self._stems.get(word[: self._stem], ()):
            if word.startswith(beginning):
                bits |= more
        return bits

    def exact(self, word: str) -> int:
        """Return the bits of exactly this word, for scripts that do not space their words."""
        return self._words.get(word, 0)
