"""The score of every event of a scope: contextual BM25 with a session, a speaker and a date view, and similarity when there is an embedder.

Weighted sums, no ranks: fusing ranks with a weak member loses to the strong one (strategies 8.1; docs/benchmarks.md). No model, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tierkeep.protocols import Near
from tierkeep.retrieve.bm25 import event_scores, match, session_scores
from tierkeep.retrieve.concepts import classes_named, synonyms_named
from tierkeep.retrieve.dense import dense_scores
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.neighbours import neighbour_scores
from tierkeep.retrieve.priors import date_prior, name_shares, speaker_prior
from tierkeep.retrieve.question import Question
from tierkeep.settings import RetrievalSettings

__all__ = ["Scores", "confidence", "rank", "score"]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of all events, and what they are made of.

    Attributes:
        total: Shape (N,), at least 0; 0 for an event that is hidden, or that nothing speaks for.
        lexical: The same from words alone; what confidence is read from. Where nothing else counts, it is `total` itself.
        parts: Summands `event`, `session`, `neighbour`, `dense` and factors `speaker`, `date`, each of shape (N,); a part that
            did not apply is absent. `total = (event + session + neighbour + dense) * speaker * date` where visible.
    """

    total: NDArray[np.float32]
    lexical: NDArray[np.float32]
    parts: dict[str, NDArray[np.float32]]


def score(
    index: ScopeIndex,
    question: Question,
    mask: NDArray[np.bool_] | None = None,
    settings: RetrievalSettings | None = None,
    near: Near | None = None,
) -> Scores:
    """Scores every event of the scope for a question.

    Args:
        index: The scope's events, N of them.
        question: From `read_question`.
        mask: Visible events, shape (N,); None for all. Hidden events score 0 and influence nothing: when the mask hides
            whole sessions or all that came after some moment, the scores are those of an index without the rest.
        settings: Weights; the defaults when None.
        near: Similarities of the events to the question; None without an embedder.
    """
    settings = settings or RetrievalSettings()
    matches = match(index, _queries(index, question, settings), mask, settings.query_terms)
    own = event_scores(index, matches, mask, settings)
    parts = {"event": own}
    parts["session"] = (np.float32(settings.session) * session_scores(index, matches, mask, settings))[index.session]
    parts["neighbour"] = neighbour_scores(index, own, settings, settings.neighbour)
    lexical = total = parts["event"] + parts["session"] + parts["neighbour"]
    if near is not None:
        alike = dense_scores(index, near, mask, settings)
        parts["dense"] = alike + neighbour_scores(index, alike, settings, settings.dense_neighbour)
        total = lexical + parts["dense"]
    factors = {"speaker": speaker_prior(index, question, settings), "date": date_prior(index, question.dates, settings)}
    for name, factor in factors.items():
        if factor is not None:
            parts[name] = factor
            total, lexical = _times(total, lexical, factor)
    if mask is not None:
        total, lexical = _times(total, lexical, mask)
    return Scores(total, lexical, parts)


def _times(
    total: NDArray[np.float32], lexical: NDArray[np.float32], factor: NDArray[np.float32] | NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both times the factor; where they are one array, one array."""
    product = total * factor
    return product, product if lexical is total else lexical * factor


def _queries(index: ScopeIndex, question: Question, settings: RetrievalSettings) -> list[tuple[Sequence[int], float]]:
    """The question's terms, each with its share, then the classes and the synonym groups it names."""
    shares = name_shares(index, question, settings)
    terms = question.terms.tolist()
    queries: list[tuple[Sequence[int], float]] = [((term,), shares.get(term, 1.0)) for term in terms]
    expandable = frozenset(terms).difference(shares)  # a name that is also a word stands for the person
    if settings.concept > 0:
        queries += [(sorted(members), settings.concept) for members in classes_named(expandable)]
    if settings.synonym > 0:
        queries += [(sorted(others), settings.synonym) for others in synonyms_named(expandable)]
    return queries


def rank(
    index: ScopeIndex, values: NDArray[np.float32], limit: int, places: NDArray[np.int64] | None = None
) -> NDArray[np.intp]:
    """Rows of the best `limit` positive values: value descending, then newest, then place ascending.

    Args:
        index: The scope's events, N of them.
        values: Shape (N,), such as `Scores.total`.
        limit: At most this many rows.
        places: What decides last, shape (N,); None for `seq`.
    """
    rows = np.flatnonzero(values > 0)
    held = values[rows]
    if limit < len(rows):
        # Everything level with the last admitted value stays until the tie rule has decided.
        least = np.partition(held, len(rows) - limit)[len(rows) - limit] if limit > 0 else np.inf
        admitted = held >= least
        rows, held = rows[admitted], held[admitted]
    # Rows stand in the order of `seq`, and a sort by several keys leaves what is level in all of them as it stood.
    last = () if places is None else (places[rows],)
    order = np.lexsort((*last, -index.ts[rows], -held))
    return rows[order[:limit]]


def confidence(scores: NDArray[np.float32], settings: RetrievalSettings | None = None) -> float:
    """How far the best event stands out, in [0, 1]: the offline sufficiency signal.

    One minus the normalised entropy of the softmax of the ten best scores; fewer than ten are filled with zeros.

    Args:
        scores: Scores in BM25 units, any shape and order: `Scores.lexical`, which predicts better than the event part.
        settings: For the count and the temperature; the defaults when None.
    """
    settings = settings or RetrievalSettings()
    count = settings.confidence_hits
    known = np.append(scores.ravel(), np.zeros(count, np.float32))
    best = np.sort(np.partition(known, len(known) - count)[len(known) - count :])[::-1].astype(np.float64)
    if best[0] <= 0:
        return 0.0
    shares = np.exp((best - best[0]) / settings.confidence_temperature)
    shares /= shares.sum()
    entropy = -float(np.sum(shares * np.log(np.maximum(shares, 1e-300))))
    return min(1.0, max(0.0, 1.0 - entropy / float(np.log(count))))
