"""Reading values out of parsed JSON that may hold anything, and text out of message parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierkeep.importers.reader import Tally

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def string(value: Mapping[str, Any], *keys: str) -> str:
    """Return the first of these keys that holds a string or a whole number, as a string; "" when none does."""
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    return ""


def moment(value: Mapping[str, Any], *keys: str) -> str | float | None:
    """Return the first of these keys that holds a date in text or a number of seconds; None when none does."""
    for key in keys:
        found = value.get(key)
        if (isinstance(found, str) and found.strip()) or (
            isinstance(found, int | float) and not isinstance(found, bool)
        ):
            return found
    return None


def text_of(content: Any, tally: Tally) -> str | None:
    """Return the text of a message's content: a string, or the text parts of a list; None for anything else.

    Parts that are not text (images, sounds, files) are counted and left out.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return None
    texts = []
    for part in content:
        text = _part(part)
        if text is None:
            tally.skipped["message parts that are not text"] += 1
        elif text:
            texts.append(text)
    return "\n".join(texts)


def _part(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    if part.get("type", "text") in _TEXT_PARTS and isinstance(part.get("text"), str):
        return str(part["text"])
    refusal = part.get("refusal")
    return refusal if isinstance(refusal, str) else None
