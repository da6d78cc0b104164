"""Similarity in the score: what stands out, what a mask hides, and what happens without vectors."""

from __future__ import annotations

import numpy as np
import pytest

from tierkeep.protocols import Near
from tierkeep.retrieve.dense import dense_scores
from tierkeep.retrieve.fusion import score
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.question import read_question
from tierkeep.settings import RetrievalSettings

from .scopes import row

SETTINGS = RetrievalSettings()


def index(count: int = 8) -> ScopeIndex:
    return ScopeIndex([row(seq, f"word{seq}") for seq in range(1, count + 1)])


def near(*similarities: float, seqs: list[int] | None = None, spread: tuple[float, float] | None = None) -> Near:
    places = seqs or list(range(1, len(similarities) + 1))
    return Near(np.asarray(places, np.int64), np.asarray(similarities, np.float32), spread=spread)


def test_only_what_stands_out_scores() -> None:
    scores = dense_scores(index(), near(0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), None, SETTINGS)
    assert scores[0] == pytest.approx(SETTINGS.dense * (np.sqrt(7) - SETTINGS.dense_floor), rel=1e-4)
    assert not scores[1:].any()


def test_place_and_spread_of_an_encoders_cosines_do_not_matter() -> None:
    similarities = np.asarray([0.5, 0.2, 0.1, 0.0, -0.1, 0.3, 0.1, 0.05])
    one = dense_scores(index(), near(*similarities), None, SETTINGS)
    other = dense_scores(index(), near(*(0.7 + 0.1 * similarities)), None, SETTINGS)
    assert np.allclose(one, other, atol=1e-3) and one.any()


def test_hidden_events_score_nothing_and_change_nothing() -> None:
    mask = np.asarray([True] * 6 + [False] * 2)
    shown = (0.9, 0.1, 0.2, 0.1, 0.3, 0.1)
    hidden = dense_scores(index(), near(*shown, 0.95, -0.9), mask, SETTINGS)
    alone = dense_scores(index(6), near(*shown), None, SETTINGS)
    assert np.allclose(hidden[:6], alone) and not hidden[6:].any()


def test_events_without_a_vector_and_vectors_without_an_event_are_passed_over() -> None:
    some = dense_scores(index(), near(0.9, 0.1, 0.1, 0.1, seqs=[2, 3, 4, 99]), None, SETTINGS)
    assert some[1] > 0 and not np.delete(some, 1).any()
    assert not dense_scores(index(), near(0.9, seqs=[99]), None, SETTINGS).any()
    assert not dense_scores(ScopeIndex(), near(0.9), None, SETTINGS).any()


def test_events_that_are_all_alike_say_nothing() -> None:
    assert not dense_scores(index(), near(*[0.3] * 8), None, SETTINGS).any()
    assert not dense_scores(index(1), near(0.9), None, SETTINGS).any()


def test_a_given_spread_stands_for_the_events_that_are_not_given() -> None:
    scores = dense_scores(index(), near(0.5, 0.25, spread=(0.1, 0.1)), None, SETTINGS)
    assert scores[:2] == pytest.approx([SETTINGS.dense * 3.0, SETTINGS.dense * 0.5], rel=1e-4)


def test_similarity_adds_to_the_words_and_leaves_confidence_to_them() -> None:
    held = index()
    question = read_question("word1")
    words = score(held, question)
    both = score(held, question, near=near(0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1))
    assert np.array_equal(both.lexical, words.total)
    assert both.total[2] > words.total[2] and both.parts["dense"][2] > both.parts["dense"][3] > 0
    assert np.array_equal(score(held, question, near=near(*[0.2] * 8)).total, words.total)
