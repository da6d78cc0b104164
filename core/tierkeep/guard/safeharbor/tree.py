"""The risk tree: clusters of leaves, each with a rule pair, and the benign texts that stand nearest (guard spec 2.2).

All values are frozen: a step that changes the tree returns another one. All vectors are unit vectors of one space, the embedder's. The
paper puts them into the projector's output; ours stay outside of it, so that rules outlive a retraining and there is one kind of vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from tierkeep.errors import InputError

Vector: TypeAlias = NDArray[np.float32]  # shape (dimension,), length 1
Matrix: TypeAlias = NDArray[np.float32]  # shape (rows, dimension), rows of length 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RulePair(_Frozen):
    """What is forbidden, and its nearest legitimate neighbour.

    Attributes:
        id: Names the pair in `Risk.rules`.
        harm_rule: What is forbidden; begins with a verb of refusal.
        benign_exemption: What must stay allowed although it looks alike.
        topic: Short name of the subject.
        version: Grows with each rewriting.
        updated_at: ISO day or time of the last change.
        source_ids: The attacks it was made of, or who wrote it.
        needs_review: A template stands in for wording that nobody has written yet.
    """

    id: str
    harm_rule: str
    benign_exemption: str
    topic: str = ""
    version: int = 1
    updated_at: str = ""
    source_ids: tuple[str, ...] = ()
    needs_review: bool = False


class Exemplar(_Frozen):
    """An attack text that was merged into a leaf."""

    text: str
    source_id: str = ""


class ToolSpec(_Frozen):
    """A tool that an attack may use."""

    name: str
    description: str = ""
    arg_names: tuple[str, ...] = ()


class AttackSample(_Frozen):
    """A harmful request from which rules are made.

    Attributes:
        defended: Whether the present tree already stopped it; None when nobody tried.
        response_digest: SHA-256 of the target's reply; never the reply.
    """

    id: str
    prompt: str
    category: str
    sub_category: str = ""
    tools: tuple[ToolSpec, ...] = ()
    strategy: str = ""
    defended: bool | None = None
    response_digest: str = ""


class BenignRecord(_Frozen):
    """A legitimate request: what was wanted, the chain of tools ("ToolA -> ToolB"), and how it ended."""

    intent: str
    tool_pattern: str = "System.General_Process"
    outcome: str = ""


@dataclass(frozen=True, eq=False)
class BenignExemplar:
    """A legitimate request with the unit vector of its intent."""

    record: BenignRecord
    embedding: Vector


@dataclass(frozen=True, eq=False)
class Leaf:
    """One rule pair and the attacks it stands for.

    Attributes:
        id: Unique in the tree.
        z: Unit mean of the attacks' vectors.
        rule: The pair; None in code mode, where the cluster has it.
        exemplars: The attacks.
        n_merged: How many attacks were merged, those included whose text was not kept.
    """

    id: str
    z: Vector
    rule: RulePair | None
    exemplars: tuple[Exemplar, ...] = ()
    n_merged: int = 1


@dataclass(frozen=True, eq=False)
class Cluster:
    """Leaves of one kind of harm.

    Attributes:
        id: Unique in the tree.
        label: For people.
        centroid: Paper mode: unit mean of the leaves' vectors; code mode: a running mean.
        leaves: At least one.
        category: Code mode looks for a cluster within one category only.
        rule: The pair, in code mode.
        benign_centroid: Unit mean of the benign intents, None without any.
        benign: Benign neighbours.
    """

    id: str
    label: str
    centroid: Vector
    leaves: tuple[Leaf, ...]
    category: str = ""
    rule: RulePair | None = None
    benign_centroid: Vector | None = None
    benign: tuple[BenignExemplar, ...] = ()

    @property
    def benign_count(self) -> int:
        """How many benign texts were assigned."""
        return len(self.benign)

    @property
    def n_total(self) -> int:
        """How many attacks were merged in all."""
        return sum(leaf.n_merged for leaf in self.leaves)

    def vectors(self) -> Matrix:
        """Return the leaves' vectors, shape (leaves, dimension)."""
        return np.stack([leaf.z for leaf in self.leaves])

    def rule_of(self, leaf: Leaf) -> RulePair | None:
        """Return the pair that holds for a leaf of this cluster: its own, or else the cluster's."""
        return leaf.rule or self.rule


@dataclass(frozen=True, eq=False)
class RiskTree:
    """Clusters, and a reservoir of benign texts that belong to no cluster in particular.

    Attributes:
        embedder: `Embedder.identity` of every vector in it.
        dimension: Length of every vector in it.
        clusters: In the order in which they came.
        reservoir: Benign texts, one for each chain of tools (guard spec 2.3, phase 2).
    """

    embedder: str
    dimension: int
    clusters: tuple[Cluster, ...] = ()
    reservoir: tuple[BenignExemplar, ...] = ()

    def leaves(self) -> Iterator[tuple[Cluster, Leaf]]:
        """Yield every leaf with its cluster, in order."""
        for cluster in self.clusters:
            for leaf in cluster.leaves:
                yield cluster, leaf

    def rules(self) -> list[RulePair]:
        """Return every rule pair once, in order."""
        found = {rule.id: rule for cluster, leaf in self.leaves() if (rule := cluster.rule_of(leaf)) is not None}
        return list(found.values())

    def benign(self) -> list[BenignExemplar]:
        """Return the benign texts of all clusters, then the reservoir's, each text once."""
        every = [*(one for cluster in self.clusters for one in cluster.benign), *self.reservoir]
        return list({one.record.intent: one for one in reversed(every)}.values())[::-1]

    def with_cluster(self, cluster: Cluster) -> RiskTree:
        """Return the tree with this cluster in place of the one with the same id, or at the end."""
        if all(cluster.id != one.id for one in self.clusters):
            return replace(self, clusters=(*self.clusters, cluster))
        return replace(self, clusters=tuple(cluster if cluster.id == one.id else one for one in self.clusters))


def unit(vector: NDArray[np.floating]) -> Vector:
    """Return the vector, or each row, with length 1; a null vector stays null."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.where(length > 0, length, 1.0), dtype=np.float32)


def mean(vectors: Sequence[Vector] | Matrix) -> Vector:
    """Return the unit mean of unit vectors."""
    return unit(np.asarray(vectors, dtype=np.float32).mean(axis=0))


def checked(vectors: Matrix, dimension: int) -> Matrix:
    """Return the vectors when they are what the tree holds.

    Raises:
        InputError: Another length, or a value that is no number.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension or not np.isfinite(vectors).all():
        raise InputError(f"vectors must be finite and of length {dimension}, these have the shape {vectors.shape}", field="vectors")
    return np.asarray(vectors, dtype=np.float32)
