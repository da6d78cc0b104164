"""The score of guard spec 3.9, by hand and in general."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.guard.amemguard.divergence import divergences, outlying, overlap, vote_weights, weighted_median


def test_by_hand() -> None:
    one = {"verb:send": 1.0, "effect:weakens:audit": 3.0}
    other = {"verb:send": 1.0}
    # Jaccard: shared weight 1 of 4.
    assert overlap([one], [other])[0, 0] == pytest.approx(0.25)
    assert divergences([one, other, other], vote_weights([0, 1, 2])).tolist() == pytest.approx([0.75, 0.375, 0.375])


def test_an_origin_has_one_vote_however_often_it_is_retrieved() -> None:
    assert vote_weights([0, 1, 1, 1, 2]).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 1])
    flood, honest = {"verb:pay": 1.0}, {"verb:check": 1.0}
    scores = divergences([honest, honest, flood, flood, flood], vote_weights([0, 1, 2, 2, 2]))
    # For an honest one: 1 of the 2 votes of others agrees.
    assert scores[0] == pytest.approx(0.5) and scores[2] == pytest.approx(1 - (2 / 3) / (2 + 2 / 3))


def test_what_stands_out() -> None:
    scores = np.array([0.30, 0.32, 0.31, 0.33, 0.95])
    even = np.ones(5)
    assert outlying(scores, even, spread=3, least=0.6).tolist() == [False] * 4 + [True]
    assert not outlying(scores, even, spread=3, least=0.96).any()
    assert not outlying(np.array([0.1, 0.5, 0.9]), np.ones(3), spread=3, least=0.6).any()


def test_a_flood_does_not_move_the_middle() -> None:
    scores = np.array([0.2, 0.2, 0.2, 0.9, 0.9, 0.9, 0.9])
    assert weighted_median(scores, vote_weights([0, 1, 2, 3, 3, 3, 3])) == 0.2
    assert weighted_median(scores, np.ones(7)) == 0.9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_with_even_votes_it_is_the_median(values: list[float]) -> None:
    assert weighted_median(np.array(values), np.ones(len(values))) == pytest.approx(float(np.median(values)))


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.just(1.0)), max_size=8), st.data())
def test_between_0_and_1_and_blind_to_order(features: list[dict[str, float]], data: st.DataObject) -> None:
    voices = [data.draw(st.integers(0, 3)) for _ in features]
    scores = divergences(features, vote_weights(voices))
    assert ((scores >= -1e-9) & (scores <= 1 + 1e-9)).all()
    turned = divergences(features[::-1], vote_weights(voices[::-1]))
    assert turned[::-1].tolist() == pytest.approx(scores.tolist())
