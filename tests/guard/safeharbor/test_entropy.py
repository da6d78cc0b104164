"""Fidelity (guard spec 9.4, F1): the scores of both modes have the values that were measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.guard.safeharbor import entropy
from tierkeep.guard.safeharbor.tree import mean, unit


@pytest.mark.parametrize(
    ("cosines", "printed"), [((0.9, 0.4), "0.004"), ((0.8, 0.6), "0.300"), ((0.7, 0.6), "0.672"), ((0.55, 0.55), "1.000")]
)
def test_code_mode_has_the_measured_values(cosines: tuple[float, ...], printed: str) -> None:
    assert f"{entropy.ambiguity(np.array(cosines)):.3f}" == printed


def test_code_mode_has_its_special_values() -> None:
    assert entropy.ambiguity(np.array([0.9]), defended=False) == 10
    assert entropy.ambiguity(np.zeros(0)) == 1
    assert entropy.ambiguity(np.array([0.49, -0.2])) == 5
    assert entropy.ambiguity(np.array([0.5])) == 0  # one cluster that is near enough: merge
    assert entropy.ambiguity(np.array([0.9, *[0.6] * 49])) == pytest.approx(0.63, abs=0.01)  # many clusters split a good match


@pytest.mark.parametrize(("n", "printed"), [(1, "1.00"), (2, "0.58"), (3, "0.42"), (5, "0.26"), (10, "0.14"), (20, "0.07")])
def test_gain_is_bounded_by_the_number_of_leaves(n: int, printed: str) -> None:
    assert f"{entropy.gain_bound(n):.2f}" == printed
    same = np.tile(np.eye(8, dtype=np.float32)[0], (n, 1))
    assert entropy.information_gain(same, same[0], 0.1) == pytest.approx(entropy.gain_bound(n))


@given(seed=st.integers(0, 10_000), n=st.integers(1, 12))
def test_entropy_never_passes_the_number_of_leaves(seed: int, n: int) -> None:
    rows = unit(np.random.default_rng(seed).normal(size=(n + 1, 16)))
    assert 0 <= entropy.leaf_entropy(rows[:n], 0.1) <= np.log2(n) + 1e-6
    # Exact for any leaves, with the centroid held: log2(1 + 2 ** -H).
    centre = mean(rows[:n])
    before = entropy.leaf_entropy(rows[:n], 0.1, centre)
    assert entropy.leaf_entropy(rows, 0.1, centre) - before <= np.log2(1 + 2**-before) + 1e-6


def test_gain_prefers_the_typical_and_the_residual_the_new() -> None:
    rng = np.random.default_rng(7)
    leaves = unit(np.eye(64)[0] * 3 + rng.normal(size=(10, 64)) * 0.2)
    typical, odd = leaves[0], unit(np.eye(64)[1] * 3 + leaves[0])
    assert entropy.information_gain(leaves, typical, 0.1) > entropy.information_gain(leaves, odd, 0.1)
    assert entropy.residual(leaves, odd) > entropy.residual(leaves, typical) == pytest.approx(0, abs=1e-6)
