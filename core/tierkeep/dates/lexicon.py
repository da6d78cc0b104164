"""English words for times, and the fragments of regular expression the grammar is built from.

Every fragment is bounded: at most three blanks between words, at most four digits in a number. So no pattern built from
them takes more than a constant number of steps at one position, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tierkeep.dates.spans import FEW, SEVERAL, Unit

MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTH_NAMES = [name.lower() for name in MONTH_NAMES]
MONTHS = {name: index for index, name in enumerate(_MONTH_NAMES, 1)}
MONTHS |= {name[:3]: index for name, index in MONTHS.items()} | {"sept": 9}

_WEEKDAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS = {name: index for index, name in enumerate(_WEEKDAY_NAMES)}
WEEKDAY_ABBREVIATIONS = {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "thu": 3, "thur": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6,
}  # fmt: skip
WEEKDAYS |= WEEKDAY_ABBREVIATIONS

ONES = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
NUMBER_NAMES = {value: name for name, value in ONES.items() if value <= 12}

ORDINALS = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5,
    "last": -1, "final": -1,
}  # fmt: skip
ORDINAL_NAMES = {1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}

UNITS = {unit.value: unit for unit in Unit} | {
    "min": Unit.MINUTE, "hr": Unit.HOUR, "wk": Unit.WEEK, "fortnight": Unit.WEEK, "yr": Unit.YEAR,
}  # fmt: skip

HOLIDAYS = {
    "christmas eve": (12, 24), "christmas day": (12, 25), "boxing day": (12, 26), "new year's eve": (12, 31),
    "new year's day": (1, 1), "halloween": (10, 31), "valentine's day": (2, 14), "st patrick's day": (3, 17),
}  # fmt: skip


def alternatives(words: Iterable[str]) -> str:
    """A non-capturing group that matches any of ``words``, the longest first."""
    return "(?:" + "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))) + ")"


W = r"\s{1,3}"
FULL_MONTH = alternatives(_MONTH_NAMES)
MONTH = rf"(?:{FULL_MONTH}|{alternatives([name for name in MONTHS if name not in _MONTH_NAMES])}\b\.?)"
FULL_WEEKDAY = alternatives(_WEEKDAY_NAMES)
WEEKDAY = rf"(?:{FULL_WEEKDAY}|{alternatives(WEEKDAY_ABBREVIATIONS)}\b\.?)"
SEASON = "(?:spring|summer|autumn|fall|winter)"
PART_OF_DAY = "(?:morning|afternoon|evening|night|noon|lunchtime)"
YEAR = "(?:[0-9]{4}|'[0-9]{2})(?![0-9])"
NUMBER_WORD = rf"(?:{alternatives(TENS)}(?:[-\s]{alternatives([w for w in ONES if ONES[w] < 10])})?|{alternatives(ONES)}|a|an)"
NUMBER = rf"(?:[0-9]{{1,4}}|(?:a{W})?couple(?:{W}of)?|(?:a{W})?few|several|{NUMBER_WORD})"
UNIT = "(?:minute|min|hour|hr|day|weekend|week|wk|fortnight|month|year|yr|decade)s?"
ORDINAL = alternatives(ORDINALS)

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)} | {ord("\u2019"): "'", ord("\u2018"): "'"}


def folded(text: str) -> str:
    """``text`` with ASCII letters lowered and apostrophes straightened; offsets stay the same.

    ``str.lower`` would change the length of some strings (U+0130) and let non-English letters pass for ASCII ones.
    """
    return text.translate(_ASCII_LOWER)


def month_number(word: str) -> int:
    """The number of a month the ``MONTH`` fragment matched."""
    return MONTHS[word.rstrip(".")]


def weekday_number(word: str) -> int:
    """The number (Monday 0) of a weekday the ``WEEKDAY`` fragment matched."""
    return WEEKDAYS[word.rstrip(".")]


def unit_named(word: str) -> Unit:
    """The unit a word the ``UNIT`` fragment matched stands for; a fortnight counts as weeks."""
    return UNITS[word.removesuffix("s")]


def quantity(words: str) -> int | tuple[int, int]:
    """The number, or the range for "a few" and "several", that the ``NUMBER`` fragment matched."""
    if "few" in words:
        return FEW
    if words == "several":
        return SEVERAL
    if "couple" in words:
        return 2
    if words in ("a", "an"):
        return 1
    if words[0] in "0123456789":
        return int(words)
    tens, _, ones = words.replace(" ", "-").partition("-")
    return TENS[tens] + ONES.get(ones, 0) if tens in TENS else ONES[tens]


def number_name(value: int) -> str:
    """``value`` in words up to twelve, in digits above."""
    return NUMBER_NAMES.get(value, str(value))
