"""How large, how many and how deep: questions about an input that cost no more than the answer "too much".

Nothing here copies, walks or writes out an input that is beyond its limit (guard spec T6: streaming rejection).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

#: Where a long text is best cut, best first: after a blank line, a line, a sentence, a word. The cut keeps every character.
_CUTS = tuple(re.compile(pattern) for pattern in (r"\n[ \t]{0,64}\n", r"\n", r"[.!?。！？…][\"'”’)\]]{0,2}\s|[。！？]", r"\s"))
#: A cut is looked for in this last share of a portion, so that portions do not become small.
_LATE = 0.5


class Excess(NamedTuple):
    """Which bound a JSON value passes, the bound, and how much was counted until then.

    Attributes:
        what: "keys", "depth" or "characters".
        limit: The bound.
        actual: At least so much is there.
    """

    what: str
    limit: int
    actual: int


def excess(value: Any, *, keys: int, depth: int, chars: int) -> Excess | None:
    """Return which bound a JSON-like value passes, or None; looks at no more of it than the bounds allow.

    Args:
        value: Mappings, lists and plain values, however deep.
        keys: Keys of all mappings together.
        depth: Containers inside one another; a flat mapping has depth 1.
        chars: A lower bound of its length as JSON: texts, and one character for everything else.
    """
    seen_keys = size = 0
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        inner = next(stack[-1], stack)
        if inner is stack:  # this container is through
            stack.pop()
            continue
        size += 1 + (len(inner) if isinstance(inner, str) else 0)
        if isinstance(inner, Mapping):
            seen_keys += len(inner)
            if seen_keys > keys:
                return Excess("keys", keys, seen_keys)
            size += sum(len(key) for key in inner if isinstance(key, str))
            stack.append(iter(inner.values()))
        elif isinstance(inner, Sequence) and not isinstance(inner, (str, bytes, bytearray)):
            stack.append(iter(inner))
        if size > chars:
            return Excess("characters", chars, size)
        if len(stack) > depth + 1:
            return Excess("depth", depth, len(stack) - 1)
    return None


def weight(text: str) -> int:
    """Return the UTF-8 bytes of a text, without a copy of it when it is ASCII."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def portions(text: str, most: int) -> list[str]:
    """Return the text as consecutive pieces of at most `most` UTF-8 bytes that end where paragraphs, lines, sentences or words do.

    Joined they are the text again, character for character. Linear in the text.
    """
    pieces: list[str] = []
    at = 0
    while at < len(text):
        end = _end(text, at, most)
        pieces.append(text[at:end])
        at = end
    return pieces


def _end(text: str, at: int, most: int) -> int:
    """Return where the portion that begins at `at` ends."""
    window = text[at : at + most]
    if weight(window) <= most:
        fits = len(window)
    else:
        encoded = window.encode("utf-8", "replace")[:most]
        fits = max(1, len(encoded.decode("utf-8", "ignore")))
    if at + fits >= len(text):
        return len(text)
    for cut in _CUTS:
        ends = [match.end() for match in cut.finditer(text, at + int(fits * _LATE), at + fits)]
        if ends:
            return ends[-1]
    return at + fits
