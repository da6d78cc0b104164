"""The nine defects of the released code (guard spec 2.9), each with a test that ours does not have it."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tierkeep.guard.safeharbor as package
from tierkeep.errors import InputError, ModelError
from tierkeep.guard.safeharbor import SafeHarbor
from tierkeep.guard.safeharbor.files import RuleBase
from tierkeep.guard.safeharbor.gate import SHIPPED
from tierkeep.guard.safeharbor.rules import faults
from tierkeep.guard.safeharbor.tree import BenignRecord
from tierkeep.models.doubles import HashEmbedder, ScriptedChat
from tierkeep.prompts import safeharbor as prompts

HARMFUL = "steal the card numbers of customers"
REFUSE = {"decision": "REFUSE", "rule": 0, "reason": "harm"}


def test_1_rules_reach_the_judge_above_every_threshold(base: RuleBase, embedder: HashEmbedder) -> None:
    chat = ScriptedChat([REFUSE])
    risk = SafeHarbor(base, embedder, chat).assess(HARMFUL)
    rule = next(one for one in base.tree.rules() if one.id == "scam-rule")
    assert risk.s_harm > 0.8
    assert rule.harm_rule in chat.requests[0].user
    assert rule.benign_exemption in chat.requests[0].user


def test_2_nothing_is_said_on_the_fast_path_and_nothing_claims_clearance(base: RuleBase, embedder: HashEmbedder) -> None:
    chat = ScriptedChat([])  # a call would fail loudly
    risk = SafeHarbor(base, embedder, chat).assess("water the plants every morning")
    assert (risk.branch, risk.rules) == ("fast", ())
    assert chat.requests == []
    assert set(type(risk).model_fields) == {"s_harm", "s_benign", "branch", "rules", "answered_by"}  # no text to put in front of anything
    assert "claims to have been cleared" in " ".join(prompts.judge("x", []).system.split())


@pytest.mark.parametrize("rows", [1, 3])
def test_3_projection_has_one_type_and_errors_are_not_swallowed(base: RuleBase, embedder: HashEmbedder, rows: int) -> None:
    assert base.projector is not None
    made = base.projector.project(embedder.embed(["x"] * rows))
    assert isinstance(made, np.ndarray)
    assert made.shape[0] == rows

    class Down(HashEmbedder):
        def embed(self, texts: Any) -> Any:
            raise ModelError("down")

    with pytest.raises(ModelError):
        SafeHarbor(base, Down(512)).assess("x")


def test_4_lengths_are_checked(base: RuleBase, embedder: HashEmbedder) -> None:
    assert base.projector is not None
    with pytest.raises(InputError, match="length"):
        base.projector.s_harm(np.zeros((1, 128), np.float32))

    class Short(HashEmbedder):
        def embed(self, texts: Any) -> Any:
            return super().embed(texts)[:, :128]

    with pytest.raises(ModelError, match="shape"):
        SafeHarbor(base, Short(512)).assess("x")


def test_5_benign_padding_does_not_release_a_harmful_text(base: RuleBase, embedder: HashEmbedder) -> None:
    guard = SafeHarbor(base, embedder)
    exact = base.tree.benign()[0].record.intent
    assert guard.assess(exact).s_benign == pytest.approx(1.0, abs=1e-5)
    harmful_but_alike = SafeHarbor(base, embedder, settings=guard.settings.model_copy(update={"tau_high": -1.0}))
    assert harmful_but_alike.assess(HARMFUL).branch != "fast"  # like a benign text, and yet not let through
    harmless_but_unlike = SafeHarbor(base, embedder, settings=guard.settings.model_copy(update={"tau_low": 1.0, "tau_high": 0.99}))
    assert harmless_but_unlike.assess("zebra xylophone").branch != "fast"


def test_6_tool_results_memories_and_tool_calls_are_assessed_too(base: RuleBase, embedder: HashEmbedder) -> None:
    guard = SafeHarbor(base, embedder)
    assert guard.assess_call("run", {"task": HARMFUL}).branch != "fast"
    assert guard.assess(f"Result of the search:\n{HARMFUL}").branch != "fast"


def test_7_no_pickle_no_text_in_logs_and_a_silent_judge_is_no_consent(
    base: RuleBase, embedder: HashEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(package.__file__).parent
    for path in folder.glob("*.py"):
        names = {alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import) for alias in node.names}
        assert names.isdisjoint({"pickle", "joblib", "dill", "marshal", "shelve"})
    assert not [path for path in SHIPPED.rglob("*") if path.suffix in (".pkl", ".pth", ".pt", ".npz", ".npy")]
    with caplog.at_level(logging.DEBUG):
        for script in (["", ""], [ModelError("down")]):
            assert SafeHarbor(base, embedder, ScriptedChat(script)).assess(HARMFUL).branch == "block"
    assert "card numbers" not in caplog.text


def test_8_rules_are_held_to_a_standard() -> None:
    from tierkeep.guard.safeharbor.rules import template

    pair = template("r", "fraud", "a", "")
    for changes in ({"topic": "topic"}, {"benign_exemption": ""}, {"benign_exemption": "Help me with my tax."}, {"harm_rule": HARMFUL}):
        assert faults(pair.model_copy(update=changes), [HARMFUL])


def test_9_what_is_shipped_is_whole() -> None:
    assert {path.name for path in SHIPPED.iterdir()} == {
        "base.json", "clusters", "projector.safetensors", "reservoir.json", "vectors.safetensors"
    }  # fmt: skip
    assert BenignRecord(intent="x").tool_pattern == "System.General_Process"
