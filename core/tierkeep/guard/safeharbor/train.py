"""Training of the projector: L_cls + lambda L_con, seeded, on a share of the texts, the rest held out (guard spec 2.4). torch only here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import InputError, MissingExtraError
from tierkeep.guard.safeharbor.mutation import variants
from tierkeep.guard.safeharbor.projector import Head, Projector
from tierkeep.guard.safeharbor.tree import Matrix, RiskTree
from tierkeep.protocols import Embedder
from tierkeep.settings import SafeHarborSettings

Progress = Callable[[int, int], None]
_SHARES = (0.5, 0.9, 0.95, 0.98, 0.99)


class Trained(NamedTuple):
    """A projector and how it did.

    Attributes:
        projector: The weights of the best epoch on the held-out texts.
        report: Figures: texts, epochs, losses, area under the curve, quantiles of s_harm, histograms.
    """

    projector: Projector
    report: dict[str, Any]


class Examples(NamedTuple):
    """Vectors with labels. A text and its disguises are always on the same side of the split.

    Attributes:
        vectors: Shape (texts, dimension).
        harmful: Shape (texts,).
        held_out: Shape (texts,).
        plain: Shape (texts,): whether the text is as it was written, not disguised.
    """

    vectors: Matrix
    harmful: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    plain: NDArray[np.bool_]


def examples(tree: RiskTree, embedder: Embedder, settings: SafeHarborSettings, *, seed: int = 0, fold: int = 0) -> Examples:
    """Return a tree's exemplars and benign texts, each with one variant of every paradigm, embedded.

    Benign texts are disguised as attacks are, so that the disguise says nothing. Which texts are held out depends on their words alone.

    Args:
        tree: Whose texts.
        embedder: Makes the vectors.
        settings: Share that is held out.
        seed: Chooses the disguises and the split.
        fold: Which share is held out, from 0.

    Raises:
        ModelError: The embedder is down.
    """
    harmful = [one.text for _, leaf in tree.leaves() for one in leaf.exemplars]
    labelled = [(text, True) for text in harmful] + [(one.record.intent, False) for one in tree.benign()]
    rows: list[tuple[str, bool, bool, bool]] = []
    for text, label in labelled:
        share = int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode("utf-8", "replace")).digest()[:4], "big") / 2**32
        held = fold * settings.held_out <= share < (fold + 1) * settings.held_out
        rows += [(text, label, held, True), *((variant, label, held, False) for _, variant in variants(text, seed=seed))]
    vectors = np.asarray(embedder.embed([row[0] for row in rows]), dtype=np.float32)
    flags = np.array([row[1:] for row in rows], dtype=bool)
    return Examples(vectors, flags[:, 0], flags[:, 1], flags[:, 2])


def train(
    data: Examples,
    embedder: str,
    settings: SafeHarborSettings | None = None,
    *,
    head: Head = "prototypes",
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """Return a projector trained on what is not held out, at the epoch that does best on what is.

    Args:
        data: Examples.
        embedder: Identity of the embedder that made the vectors.
        settings: Sizes and losses.
        head: Paper mode or code mode.
        seed: Of weights and order; the same seed gives the same weights on the same machine.
        progress: Is told (epoch, epochs).

    Raises:
        InputError: A side of the split lacks harmful or benign texts.
        MissingExtraError: torch is not installed.
    """
    settings = settings or SafeHarborSettings()
    for held in (True, False):
        if len(set(data.harmful[data.held_out == held])) < 2:
            raise InputError("training needs harmful and benign texts on both sides of the split: add texts", field="data")
    torch = _torch()
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # sums then come in one order, and so small a network is no faster on several
        torch.manual_seed(seed)
        network = _network(torch, data.vectors.shape[1], settings, head)
        best, losses = _fit(torch, network, data, settings, head, progress)
    finally:
        torch.random.set_rng_state(before)
        torch.set_num_threads(threads)
    projector = Projector(best, head, embedder)
    return Trained(projector, {"head": head, "seed": seed, **losses, **measured(projector, data)})


def measured(projector: Projector, data: Examples) -> dict[str, Any]:
    """Return how a projector tells held-out harmful texts from benign ones; as written and disguised."""
    report: dict[str, Any] = {"texts": len(data.harmful), "held_out": int(data.held_out.sum())}
    scores = projector.s_harm(data.vectors)
    for name, chosen in (("plain", data.plain), ("disguised", ~data.plain)):
        harm, benign = (scores[chosen & data.held_out & (data.harmful == side)] for side in (True, False))
        report[name] = {
            "auc": round(float((harm[:, None] > benign[None, :]).mean()), 4) if len(harm) and len(benign) else None,
            "benign_quantiles": {str(share): round(float(np.quantile(benign, share)), 4) for share in _SHARES} if len(benign) else {},
            "histogram_harmful": np.histogram(harm, bins=10, range=(0, 1))[0].tolist(),
            "histogram_benign": np.histogram(benign, bins=10, range=(0, 1))[0].tolist(),
        }
    return report


def block_threshold(scores: Sequence[float] | NDArray[np.float64], share: float = 0.01) -> float:
    """Return the s_harm that at most this share of benign texts passes.

    Args:
        scores: s_harm of benign texts that were held out.
        share: Of them.
    """
    return float(np.quantile(np.asarray(scores, dtype=np.float64), 1.0 - share, method="higher"))


def _network(torch: ModuleType, dimension: int, settings: SafeHarborSettings, head: Head) -> Any:
    layers = torch.nn.Sequential(
        torch.nn.Linear(dimension, settings.hidden), torch.nn.ReLU(), torch.nn.Dropout(settings.dropout),
        torch.nn.Linear(settings.hidden, settings.out),
    )  # fmt: skip
    network = torch.nn.Module()
    network.layers = layers
    if head == "sigmoid":
        network.classifier = torch.nn.Linear(settings.out, 1)
    else:
        network.prototypes = torch.nn.Parameter(torch.randn(2, settings.out) * 0.3)
    return network


def _logits(torch: ModuleType, network: Any, vectors: Any, head: Head) -> Any:
    """Return the logit of s_harm: of the prototypes it is d_B - d_H."""
    out = network.layers(vectors)
    if head == "sigmoid":
        return network.classifier(torch.nn.functional.normalize(out, dim=1))[:, 0]
    distances = torch.linalg.vector_norm(out[:, None, :] - network.prototypes[None, :, :], dim=2)
    return distances[:, 0] - distances[:, 1]


def _loss(torch: ModuleType, logits: Any, labels: Any, settings: SafeHarborSettings, head: Head) -> Any:
    """Return L_cls + lambda L_con; the margin of L_con is on the right prototype being nearer."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    if head == "sigmoid":
        return loss
    nearer = torch.where(labels > 0, -logits, logits)  # ||z - w_y|| - ||z - w_not_y||
    return loss + settings.lam * torch.relu(settings.delta + nearer).mean()


def _fit(
    torch: ModuleType, network: Any, data: Examples, settings: SafeHarborSettings, head: Head, progress: Progress | None
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    sides = {}
    for held in (False, True):
        chosen = data.held_out == held
        sides[held] = (torch.tensor(data.vectors[chosen]), torch.tensor(data.harmful[chosen], dtype=torch.float32))
    vectors, labels = sides[False]
    steps = torch.optim.Adam(network.parameters(), lr=settings.rate)
    best: tuple[float, int, dict[str, NDArray[np.float32]]] = (float("inf"), 0, {})
    for epoch in range(1, settings.epochs + 1):
        network.train()
        for rows in torch.randperm(len(labels)).split(settings.batch):
            steps.zero_grad()
            _loss(torch, _logits(torch, network, vectors[rows], head), labels[rows], settings, head).backward()
            steps.step()
        network.eval()
        with torch.no_grad():
            loss = float(_loss(torch, _logits(torch, network, sides[True][0], head), sides[True][1], settings, head))
        if loss < best[0]:
            best = (loss, epoch, _weights(network, head))
        if progress is not None:
            progress(epoch, settings.epochs)
    return best[2], {"loss": round(best[0], 4), "epoch": best[1], "epochs": settings.epochs}


def _weights(network: Any, head: Head) -> dict[str, NDArray[np.float32]]:
    first, last = network.layers[0], network.layers[3]
    found = {"w1": first.weight, "b1": first.bias, "w2": last.weight, "b2": last.bias}
    found |= {"w3": network.classifier.weight, "b3": network.classifier.bias} if head == "sigmoid" else {"prototypes": network.prototypes}
    return {name: tensor.detach().numpy().copy() for name, tensor in found.items()}


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("Training the projector (torch)", extra="sentence-transformers") from None
    return torch
