"""Everyday classes and near synonyms: a question asks for "pets", the memory says "dog".

Two small hand-written tables: `concepts.txt` maps the words that name a class to its common members, `synonyms.txt` lists
words that stand for one another. A class or group that a question names becomes one more query term whose postings are
those of all its members together (structured queries, Pirkola 1998), so that a wide class has a low idf and weighs little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from tierkeep.terms import term_ids

__all__ = ["classes_named", "synonyms_named"]

_Groups = tuple[tuple[frozenset[int], frozenset[int]], ...]  # (term ids that name the group, term ids of its members)


def classes_named(terms: frozenset[int]) -> list[frozenset[int]]:
    """The member term ids of every class the terms name, without the terms themselves, in the table's order."""
    return list(_named(_classes(), terms))


def synonyms_named(terms: frozenset[int]) -> list[frozenset[int]]:
    """The other term ids of every synonym group that holds one of the terms, in the table's order."""
    return list(_named(_synonyms(), terms))


def _named(groups: _Groups, terms: frozenset[int]) -> Iterator[frozenset[int]]:
    for names, members in groups:
        if not names.isdisjoint(terms) and (others := members - terms):
            yield others


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
    return tuple(groups)


@cache
def _synonyms() -> _Groups:
    return tuple((ids, ids) for ids in (_ids([line]) for line in _lines("synonyms.txt")))
