"""MemSifter's reward as a formula: its weights sum to one, and a ranking that changes nothing earns nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.errors import InputError
from tierkeep.strategies.tier_reward import fibonacci_tiers, tier_reward, tier_weights


def test_tiers_are_the_fibonacci_numbers_each_once() -> None:
    assert fibonacci_tiers(1) == (1,)
    assert fibonacci_tiers(7) == (1, 2, 3, 5, 8, 13, 21)


def test_weights_are_differences_of_the_discount() -> None:
    discount = [1 / math.log2(k + 1) for k in (1, 2, 3)]
    assert tier_weights(3) == pytest.approx((discount[0] - discount[1], discount[1] - discount[2], discount[2]))


@given(st.integers(1, 40))
def test_weights_are_positive_and_sum_to_one(count: int) -> None:
    weights = tier_weights(count)
    assert len(weights) == count and min(weights) > 0 and math.fsum(weights) == pytest.approx(1.0, abs=1e-12)


def test_without_the_tier_of_one_item_they_would_sum_to_the_released_code_s_figure() -> None:
    assert math.fsum(tier_weights(4)[1:]) == pytest.approx(0.6309, abs=5e-5)


@given(st.floats(-1e6, 1e6), st.integers(1, 10))
def test_a_ranking_that_changes_nothing_earns_nothing(score: float, count: int) -> None:
    assert tier_reward(dict.fromkeys(fibonacci_tiers(count), score), score) == 0.0


def test_a_constant_gain_is_earned_whole() -> None:
    assert tier_reward(dict.fromkeys(fibonacci_tiers(5), 0.75), 0.25) == pytest.approx(0.5)


def test_the_earlier_the_gain_the_more_it_earns() -> None:
    early, late = {1: 1.0, 2: 1.0, 3: 1.0}, {1: 0.0, 2: 0.0, 3: 1.0}
    assert tier_reward(early, 0.0) == pytest.approx(1.0)
    assert tier_reward(late, 0.0) == pytest.approx(0.5)
    assert tier_reward({1: 0.2, 2: 0.2, 3: 0.2}, 0.6) == pytest.approx(-0.4)


@pytest.mark.parametrize("scores", [{}, {2: 1.0}, {1: 1.0, 3: 1.0}, {1: 1.0, 2: 1.0, 4: 1.0}, {1: math.nan}, {1: math.inf}])
def test_scores_of_other_tiers_are_refused(scores: dict[int, float]) -> None:
    with pytest.raises(InputError):
        tier_reward(scores, 0.0)


def test_there_is_no_ranking_without_a_tier() -> None:
    with pytest.raises(InputError, match="at least one"):
        tier_weights(0)
