from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.evaluate.ranking import auc, auc_interval, escalation, threshold_for

CASES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30)


def _columns(cases: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([signal for signal, _ in cases], np.float64), np.array([good for _, good in cases], np.bool_)


@given(CASES)
def test_auc_is_the_share_of_pairs_in_the_right_order(cases: list[tuple[int, bool]]) -> None:
    pairs = [(s, t) for s, good in cases if good for t, other in cases if not other]
    found = auc(*_columns(cases))
    if not pairs:
        assert found is None
    else:
        assert found is not None
        assert abs(found - sum((s > t) + 0.5 * (s == t) for s, t in pairs) / len(pairs)) < 1e-12


def test_the_interval_is_repeatable_and_holds_the_area() -> None:
    signal = np.arange(40, dtype=np.float64)
    good = np.array([i % 3 != 0 or i > 30 for i in range(40)])
    low, high = auc_interval(signal, good) or (0.0, 0.0)
    assert (low, high) == auc_interval(signal, good)
    assert low < (auc(signal, good) or 0.0) < high
    assert auc_interval(signal, np.ones(40, np.bool_)) is None


@given(CASES, st.floats(0.01, 0.99))
def test_a_fitted_threshold_never_escalates_more_than_its_share(cases: list[tuple[int, bool]], share: float) -> None:
    signal, good = _columns(cases)
    assert escalation(signal, good, threshold_for(signal, share)).escalated <= share * len(cases)


def test_a_threshold_without_ties_escalates_its_share() -> None:
    signal = np.arange(10, dtype=np.float64)
    assert escalation(signal, signal > 4, threshold_for(signal, 0.3)) == (10, 3, 5, 3)


def test_ratios_over_nothing_are_none() -> None:
    signal = np.array([1.0, 2.0])
    figures = escalation(signal, np.array([True, True]), 0.5).figures()
    assert (figures["share"], figures["recall"], figures["precision"]) == (0.0, None, None)
