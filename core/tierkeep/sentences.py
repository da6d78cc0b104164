"""Text to sentences, for whatever quotes or scores one at a time."""

from __future__ import annotations

import re

__all__ = ["sentences"]

#: A stop inside a word or a number ("1.5", "example.org") or after a title ("Dr. Ko") ends no sentence.
_SENTENCE = re.compile(
    r"(?:[^.!?\u3002\uff01\uff1f\n]|[.!?](?=[\w@/])|(?<=\b[DM]r)\.|(?<=\bM[rs]s)\.|(?<=\bMs)\.|(?<=\bDra)\.|(?<=\bSt)\.|(?<=\bProf)\.)+"
    r"(?:[.!?\u3002\uff01\uff1f]+['\")\]]*|\n|$)"
)


def sentences(text: str, most: int | None = None) -> list[str]:
    """Return the sentences of a text in order, stripped, without empty ones. Linear in the text.

    Args:
        text: Any text; a line end ends a sentence too.
        most: Only the first so many; None for all.
    """
    found: list[str] = []
    for match in _SENTENCE.finditer(text):
        if most is not None and len(found) >= most:
            break
        if sentence := match.group().strip():
            found.append(sentence)
    return found
