"""Re-ranking: a dearer model reads the best hits again, and its scores are blended into the search's own.

Blended and never put in their place: a cross-encoder that was trained on web search made the ranking of conversations worse by 6.9
points when it replaced the scores (arXiv 2606.04194).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import ModelError
from tierkeep.protocols import Reranker
from tierkeep.records import Event, Hit
from tierkeep.settings import RerankSettings

__all__ = ["Reranked", "Reranking", "as_line"]


class Reranked(NamedTuple):
    """Hits, best first, and why the search's own order stands; "" when it was blended."""

    hits: list[Hit]
    note: str = ""


def as_line(hit: Hit) -> str:
    """Return what a re-ranker reads of a hit: its day, who said it and what, as evidence shows it; the text of a record."""
    item = hit.item
    return f"[{item.at[:10]}] {item.speaker or item.role}: {item.text}" if isinstance(item, Event) else item.text


class Reranking:
    """Scores the best hits again and blends.

    Within the best `n`, both scores are scaled to 0 … 1 (min-max), the blend is `(1 - weight) * own + weight * other`, and it is scaled
    back to the range that these hits had. Min-max and not z-scores, because it bounds the harm: a hit's score moves by at most
    `weight` times that range, so a hit whose own scaled score leads another's by more than `weight / (1 - weight)` stays before it
    whatever the re-ranker says. Hits from `n` on keep their scores and come after. The unit of the scores is kept, because the packer
    weighs them against lengths.

    A re-ranker that tells no hit from another changes nothing. Hits with a flag (profile values) keep their place.

    Args:
        reranker: The model.
        settings: How many, how much.
        shown: What the re-ranker reads of a hit.

    Attributes:
        n: Hits that are read again.
    """

    def __init__(self, reranker: Reranker, settings: RerankSettings, shown: Callable[[Hit], str] = as_line) -> None:
        self.n = settings.n
        self._reranker = reranker
        self._settings = settings
        self._shown = shown

    def __call__(self, question: str, hits: Sequence[Hit], allowance: Allowance) -> Reranked:
        """Return the hits in blended order; ties keep the order that they had.

        Args:
            question: What was searched for.
            hits: Best first. They may be shown to the re-ranker: a guard has released them.
            allowance: For its deadline, and for the calls of a re-ranker that is a chat model.
        """
        places = [place for place, hit in enumerate(hits) if not hit.flag][: self.n]
        if len(places) < 2 or not self._settings.weight:
            return Reranked(list(hits))
        if allowance.expired():
            return Reranked(list(hits), "not re-ranked: the deadline had passed")
        texts = [self._shown(hits[place])[: self._settings.text_chars] for place in places]
        try:
            scores = np.asarray(self._reranker.rerank(question, texts, allowance), dtype=np.float64)
        except ModelError as error:
            return Reranked(list(hits), f"not re-ranked: {(str(error).splitlines() or ['the model failed'])[0][:200]}")
        if scores.shape != (len(texts),) or not np.isfinite(scores).all():
            return Reranked(list(hits), f"not re-ranked: {self._reranker.name} did not give a finite score for each of {len(texts)} texts")
        best = _blended([hits[place] for place in places], scores, self._settings.weight)
        ordered = list(hits)
        for place, hit in zip(places, best, strict=True):
            ordered[place] = hit
        return Reranked(ordered)


def _blended(hits: Sequence[Hit], scores: NDArray[np.float64], weight: float) -> list[Hit]:
    """Return the hits with blended scores, best first; as they were when the scores do not tell them apart."""
    if scores.min() == scores.max():
        return list(hits)
    own = np.array([hit.score for hit in hits], dtype=np.float64)
    low, high = float(own.min()), float(own.max())
    blend = (1 - weight) * _scaled(own) + weight * _scaled(scores)
    order = np.argsort(-blend, kind="stable")
    return [hits[place]._replace(score=low + (high - low) * float(blend[place])) for place in order]


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values scaled to 0 … 1; zeros when they are all the same."""
    # Halved, because the distance of two finite numbers may not be one.
    halves = values / 2
    span = halves.max() - halves.min()
    return (halves - halves.min()) / span if span > 0 else np.zeros_like(values)
