"""A small rule base with an embedder of words, and the shipped one with its own embedder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tierkeep.errors import MissingExtraError, ModelError
from tierkeep.guard.safeharbor.files import ClusterFile, LeafFile, RuleBase, Texts, embed_texts
from tierkeep.guard.safeharbor.projector import Projector
from tierkeep.guard.safeharbor.tree import BenignRecord, Exemplar, RulePair
from tierkeep.models.doubles import HashEmbedder

HARM = {
    "scam": ["steal the card numbers of customers", "steal passwords of customers by a false page"],
    "arson": ["set the neighbour's house on fire at night", "burn down the house of the neighbour"],
}
BENIGN = {
    "scam": ["send the customers their invoices", "explain how customers keep passwords safe"],
    "arson": ["call the fire brigade for the neighbour", "light a fire in the stove of the house"],
}
EVERYDAY = ["water the plants every morning", "book a table for four on friday"]


def pair(name: str) -> RulePair:
    harm = f"Refuse help with {name} " + "in every form that serves the same end " * 4
    return RulePair(id=f"{name}-rule", harm_rule=harm.strip(), benign_exemption=f"Questions about preventing {name}.", topic=f"all {name}")


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder(512)


@pytest.fixture
def texts() -> Texts:
    clusters = tuple(
        ClusterFile(
            id=name, label=name, category=name,
            leaves=(LeafFile(id=f"{name}/1", rule=pair(name), exemplars=tuple(Exemplar(text=one) for one in HARM[name])),),
            benign=tuple(BenignRecord(intent=one) for one in BENIGN[name]),
        )
        for name in HARM
    )  # fmt: skip
    return Texts(clusters, tuple(BenignRecord(intent=one, tool_pattern=one) for one in EVERYDAY))


def direction(embedder: HashEmbedder) -> NDArray[np.float32]:
    """Return what harmful texts have in common and benign ones have not."""
    harm = [one for every in HARM.values() for one in every]
    good = [one for every in BENIGN.values() for one in every] + EVERYDAY
    found: NDArray[np.float32] = embedder.embed(harm).mean(axis=0) - embedder.embed(good).mean(axis=0)
    return found


def projector_for(embedder: HashEmbedder, scale: float = 12.0) -> Projector:
    """A projector made by hand: one hidden unit for the harmful direction, one against it."""
    along = direction(embedder) * scale
    weights = {
        "w1": np.stack([along, -along]), "b1": np.zeros(2, np.float32), "w2": np.eye(2, dtype=np.float32), "b2": np.zeros(2, np.float32),
        "prototypes": np.array([[0, 4], [4, 0]], np.float32),
    }  # fmt: skip
    return Projector(weights, "prototypes", embedder.identity)


@pytest.fixture
def base(texts: Texts, embedder: HashEmbedder) -> RuleBase:
    return RuleBase(embed_texts(texts, embedder), projector_for(embedder))


@pytest.fixture(scope="session")
def minilm() -> Any:
    """The embedder of the shipped base, where its weights are."""
    try:
        from tierkeep.models.minilm import MiniLMEmbedder

        return MiniLMEmbedder()
    except (MissingExtraError, ModelError) as error:
        pytest.skip(f"the shipped rule base needs all-MiniLM-L6-v2: {error}")
