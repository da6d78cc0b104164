"""BM25 over events and over their sessions, dense, in one pass over the postings of the question's terms.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the non-negative idf
`ln(1 + (N - df + 0.5) / (df + 0.5))`. All statistics are those of the visible events, so what a mask hides can neither be
found nor be felt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.postings import Postings
from tierkeep.settings import RetrievalSettings

__all__ = ["Matches", "event_scores", "match", "session_scores"]

_Mask = NDArray[np.bool_]


class Matches(NamedTuple):
    """The visible postings of each question term, with its idf among visible events and the share of it that counts."""

    postings: list[Postings]
    idf: list[float]
    share: list[float]
    visible: int


def _idf(documents: int, holding: int) -> float:
    return float(np.log1p((documents - holding + 0.5) / (holding + 0.5)))


def match(
    index: ScopeIndex,
    queries: Sequence[tuple[Sequence[int], float]],
    mask: _Mask | None,
    limit: int,
) -> Matches:
    """Looks the query terms up.

    Args:
        index: The scope's events.
        queries: Each the term ids that count as one query term, and the factor for its weight.
        mask: Visible events, shape (N,); None for all.
        limit: Terms kept, the rarest first.
    """
    visible = len(index) if mask is None else int(np.count_nonzero(mask))
    found: list[tuple[float, Postings]] = []
    looked_up = index.find_each([np.asarray(terms, np.uint32) for terms, _ in queries])
    for postings, (_, share) in zip(looked_up, queries, strict=True):
        if mask is not None:
            seen = mask[postings.rows]
            postings = Postings(postings.rows[seen], postings.counts[seen])
        if len(postings.rows):
            found.append((share, postings))
    found = sorted(found, key=lambda pair: len(pair[1].rows))[:limit]
    return Matches(
        [postings for _, postings in found],
        [_idf(visible, len(postings.rows)) for _, postings in found],
        [share for share, _ in found],
        visible,
    )


def _length_factor(sizes: NDArray[np.float32], mean: float, k1: float, b: float) -> NDArray[np.float32]:
    """`k1 * (1 - b + b * size / mean)`, the denominator's constant part, shape of `sizes`."""
    factor: NDArray[np.float32] = sizes * np.float32(k1 * b / max(mean, 1e-9)) + np.float32(k1 * (1 - b))
    return np.maximum(factor, np.float32(1e-6), out=factor)


def event_scores(index: ScopeIndex, matches: Matches, mask: _Mask | None, settings: RetrievalSettings) -> NDArray[np.float32]:
    """BM25 of every event, shape (N,); zero where nothing matches or the mask hides the event."""
    scores = np.zeros(len(index), np.float32)
    if not matches.postings:
        return scores
    sizes = index.size.astype(np.float32)
    total = float(index.size.sum() if mask is None else index.size[mask].sum())
    factor = _length_factor(sizes, total / max(matches.visible, 1), settings.k1, settings.b)
    for (rows, counts), idf, share in zip(matches.postings, matches.idf, matches.share, strict=True):
        counts32 = counts.astype(np.float32)
        scores[rows] += np.float32(idf * share * (settings.k1 + 1)) * counts32 / (counts32 + factor[rows])
    return scores


def session_scores(index: ScopeIndex, matches: Matches, mask: _Mask | None, settings: RetrievalSettings) -> NDArray[np.float32]:
    """BM25 of every session as one document, shape (sessions,), from its visible events only."""
    scores = np.zeros(index.sessions, np.float32)
    if not matches.postings:
        return scores
    weights = index.size if mask is None else index.size * mask
    sizes = np.bincount(index.session, weights=weights, minlength=index.sessions).astype(np.float32)
    live = int(np.count_nonzero(sizes))
    factor = _length_factor(sizes, float(sizes.sum()) / max(live, 1), settings.session_k1, settings.session_b)
    for (rows, counts), share in zip(matches.postings, matches.share, strict=True):
        sums = np.bincount(index.session[rows], weights=counts, minlength=index.sessions).astype(np.float32)
        idf = _idf(live, int(np.count_nonzero(sums)))
        scores += np.float32(idf * share * (settings.session_k1 + 1)) * sums / (sums + factor)
    return scores
