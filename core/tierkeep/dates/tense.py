"""Whether the words around a time look back or ahead: a small, bounded reading of the clause.

"Friday" alone means the last one; "I will see her Friday" the next. Only cue words within 90 characters either side are
read, so the cost does not depend on the length of the text.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

REACH = 90

_FUTURE = re.compile(
    r"\b(?:will|won't|'ll|shall|going\sto|gonna|plan|plans|planning|hope|hopes|hoping|intend|about\sto"
    r"|looking\sforward|look"
    r"\sforward|coming|upcoming|tomorrow|soon|scheduled|booked|can't\swait|want\sto|wants\sto|would\slike"
    r"|let's|due|deadline|"
    r"expect|expects|expecting|aim|aims|aiming|deadline|happening|starts|begins|opens|leaves|is\son|are\son"
    r"|can\swe|can\syou|"
    r"ready\sfor|prepar(?:e|es|ing)|remind|thinking|until|till|next|there's|should|must|need\sto|needs\sto|have\sto"
    r"|has\sto)\b|'ll\b"
)
_PAST = re.compile(
    r"\b(?:was|were|did|didn't|had|went|got|came|saw|made|took|been|gave|met|bought|won|lost|began|left|ran"
    r"|felt|found|told|"
    r"said|thought|brought|caught|wrote|held|kept|spent|sent|sold|taught|ate|drove|flew|wore|broke|chose|grew|knew|"
    r"led|built|fell|became|heard|hosted|since|ago|already|finally|back\sin|yesterday|used\sto|"
    r"(?!need|indeed|speed|feed|seed|weed|bleed)[a-z]{2,20}ed)\b"
)
_STOP = re.compile(r"[.!?;\n]")
_PAUSE = re.compile(r",|\s(?:but|and|so|then|because|while)\s")


class Cues(NamedTuple):
    """The words of one language that point to the past and to the future, and what ends a sentence and a clause in it."""

    past: re.Pattern[str]
    future: re.Pattern[str]
    stop: re.Pattern[str] = _STOP
    pause: re.Pattern[str] = _PAUSE


ENGLISH = Cues(_PAST, _FUTURE)


class Tense(IntEnum):
    """Which way the words around a time point."""

    PAST = -1
    NONE = 0
    FUTURE = 1


def _between(text: str, start: int, end: int, boundary: re.Pattern[str]) -> tuple[str, str]:
    """The text before ``start`` and after ``end``, each up to the nearest boundary within reach."""
    before = text[max(0, start - REACH) : start]
    cut = max((stop.end() for stop in boundary.finditer(before)), default=0)
    after = text[end : end + REACH]
    stop_after = boundary.search(after)
    return before[cut:], after[: stop_after.start()] if stop_after else after


def tense_at(text: str, start: int, end: int, cues: Cues = ENGLISH) -> Tense:
    """The tense of the clause around ``text[start:end]``, else of its sentence; ``text`` is folded.

    The narrow clause is asked first so that "she will call, on Friday we met" reads as past.
    """
    sentence = _between(text, start, end, cues.stop)
    clause = (cues.pause.split(sentence[0])[-1], cues.pause.split(sentence[1])[0])
    for before, after in (clause, sentence):
        around = f"{before} # {after}"
        nearest = min(
            (
                (abs(cue.start() - len(before)), -tense, tense)
                for words, tense in ((cues.past, Tense.PAST), (cues.future, Tense.FUTURE))
                for cue in words.finditer(around)
            ),
            default=None,
        )
        if nearest:
            return nearest[2]
    return Tense.NONE
