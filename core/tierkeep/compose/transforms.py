"""MemFlow's deterministic transforms of evidence, by intent (tiers spec, 1.3 and 1.4).

A transform turns the packed items into a few *worked-out lines*: what a reader would otherwise have to count or reckon. Each line names the
items it rests on and says nothing that is not true of exactly the items shown. Most questions get none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.compose.changes import change_lines
from tierkeep.compose.counts import count_lines
from tierkeep.compose.lines import Line
from tierkeep.compose.rules import rule_lines
from tierkeep.compose.times import time_lines
from tierkeep.records import FROM_OUTSIDE, EvidenceItem, Plan, Query

__all__ = ["Line", "distinct", "worked_out"]

_WORD = re.compile(r"[^\W_]+")


def worked_out(query: Query, plan: Plan, items: Sequence[EvidenceItem]) -> list[Line]:
    """Return the lines that the intent calls for, most important first.

    Items that are only shown in part, and those that anybody could have written, are left out of account.

    Args:
        query: The question, and the day on which it is asked.
        plan: For its intent.
        items: The items that are shown.
    """
    sound = [item for item in items if not item.excerpt and item.origin not in FROM_OUTSIDE]
    match plan.intent:
        case "temporal":
            return time_lines(query, sound)
        case "constraint":
            return rule_lines(query, sound)
        case "conflict":
            return change_lines(sound)
        case "state":
            return [*count_lines(query, sound), *change_lines(sound)]
        case "targeted":
            return count_lines(query, sound)
        case _:
            return []


def distinct(items: Sequence[EvidenceItem]) -> list[EvidenceItem]:
    """Return the items without what the same speaker said twice in the same words; the better one stays, in its place.

    Only case and punctuation may differ: one "not" more is another statement.
    """
    best: dict[tuple[str, str], int] = {}
    same: list[tuple[str, str]] = []
    for place, item in enumerate(items):
        words = " ".join(_WORD.findall(item.text.casefold()))
        key = (item.speaker, words) if words and not item.flag else (item.id, f"\n{place}")
        same.append(key)
        if key not in best or item.score > items[best[key]].score:
            best[key] = place
    return [item for place, item in enumerate(items) if best[same[place]] == place]
