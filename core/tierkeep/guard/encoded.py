"""What a text hides in base64: decoded once, in bounds, so that what is looked for in texts is found there too."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

_RUN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}+={0,2}")
#: Runs that are decoded, and characters of each: a picture in a text is no text.
_MOST_RUNS = 64
_MOST_CHARS = 8_192
#: Share of letters, digits and blanks from which what was decoded is a text.
_TEXTLIKE = 0.8


class Hidden(NamedTuple):
    """A run of base64 and the text that it is."""

    start: int
    end: int
    text: str


def hidden(text: str) -> list[Hidden]:
    """Return the base64 runs of the text that are texts themselves. Linear in the text."""
    found = []
    for number, match in enumerate(_RUN.finditer(text)):
        if number == _MOST_RUNS:
            break
        decoded = _decoded(match.group())
        if decoded:
            found.append(Hidden(match.start(), match.end(), decoded))
    return found


def _decoded(run: str) -> str:
    bare = run.rstrip("=")[:_MOST_CHARS].translate(str.maketrans("-_", "+/"))
    bare = bare[: len(bare) - (len(bare) % 4 == 1)]
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    plain = sum(c.isalnum() or c.isspace() for c in text)
    return text if text and plain >= _TEXTLIKE * len(text) else ""
