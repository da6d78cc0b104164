"""Snowball stemmers, one of each language for each thread."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable

import snowballstemmer

__all__ = ["MAX_CACHED", "MAX_WORD", "fold", "stemmer"]

MAX_WORD = 64
"""Characters of a word that count; the rest of a longer run (base64, a URL's token) is dropped, and it is not stemmed."""

MAX_CACHED = 65_536
"""Distinct words whose terms are remembered; about 10 MB, the vocabulary of a large scope."""

_local = threading.local()


def stemmer(language: str) -> Callable[[str], str]:
    """This thread's Snowball stemmer of a language; its object keeps the word it works on, so threads must not share one."""
    known: dict[str, Callable[[str], str]] = _local.__dict__.setdefault("stemmers", {})
    if language not in known:
        known[language] = snowballstemmer.stemmer(language).stemWord
    return known[language]


def fold(word: str) -> str:
    """The word without Latin diacritics, so that a name typed on another keyboard is still found."""
    if word.isascii():
        return word
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return plain if plain.isascii() and plain else word
