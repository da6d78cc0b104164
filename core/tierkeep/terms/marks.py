"""Runs of combining marks, cut before anything normalises them."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["stream_safe"]

_MARKS = 30  # combining marks kept in a row: no script needs more (Unicode Standard Annex 15, Stream-Safe Text Format)
# Every character whose compatibility decomposition begins with a mark is in here, beside signs that no mark follows on.
_MARK_RUN = re.compile(rf"(?:[^\w\x00-\u02ff]|[\uff9e\uff9f]){{{_MARKS + 1},}}+")


def stream_safe(text: str) -> str:
    """The text with at most 30 combining marks in a row, the rest of a longer run left out.

    Normalisation sorts the marks of a run, in time quadratic in its length: one crafted message of 64,000 characters would take
    seconds. So every text is cut like this before it is normalised (UAX 15, Stream-Safe Text Format). Linear.
    """
    return text if text.isascii() else _MARK_RUN.sub(lambda run: _few_marks(run.group()), text)


def _few_marks(run: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in run:
        marks = marks + 1 if _is_mark(character) else 0
        if marks <= _MARKS:
            kept.append(character)
    return "".join(kept)


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0
