"""DBSCAN is the released code's: its labels are scikit-learn's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tierkeep.guard.amemguard.cluster import NOISE, dbscan, largest

GOLDEN = json.loads((Path(__file__).parent / "golden" / "dbscan.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=[str(len(case["labels"])) for case in GOLDEN])
def test_labels_are_those_of_scikit_learn(case: dict[str, object]) -> None:
    """Made with scikit-learn 1.9.1, DBSCAN(metric="cosine"), of seeded random points."""
    vectors = np.array(case["vectors"])
    assert dbscan(vectors, float(str(case["eps"])), int(str(case["min_samples"]))).tolist() == case["labels"]


def test_nothing_to_cluster() -> None:
    assert dbscan(np.zeros((0, 3)), 0.5, 2).tolist() == []
    assert dbscan(np.zeros((2, 3)), 0.5, 2).tolist() == [NOISE, NOISE]


def test_the_largest_cluster_is_the_heaviest() -> None:
    labels = [0, 0, 0, 1, 1, NOISE, NOISE, NOISE, NOISE]
    assert largest(labels, np.ones(9)) == 0
    # The first three are one voice.
    assert largest(labels, np.array([1 / 3] * 3 + [1] * 6)) == 1
    assert largest([0, 1], np.ones(2)) == 0
    assert largest([NOISE], np.ones(1)) == NOISE
