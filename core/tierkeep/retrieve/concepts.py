"""Everyday classes and near synonyms: a question asks for "pets", the memory says "dog".

Two small hand-written tables: `concepts.txt` maps the words that name a class to its common members, `synonyms.txt` lists
words that stand for one another. A class or group that a question names becomes one more query term whose postings are
those of all its members together (structured queries, Pirkola 1998), so that a wide class has a low idf and weighs little.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from tierkeep.terms import term_ids

__all__ = ["classes_named", "synonyms_named"]


class _Groups(NamedTuple):
    """The term ids of each group's members, in the table's order, and the places of the groups that a term id names."""

    members: tuple[frozenset[int], ...]
    named: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, groups: Iterable[tuple[frozenset[int], frozenset[int]]]) -> _Groups:
        """Return the groups of (term ids that name it, term ids of its members)."""
        groups = tuple(groups)
        terms = {term for names, _ in groups for term in names}
        places = {term: tuple(place for place, (names, _) in enumerate(groups) if term in names) for term in terms}
        return cls(tuple(members for _, members in groups), places)


def classes_named(terms: frozenset[int]) -> list[frozenset[int]]:
    """The member term ids of every class the terms name, without the terms themselves, in the table's order."""
    return _named(_classes(), terms)


def synonyms_named(terms: frozenset[int]) -> list[frozenset[int]]:
    """The other term ids of every synonym group that holds one of the terms, in the table's order."""
    return _named(_synonyms(), terms)


def _named(groups: _Groups, terms: frozenset[int]) -> list[frozenset[int]]:
    places = {place for term in terms for place in groups.named.get(term, ())}
    return [others for place in sorted(places) if (others := groups.members[place] - terms)]


def _ids(words: Iterable[str]) -> frozenset[int]:
    return frozenset(term_ids(" ".join(words)).tolist())


def _lines(file: str) -> list[str]:
    text = files(__package__).joinpath(file).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@cache
def _classes() -> _Groups:
    """The classes; `@name` among the members stands for the members of an earlier class."""
    words: dict[str, list[str]] = {}
    groups = []
    for line in _lines("concepts.txt"):
        names, _, tail = line.partition(":")
        members = [word for part in tail.split() for word in (words[part[1:]] if part[0] == "@" else [part])]
        words[names.split()[0]] = members
        groups.append((_ids([names]), _ids(members)))
    return _Groups.of(groups)


@cache
def _synonyms() -> _Groups:
    return _Groups.of((ids, ids) for ids in (_ids([line]) for line in _lines("synonyms.txt")))
