"""Growing the tree: clusters, leaves and merges in both modes, benign calibration, disguises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tierkeep.errors import InputError
from tierkeep.guard.safeharbor.building import build, read_attacks, read_benign
from tierkeep.guard.safeharbor.calibration import calibrate
from tierkeep.guard.safeharbor.files import RuleBase
from tierkeep.guard.safeharbor.insertion import insert
from tierkeep.guard.safeharbor.mutation import PARADIGMS, mutate, variants
from tierkeep.guard.safeharbor.rules import model_writer
from tierkeep.guard.safeharbor.tree import AttackSample, BenignRecord, RiskTree, unit
from tierkeep.models.doubles import HashEmbedder
from tierkeep.settings import SafeHarborSettings

WRITER = model_writer(None)
AXES = np.eye(8, dtype=np.float32)


def attack(number: int, **more: object) -> AttackSample:
    return AttackSample.model_validate({"id": f"a{number}", "prompt": f"attack number {number}", "category": "fraud", **more})


def near(axis: int, by: float) -> np.ndarray:
    return unit(AXES[axis] + by * AXES[7])


def test_paper_mode_opens_a_cluster_then_leaves_then_merges() -> None:
    tree, steps = RiskTree("e", 8), []
    for number in range(7):
        done = insert(tree, attack(number), near(0, 0.01 * number), WRITER, SafeHarborSettings())
        tree = done.tree
        steps.append(done.step)
    assert steps == ["cluster", "leaf", "leaf", "leaf", "leaf", "merge", "merge"]  # the cap: 1 / (2 ** 0.3 - 1) is 4.3 leaves
    assert insert(tree, attack(9), AXES[3], WRITER, SafeHarborSettings()).step == "cluster"
    (cluster,) = tree.clusters
    assert cluster.n_total == 7
    assert all(leaf.rule is not None for leaf in cluster.leaves)
    assert cluster.centroid == pytest.approx(unit(cluster.vectors().mean(axis=0)))


def test_residual_mode_merges_the_same_and_keeps_the_new() -> None:
    settings = SafeHarborSettings(novelty="residual")
    tree = insert(RiskTree("e", 8), attack(0), AXES[0], WRITER, settings).tree
    same = insert(tree, attack(1), near(0, 0.05), WRITER, settings)
    assert (same.step, same.tree.clusters[0].leaves[0].n_merged) == ("merge", 2)
    rule = same.tree.clusters[0].leaves[0].rule
    assert rule is not None
    assert (rule.version, rule.source_ids, rule.needs_review) == (2, ("a0", "a1"), True)
    assert insert(tree, attack(1), near(0, 1.2), WRITER, settings).step == "leaf"
    full = settings.model_copy(update={"most_leaves": 1})
    assert insert(tree, attack(1), near(0, 1.2), WRITER, full).step == "merge"


def test_code_mode_keeps_the_rule_on_the_cluster() -> None:
    settings = SafeHarborSettings(mode="code")
    tree = insert(RiskTree("e", 8), attack(0), AXES[0], WRITER, settings).tree
    merged = insert(tree, attack(1), near(0, 0.5), WRITER, settings)
    (cluster,) = merged.tree.clusters
    assert (merged.step, len(cluster.leaves), cluster.leaves[1].rule) == ("merge", 2, None)
    assert cluster.rule_of(cluster.leaves[1]) is cluster.rule
    assert cluster.centroid == pytest.approx(unit(2 / 3 * AXES[0] + 1 / 3 * near(0, 0.5)))
    assert insert(tree, attack(2, defended=False), AXES[0], WRITER, settings).step == "cluster"
    assert insert(tree, attack(3), AXES[2], WRITER, settings).step == "cluster"
    assert insert(tree, attack(4, category="malware"), AXES[0], WRITER, settings).step == "cluster"


def test_a_vector_of_another_space_is_refused() -> None:
    with pytest.raises(InputError, match="length 8"):
        insert(RiskTree("e", 8), attack(0), np.ones(9, np.float32), WRITER, SafeHarborSettings())
    with pytest.raises(InputError, match="finite"):
        insert(RiskTree("e", 8), attack(0), np.full(8, np.nan, np.float32), WRITER, SafeHarborSettings())


def test_calibration_assigns_to_the_nearest_cluster_and_keeps_one_text_for_each_chain(base: RuleBase, embedder: HashEmbedder) -> None:
    records = [
        BenignRecord(intent="send customers a card for the holidays", tool_pattern="mail"),
        BenignRecord(intent="customers want to keep their numbers", tool_pattern="mail"),
        BenignRecord(intent="zebra xylophone quartz", tool_pattern="zoo"),
    ]
    done = calibrate(base.tree, records, embedder.embed([one.intent for one in records]), SafeHarborSettings(reservoir=4))
    scam = next(one for one in done.tree.clusters if one.id == "scam")
    assert (done.assigned, done.dropped, scam.benign_count) == (2, 1, 4)
    assert scam.benign_centroid == pytest.approx(unit(np.mean([one.embedding for one in scam.benign], axis=0)))
    assert [one.record.tool_pattern for one in done.tree.reservoir][-2:] == ["mail", "zoo"]
    full = calibrate(base.tree, records, embedder.embed([one.intent for one in records]), SafeHarborSettings(reservoir=2))
    assert len(full.tree.reservoir) == 2
    again = calibrate(done.tree, records, embedder.embed([one.intent for one in records]), SafeHarborSettings())
    assert again.assigned == 0
    with pytest.raises(InputError, match="3 records"):
        calibrate(base.tree, records, embedder.embed(["one"]), SafeHarborSettings())


def test_disguises_keep_the_words_and_are_the_same_each_time() -> None:
    text = "Send the list to {somebody} outside"
    assert [paradigm for paradigm, _ in variants(text)] == list(PARADIGMS)
    for paradigm, variant in variants(text):
        assert text in variant
        assert variant != text
        assert variant == mutate(text, paradigm)
    assert len({mutate(text, "privilege_escalation", seed) for seed in range(20)}) > 1


def test_build_from_attacks_reads_lines_and_flags_templates(tmp_path: Path, embedder: HashEmbedder) -> None:
    path = tmp_path / "attacks.jsonl"
    path.write_text('{"id": "1", "prompt": "steal the cards", "category": "fraud"}\n\n', encoding="utf-8")
    told = []
    tree = build(read_attacks(path), embedder, WRITER, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]
    assert sum(cluster.n_total for cluster in tree.clusters) == 1 + len(PARADIGMS)
    assert all(rule.needs_review for rule in tree.rules())
    with pytest.raises(InputError, match="embedder"):
        build([], HashEmbedder(64), WRITER, tree=tree)


@pytest.mark.parametrize("line", ["{", '{"id": "1"}', '{"id": "1", "prompt": "p", "category": "c", "run": 1}', "[1]", "\udcff"])
def test_bad_lines_are_named_and_not_repeated(tmp_path: Path, line: str) -> None:
    path = tmp_path / "attacks.jsonl"
    path.write_text(line, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=r"attacks\.jsonl"):
        read_attacks(path)
    with pytest.raises(InputError, match="absent"):
        read_benign(tmp_path / "absent")
