"""Insertion of an attack into the risk tree: a new cluster, a new leaf, or a merge (guard spec 2.3, stage II).

Paper mode is the default; code mode does what the released code does, for comparison. Nothing here is learnt from traffic: it is run
offline, on attacks that somebody chose.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

import numpy as np

from tierkeep.guard.safeharbor import entropy
from tierkeep.guard.safeharbor.tree import AttackSample, Cluster, Exemplar, Leaf, RiskTree, RulePair, Vector, checked, mean, unit
from tierkeep.settings import SafeHarborSettings


class RuleSource(Protocol):
    """Words rule pairs: `RuleWriter`, or anything else."""

    def write(self, rule_id: str, sample: AttackSample, benign: list[str]) -> RulePair:
        """Return a new pair for an attack, given its nearest benign texts."""
        ...

    def refine(self, rule: RulePair, sample: AttackSample) -> RulePair:
        """Return the pair with a further attack covered."""
        ...


class Inserted(NamedTuple):
    """The tree after an insertion, and what was done."""

    tree: RiskTree
    step: Literal["cluster", "leaf", "merge"]
    cluster: str
    leaf: str


def insert(tree: RiskTree, sample: AttackSample, z: Vector, rules: RuleSource, settings: SafeHarborSettings) -> Inserted:
    """Return the tree with one attack more.

    Args:
        tree: As it was.
        sample: The attack.
        z: Its unit vector, shape (tree.dimension,).
        rules: Words the pairs.
        settings: Mode and thresholds.

    Raises:
        InputError: The vector is not of the tree's space.
    """
    z = unit(checked(z[None, :], tree.dimension)[0])
    return _by_code(tree, sample, z, rules, settings) if settings.mode == "code" else _by_paper(tree, sample, z, rules, settings)


def _by_paper(tree: RiskTree, sample: AttackSample, z: Vector, rules: RuleSource, settings: SafeHarborSettings) -> Inserted:
    if not tree.clusters:
        return _new_cluster(tree, sample, z, rules, on_leaf=True)
    cosines = np.array([cluster.centroid @ z for cluster in tree.clusters])
    best = tree.clusters[int(cosines.argmax())]
    if cosines.max() < settings.tau_sim:
        return _new_cluster(tree, sample, z, rules, on_leaf=True)
    if _is_new(best, z, settings):
        leaf = Leaf(_leaf_id(best), z, rules.write(_leaf_id(best), sample, _benign(best)), (_exemplar(sample),))
        return _placed(tree, replace(best, leaves=(*best.leaves, leaf)), leaf, "leaf")
    place = int((best.vectors() @ z).argmax())
    old = best.leaves[place]
    merged = replace(
        old,
        z=unit(old.z * old.n_merged + z),
        rule=None if old.rule is None else rules.refine(old.rule, sample),
        exemplars=(*old.exemplars, _exemplar(sample)),
        n_merged=old.n_merged + 1,
    )
    return _placed(tree, replace(best, leaves=(*best.leaves[:place], merged, *best.leaves[place + 1 :])), merged, "merge")


def _is_new(cluster: Cluster, z: Vector, settings: SafeHarborSettings) -> bool:
    if settings.novelty == "residual":
        return entropy.residual(cluster.vectors(), z) > settings.tau_residual and len(cluster.leaves) < settings.most_leaves
    return entropy.information_gain(cluster.vectors(), z, settings.gamma) > settings.tau_gain


def _placed(tree: RiskTree, cluster: Cluster, leaf: Leaf, step: Literal["leaf", "merge"]) -> Inserted:
    cluster = replace(cluster, centroid=mean(cluster.vectors()))
    return Inserted(tree.with_cluster(cluster), step, cluster.id, leaf.id)


def _by_code(tree: RiskTree, sample: AttackSample, z: Vector, rules: RuleSource, settings: SafeHarborSettings) -> Inserted:
    category = sample.sub_category or sample.category
    own = [cluster for cluster in tree.clusters if cluster.category == category]
    cosines = np.array([cluster.centroid @ z for cluster in own])
    score = entropy.ambiguity(cosines, sharpening=settings.sharpening, ood=settings.ood, defended=sample.defended)
    if score > settings.tau_split or not own:
        return _new_cluster(tree, sample, z, rules, on_leaf=False)
    old = own[int(cosines.argmax())]
    leaf = Leaf(_leaf_id(old), z, None, (_exemplar(sample),))
    leaves = (*old.leaves, leaf)
    share = 1.0 / (len(leaves) + 1)  # code: counted after appending
    rule = None if old.rule is None else rules.refine(old.rule, sample)
    cluster = replace(old, leaves=leaves, centroid=unit((1 - share) * old.centroid + share * z), rule=rule)
    return Inserted(tree.with_cluster(cluster), "merge", cluster.id, leaf.id)


def _new_cluster(tree: RiskTree, sample: AttackSample, z: Vector, rules: RuleSource, *, on_leaf: bool) -> Inserted:
    category = sample.sub_category or sample.category
    name = f"{re.sub(r'[^a-z0-9]+', '-', category.lower()).strip('-')[:40] or 'cluster'}-{len(tree.clusters) + 1}"
    rule = rules.write(f"{name}/1" if on_leaf else name, sample, [])
    leaf = Leaf(f"{name}/1", z, rule if on_leaf else None, (_exemplar(sample),))
    cluster = Cluster(name, category, z, (leaf,), category, None if on_leaf else rule)
    return Inserted(tree.with_cluster(cluster), "cluster", name, leaf.id)


def _leaf_id(cluster: Cluster) -> str:
    return f"{cluster.id}/{len(cluster.leaves) + 1}"


def _exemplar(sample: AttackSample) -> Exemplar:
    return Exemplar(text=sample.prompt, source_id=sample.id)


def _benign(cluster: Cluster) -> list[str]:
    return [one.record.intent for one in cluster.benign]
