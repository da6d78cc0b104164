"""Counting mentions for "how many", "how often" and "list all" (MemFlow's count table; tiers spec, 1.4 and 5.3.6).

What is counted is messages, never the things they are about: two messages may tell of one visit, and one of three.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.compose.lines import Line, messages
from tierkeep.records import EvidenceItem, Query
from tierkeep.terms import analyze

#: Characters of a question that are read, and of the word that is named.
_READ = 500
_NAMED = 40
#: Days that are listed; of more, only the first and the last (ours).
_DAYS = 8
_COUNTS = re.compile(
    r"\bhow many\b(?! (?:more )?(?:minutes|hours|days|weeks|months|years)\b)|\bhow often\b|\b(?:list|name) (?:all|every)\b", re.IGNORECASE
)
#: Where the counted noun ends: "how many concerts | did I go to", "list all books | that Ana lent me".
_NOUN_ENDS = re.compile(
    r"\b(?:did|do|does|have|has|had|was|were|is|are|am|can|could|will|would|that|which|who|i|we|you|in|on|at|with|from|for)\b|[?,.;:]",
    re.IGNORECASE,
)
#: "How many children does Ana have?": a number that somebody says; mentions do not add up to it.
_POSSESSED = re.compile(r"\b(?:do|does|did) (?:\w+ ){1,4}(?:have|own|need|weigh)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
#: They count, or say that something was done, not what.
_EMPTY = frozenset(
    analyze("many often times list name all every different total number thing type kind sort go do have make take get be far now")
)


def count_lines(query: Query, items: Sequence[EvidenceItem]) -> list[Line]:
    """Return one line that says how many of the messages shown mention what is to be counted; none when fewer than two do.

    Args:
        query: The question.
        items: The items shown that may be relied on.
    """
    asked = _COUNTS.search(query.text[:_READ])
    if asked is None or _POSSESSED.search(query.text[:_READ]):
        return []
    told = messages(items)
    stems = [set(analyze(item.text)) for item in told]
    speakers = {stem for item in told for stem in analyze(item.speaker)}
    found: list[tuple[int, str, list[EvidenceItem]]] = []
    for word in _candidates(query.text[asked.end() : _READ], speakers):
        own = set(analyze(word))
        mentions = [item for item, said in zip(told, stems, strict=True) if own <= said]
        if len(mentions) > 1:
            found.append((len(mentions), word, mentions))
    if not found:
        return []
    # Of several words the one that fewest messages use is the most telling: "pottery" of "pottery classes".
    count, word, mentions = min(found, key=lambda one: one[0])
    days = sorted({item.at[:10] for item in mentions})
    on = f"{len(days)} day" if len(days) == 1 else f"{len(days)} days"
    text = f"Among the memories shown, {count} messages on {on} mention '{word}': {_listed(days)}"
    return [Line(text, tuple(item.id for item in mentions))]


def _candidates(rest: str, speakers: set[str]) -> list[str]:
    """Return the words of the counted noun phrase; of the whole rest when it is "times" or missing that are counted."""
    end = _NOUN_ENDS.search(rest)
    return _content(rest[: end.start()] if end else rest, speakers) or _content(rest, speakers)


def _content(text: str, speakers: set[str]) -> list[str]:
    words = [word[:_NAMED] for word in _WORD.findall(text)]
    return [word for word in words if (stems := set(analyze(word))) and not stems & (_EMPTY | speakers)]


def _listed(days: Sequence[str]) -> str:
    return ", ".join(days) if len(days) <= _DAYS else f"{days[0]} to {days[-1]}"
