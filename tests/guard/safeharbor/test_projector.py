"""The projector: its formulas, what it refuses, and its training."""

from __future__ import annotations

import numpy as np
import pytest

from tierkeep.errors import InputError
from tierkeep.guard.safeharbor.files import RuleBase
from tierkeep.guard.safeharbor.projector import Projector
from tierkeep.guard.safeharbor.train import block_threshold, examples, train
from tierkeep.guard.safeharbor.tree import unit
from tierkeep.models.doubles import HashEmbedder
from tierkeep.settings import SafeHarborSettings

RNG = np.random.default_rng(3)


def weights(head: str) -> dict[str, np.ndarray]:
    shapes = {"w1": (5, 8), "b1": (5,), "w2": (3, 5), "b2": (3,)}
    shapes |= {"prototypes": (2, 3)} if head == "prototypes" else {"w3": (1, 3), "b3": (1,)}
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_paper_head_is_the_formula() -> None:
    projector = Projector(weights("prototypes"), "prototypes", "e")
    rows = unit(RNG.normal(size=(6, 8)))
    benign, harmful = projector.weights["prototypes"]
    out = projector.project(rows)
    d_b, d_h = np.linalg.norm(out - benign, axis=1), np.linalg.norm(out - harmful, axis=1)
    assert projector.s_harm(rows) == pytest.approx(np.exp(-d_h) / (np.exp(-d_h) + np.exp(-d_b)), abs=1e-6)


def test_code_head_is_a_sigmoid_of_the_unit_output() -> None:
    projector = Projector(weights("sigmoid"), "sigmoid", "e")
    rows = unit(RNG.normal(size=(6, 8)))
    out = projector.project(rows)
    assert np.linalg.norm(out, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    logits = (out @ projector.weights["w3"].T)[:, 0] + projector.weights["b3"]
    assert projector.s_harm(rows) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)


@pytest.mark.parametrize("head", ["prototypes", "sigmoid"])
def test_projection_is_one_matrix_whatever_the_head_and_checks_the_length(head: str) -> None:
    projector = Projector(weights(head), head, "e")  # type: ignore[arg-type]
    assert projector.project(np.zeros((2, 8), np.float32)).shape == (2, 3)
    for wrong in (np.zeros((2, 3), np.float32), np.zeros(8, np.float32)):
        with pytest.raises(InputError, match="length 8"):
            projector.project(wrong)


def test_weights_that_do_not_fit_are_refused() -> None:
    good = weights("prototypes")
    for bad in (
        {name: value for name, value in good.items() if name != "b1"},
        {**good, "w2": good["w2"][:, :4]},
        {**good, "w1": good["w1"][:4]},
        {**good, "b1": np.full(5, np.nan, np.float32)},
        {**good, "b2": np.ones(3, np.int64)},
    ):
        with pytest.raises(InputError):
            Projector(bad, "prototypes", "e")
    with pytest.raises(InputError, match="head"):
        Projector(good, "other", "e")  # type: ignore[arg-type]


def test_block_threshold_passes_at_most_its_share() -> None:
    scores = np.linspace(0, 1, 200)
    assert (scores > block_threshold(scores, 0.01)).mean() <= 0.01
    assert block_threshold([0.3]) == 0.3


@pytest.mark.parametrize("head", ["prototypes", "sigmoid"])
def test_training_separates_held_out_texts_and_repeats_itself(base: RuleBase, embedder: HashEmbedder, head: str) -> None:
    pytest.importorskip("torch")
    settings = SafeHarborSettings(epochs=6, hidden=16, out=4, held_out=0.4, rate=0.01)
    data = examples(base.tree, embedder, settings, seed=1)
    assert 0 < data.held_out.sum() < len(data.held_out)
    # A text and its disguises are on one side, four disguises to a text.
    assert (data.held_out.reshape(-1, 5) == data.held_out[::5, None]).all()
    told = []
    first = train(data, embedder.identity, settings, head=head, progress=lambda done, total: told.append(done))  # type: ignore[arg-type]
    again = train(data, embedder.identity, settings, head=head)  # type: ignore[arg-type]
    assert told == [1, 2, 3, 4, 5, 6]
    assert first.projector.sha256() == again.projector.sha256()
    scores = first.projector.s_harm(data.vectors)
    assert scores[~data.held_out & data.harmful].mean() > scores[~data.held_out & ~data.harmful].mean()
    assert sum(first.report["plain"]["histogram_benign"]) == (data.held_out & data.plain & ~data.harmful).sum()


def test_training_wants_both_kinds_on_both_sides(base: RuleBase, embedder: HashEmbedder) -> None:
    data = examples(base.tree, embedder, SafeHarborSettings(held_out=0.4), seed=1)
    with pytest.raises(InputError, match="both sides"):
        train(data._replace(harmful=np.ones_like(data.harmful)), "e")
