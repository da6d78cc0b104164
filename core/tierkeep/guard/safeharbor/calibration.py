"""Benign calibration: which legitimate requests stand next to which harms (guard spec 2.3, phase 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tierkeep.errors import InputError
from tierkeep.guard.safeharbor.tree import BenignExemplar, BenignRecord, Cluster, Matrix, RiskTree, checked, unit
from tierkeep.settings import SafeHarborSettings


class Calibrated(NamedTuple):
    """The tree with its benign neighbours, how many texts went to a cluster, and how many were near to none."""

    tree: RiskTree
    assigned: int
    dropped: int


def calibrate(tree: RiskTree, records: Sequence[BenignRecord], vectors: Matrix, settings: SafeHarborSettings) -> Calibrated:
    """Return the tree with benign texts assigned, in their order.

    Each text goes to its nearest cluster when their cosine is above `assign`. A cluster's benign centroid is the mean of all its texts. The
    reservoir keeps the first text of each chain of tools, whether or not a cluster was near.

    Args:
        tree: As it was; texts that it has already stay.
        records: Legitimate requests that somebody looked through: an exemption is an entry on a list of what is allowed.
        vectors: Of their intents, shape (len(records), tree.dimension).
        settings: Thresholds.

    Raises:
        InputError: Vectors and records do not match, or are of another space.
    """
    if len(records) != len(vectors):
        raise InputError(f"{len(records)} records have {len(vectors)} vectors", field="vectors")
    rows = unit(checked(vectors, tree.dimension)) if len(records) else np.zeros((0, tree.dimension), np.float32)
    given: dict[str, list[BenignExemplar]] = {cluster.id: [] for cluster in tree.clusters}
    known = {one.record.intent for cluster in tree.clusters for one in cluster.benign}
    reservoir = {one.record.tool_pattern: one for one in tree.reservoir}
    assigned = dropped = 0
    for record, row in zip(records, rows, strict=True):
        exemplar = BenignExemplar(record, row)
        if len(reservoir) < settings.reservoir:
            reservoir.setdefault(record.tool_pattern, exemplar)
        near = max(tree.clusters, key=lambda cluster: float(cluster.centroid @ row), default=None)
        if near is None or float(near.centroid @ row) <= settings.assign:
            dropped += 1
        elif record.intent not in known:
            known.add(record.intent)
            given[near.id].append(exemplar)
            assigned += 1
    clusters = tuple(with_benign(cluster, given[cluster.id]) for cluster in tree.clusters)
    return Calibrated(replace(tree, clusters=clusters, reservoir=tuple(reservoir.values())), assigned, dropped)


def with_benign(cluster: Cluster, more: Sequence[BenignExemplar]) -> Cluster:
    """Return the cluster with further benign texts, and their mean as its benign centroid."""
    every = (*cluster.benign, *more)
    centroid = unit(np.mean([one.embedding for one in every], axis=0)) if every else None
    return replace(cluster, benign=every, benign_centroid=centroid)
