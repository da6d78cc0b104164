"""The hand-written tables of classes and synonyms."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pytest

from tierkeep.retrieve.concepts import classes_named, synonyms_named
from tierkeep.terms import analyze, term_id, term_ids


def ids(words: str) -> frozenset[int]:
    return frozenset(term_ids(words).tolist())


def test_a_class_gives_its_members_without_the_words_asked() -> None:
    (members,) = classes_named(ids("instrument guitar"))
    assert term_id("piano") in members
    assert term_id("guitar") not in members


def test_a_class_may_contain_others() -> None:
    assert any(ids("lisbon portugal museum") <= members for members in classes_named(ids("destination")))


def test_synonyms_work_both_ways() -> None:
    assert ids("purchase") <= frozenset().union(*synonyms_named(ids("buy")))
    assert ids("buy") <= frozenset().union(*synonyms_named(ids("purchase")))


@pytest.mark.parametrize("named", [classes_named, synonyms_named])
def test_other_words_name_nothing(named: Callable[[frozenset[int]], list[frozenset[int]]]) -> None:
    assert named(ids("zyzzyva")) == []
    assert named(frozenset()) == []


@pytest.mark.parametrize("file", ["concepts.txt", "synonyms.txt"])
def test_every_word_of_the_tables_can_match(file: str) -> None:
    """A stop word, or a word that falls apart, would be in a table in vain."""
    lines = files("tierkeep.retrieve").joinpath(file).read_text("utf-8").splitlines()
    words = {word for line in lines if line[:1] != "#" for word in line.replace(":", " ").split() if word[0] != "@"}
    assert {word for word in words if len(analyze(word)) != 1} == set()
