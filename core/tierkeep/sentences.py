"""Text to sentences, for whatever quotes or scores one at a time."""

from __future__ import annotations

import re

__all__ = ["PLAIN", "asks", "sentences"]

#: What every embedder makes a vector of: who makes none of it does not work.
PLAIN = "The weather is nice today."

#: A question mark, of whatever script, and what may stand behind it.
_ASKS = re.compile(r"[?\uff1f\u061f\u037e][\s\"'\u2019\u201d)\]!.*_]{0,16}\Z")
#: Full stop, exclamation and question mark of Chinese and Japanese, of Arabic and of Urdu: no space has to follow them.
_STOPS = "\u3002\uff01\uff1f\uff61\u061f\u06d4"
#: Months before which German writes a day as "2."; those that English has too need a German word before the day.
_GERMAN = "Januar|J\u00e4nner|Februar|M\u00e4rz|Mai|Juni|Juli|Oktober|Dezember"
_LEADS = ("[Aa]m", "[Vv]om", "[Zz]um", "[Bb]is", "[Dd]en", "[Dd]em")
_AFTER = "(?:" + "|".join(rf"(?<=\b{lead} {digits})" for lead in _LEADS for digits in ("[0-9]", "[0-9][0-9]")) + ")"
#: A stop inside a word or a number ("1.5", "example.org"), after a title ("Dr. Ko") or a day ("2. Mai") ends no sentence.
_SENTENCE = re.compile(
    rf"(?:[^.!?{_STOPS}\n]|[.!?](?=[\w@/])|(?<=\b[DM]r)\.|(?<=\bM[rs]s)\.|(?<=\bMs)\.|(?<=\bDra)\.|(?<=\bSt)\.|(?<=\bProf)\."
    rf"|(?<=\bSra)\.|(?<=[0-9])(?:\.(?= (?:{_GERMAN})\b)|{_AFTER}\.(?= (?:April|August|September|November)\b)))+"
    rf"(?:[.!?{_STOPS}]+(?:(?<=[{_STOPS}])['\")\]\u300d\u300f\u201d\uff09\u00bb]*|['\")\]]*)|\n|$)"
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


def asks(text: str) -> bool:
    """Return whether the text ends in a question, closing quotes and brackets aside."""
    end = text[-20:]
    if "?" not in end and end.isascii():
        return False  # most sentences
    return _ASKS.search(end.rstrip()) is not None
