"""`tierkeep safeharbor`: from reviewed rules to a trained base that assesses, and what goes wrong on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tierkeep.guard.safeharbor.gate import SHIPPED

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def weights() -> None:
    from tierkeep.errors import MissingExtraError, ModelError

    try:
        from tierkeep.models.minilm import MiniLMEmbedder

        MiniLMEmbedder()
    except (MissingExtraError, ModelError) as error:
        pytest.skip(f"no embedder here: {error}")


def test_show_lists_the_shipped_rules(shell: Any) -> None:
    shown = shell.json("safeharbor", "show")
    assert shown["pairs"] == len(shown["rules"]) >= 40
    assert shown["needs_review"] == 0
    assert all(one["faults"] == [] for one in shown["rules"])
    assert "phishing" in shell("safeharbor", "show").output


@pytest.mark.usefixtures("weights")
def test_assess_says_branch_scores_and_rules(shell: Any) -> None:
    risk = shell.json("safeharbor", "assess", "Remind me of the dentist on Tuesday")
    assert risk["branch"] in ("fast", "judge")
    assert "s_harm" in shell("safeharbor", "assess", "-", input="Remind me of the dentist").output


@pytest.mark.usefixtures("weights")
def test_build_calibrate_train_assess(shell: Any, tmp_path: Path, file: Any) -> None:
    folder = tmp_path / "mine"
    (folder / "clusters").mkdir(parents=True)
    (folder / "clusters" / "sabotage.json").write_bytes((SHIPPED / "clusters" / "sabotage.json").read_bytes())
    built = shell.json("safeharbor", "build", str(folder))
    assert (built["clusters"], built["needs_review"], built["projector"]) == (1, 0, None)
    attacks = file("attacks.jsonl", json.dumps({"id": "1", "prompt": "Poison the well of the village", "category": "water"}))
    grown = shell.json("safeharbor", "build", str(folder), "--attacks", attacks)
    assert grown["needs_review"] >= 1
    assert any("needs review" in one["faults"] for one in shell.json("safeharbor", "show", "--rules", str(folder), code=1)["rules"])
    benign = file("benign.jsonl", json.dumps({"intent": "Send our client the invoice by mail", "tool_pattern": "mail"}))
    assert shell.json("safeharbor", "calibrate", str(folder), benign)["reservoir"] == 1
    assert "projector" in shell.error("safeharbor", "assess", "x", "--rules", str(folder), code=2)["message"]
    pytest.importorskip("torch")
    report = shell.json("safeharbor", "train", str(folder))
    assert report["held_out"] > 0
    assert shell.json("safeharbor", "assess", "Water the plants", "--rules", str(folder))["branch"] in ("fast", "judge")


def test_mistakes_are_named(shell: Any, tmp_path: Path, file: Any) -> None:
    assert shell.error("safeharbor", "assess", "x", "--embedder", "none", code=2)["type"] == "InputError"
    assert "no rule base" in shell.error("safeharbor", "show", "--rules", str(tmp_path), code=2)["message"]


@pytest.mark.usefixtures("weights")
def test_mistakes_of_making_are_named(shell: Any, tmp_path: Path, file: Any) -> None:
    assert "clusters" in shell.error("safeharbor", "build", str(tmp_path / "none"), code=2)["message"]
    bad = file("bad.jsonl", "{}")
    assert "bad.jsonl" in shell.error("safeharbor", "build", str(tmp_path / "new"), "--attacks", bad, code=2)["message"]
    good = file("good.jsonl", json.dumps({"id": "1", "prompt": "p", "category": "c"}))
    wrong = shell.error("safeharbor", "build", str(tmp_path / "new"), "--attacks", good, "--mode", "fast", code=2)
    assert "--mode" in wrong["message"]
    assert "--head" in shell.error("safeharbor", "train", str(SHIPPED), "--head", "other", code=2)["message"]
