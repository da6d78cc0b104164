"""Whether a text holds a value, and whether it stands behind it: "pay ACCT-7" does, "never pay ACCT-7" and "what is ACCT-7?" do not."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

from tierkeep import rendering

__all__ = ["asserts", "mentions", "normal"]

#: Letters that may join a value to a longer word. Scripts without spaces between words have no such joint.
_JOINT = r"[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])(?=\s|[\u3000-\u9fff])|\n+")
#: Figures as people write them: 5000, 5,000, 5.000, 5 000, 12.50, 12,50.
_FIGURE = re.compile(r"\d+(?:[.,\u00a0 ]\d{3})*(?:[.,]\d+)?")
_WHOLE_FIGURE = re.compile(r"[+\-]?\d+(?:\.\d+)?")


def normal(text: str) -> str:
    """Return the text as a reader takes it: compatibility forms, look-alike letters and case as one, blanks as one space."""
    return " ".join(rendering.reads_as(rendering.visible(text)).casefold().split())


@cache
def _phrases(heading: str) -> re.Pattern[str]:
    """Return what finds any phrase under a heading of `phrases.txt` in a normal text."""
    found: list[str] = []
    here = False
    for line in files(__package__).joinpath("phrases.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            here = line.strip("[]") == heading
        elif here and line and not line.startswith("#"):
            found += [phrase for part in line.split(",") if (phrase := normal(part))]
    bounded = (re.escape(phrase).replace(r"\*", r"\w*") for phrase in found)
    return re.compile("|".join(rf"\b{one}\b" if re.match(_JOINT, phrase) else one for one, phrase in zip(bounded, found, strict=True)))


@lru_cache(maxsize=1024)
def _pattern(value: str) -> re.Pattern[str]:
    """Return what finds a normal value as a whole: not as part of a longer word, address, path or number."""
    before = rf"(?<!{_JOINT})(?<![@+/\-])(?<!\d[.,:])(?<!\w\.)" if re.match(_JOINT, value) else ""
    after = rf"(?!{_JOINT})(?![@+\-][^\W_])(?![./:,]\w)" if re.search(rf"{_JOINT}$", value) else ""
    return re.compile(before + re.escape(value) + after)


def _places(value: str, text: str) -> list[tuple[int, int]]:
    """Return where a normal text holds a normal value."""
    if _WHOLE_FIGURE.fullmatch(value):
        wanted = float(value)
        return [match.span() for match in _FIGURE.finditer(text) if wanted in _readings(match.group())]
    return [match.span() for match in _pattern(value).finditer(text)]


def _readings(figure: str) -> set[float]:
    """Return what a figure can mean: "5.000" is five thousand or five."""
    bare = figure.replace(" ", "").replace("\u00a0", "")
    forms = {bare.replace(",", ""), bare.replace(".", "").replace(",", ".")}
    return {float(form) for form in forms if re.fullmatch(r"\d{1,300}(?:\.\d{1,300})?", form)}


def mentions(value: str, text: str) -> bool:
    """Return whether a text holds a value, both as `normal` gives them."""
    return bool(value) and bool(_places(value, text))


def asserts(value: str, text: str) -> bool:
    """Return whether some sentence of a text holds a value and neither forbids it nor only asks about it.

    Args:
        value: As `normal` gives it.
        text: As it was written: sentences are cut at its marks and line ends.
    """
    return bool(value) and any(_stands_behind(value, sentence) for sentence in _SENTENCE.split(text) if sentence.strip())


def _stands_behind(value: str, sentence: str) -> bool:
    shown = normal(sentence)
    places = _places(value, shown)
    if not places:
        return False
    before = shown[: places[0][0]]
    if _phrases("forbids").search(_phrases("asks all the same").sub(" ", before)):
        return False
    asked = shown.rstrip(" \"')").endswith(("?", "\uff1f"))
    return not asked or bool(_phrases("orders").search(shown))
