"""The search that tiers share: a question in, the events worth packing out."""

from __future__ import annotations

from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.records import Hit, Query
from tierkeep.retrieve.dense import Dense
from tierkeep.retrieve.fusion import confidence, rank, score
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.retrieve.question import read_question
from tierkeep.settings import RetrievalSettings

#: Characters fetched for each token of the budget: about 4 make a token behind a speaker's name.
_CHARS_PER_TOKEN = 5
#: Hits of average length fetched beside: the packer passes over what is too long for what is left, and goes on to shorter ones.
_SPARE = 16


class Found(NamedTuple):
    """Hits, best first, how far the best stands out (0 to 1), whether time ran out before all of the scope was looked at, and a note."""

    hits: list[Hit]
    confidence: float
    partial: bool = False
    note: str = ""


class Search:
    """Search over a scope's events, by words and, when there is an embedder, by vectors.

    Args:
        indexes: Where indexes come from.
        settings: Weights of retrieval.
        dense: The search by vectors; None without an embedder.
    """

    def __init__(self, indexes: ScopeIndexes, settings: RetrievalSettings, dense: Dense | None = None) -> None:
        self._indexes = indexes
        self._settings = settings
        self._dense = dense

    def __call__(
        self, query: Query, view: View, allowance: Allowance, *, text: str, k: int, budget: int, also: str = ""
    ) -> Found:
        """Return the best events for `text`.

        Args:
            query: For its session.
            view: The scope.
            allowance: For its deadline; past it, what is indexed so far is searched.
            text: What to search for.
            k: At most this many hits.
            budget: Tokens the evidence may have; nothing is fetched that could not be packed.
            also: A second round's words; their scores count half (MemFlow's entity round, tiers 1.4).
        """
        near, note = (None, "") if self._dense is None else self._dense.near(text, view, allowance)
        with self._indexes.use(view, allowance) as (index, complete):
            visible = _visible(index, query, view)
            scores = score(index, read_question(text), visible, self._settings, near)
            total = scores.total
            if also:
                more = score(index, read_question(also), visible, self._settings).total
                total = _scaled(total) + np.float32(0.5) * _scaled(more)
            rows = rank(index, total, self._settings.candidates)
            # Confidence looks at the best scores alone; where they are the ranked ones, they need not be looked for again.
            ranked = total is scores.lexical and self._settings.candidates >= self._settings.confidence_hits
            sure = confidence(total[rows] if ranked else scores.lexical, self._settings)
            rows = _packable(index, rows, total, budget, self._settings)[:k]
            worth: dict[int, float] = dict(zip(index.seq[rows].tolist(), total[rows].tolist(), strict=True))
        hits = [Hit(event, worth[event.seq]) for event in view.events_at(list(worth))]
        hits.sort(key=itemgetter(1), reverse=True)  # by score; equals stay as they are
        return Found(hits, sure, not complete or (near is not None and not near.complete), note)


def _visible(index: ScopeIndex, query: Query, view: View) -> NDArray[np.bool_] | None:
    """Return the rows that may be hits, None for all: of the query's session, and not what the prompt holds already."""
    visible: NDArray[np.bool_] | None = None
    if query.scope.session is not None:
        visible = index.session == index.session_code(query.scope.session)
    if query.seen:
        held = np.array([event.seq for event in view.events(sorted(query.seen))], np.int64)
        unseen = ~np.isin(index.seq, held)
        visible = unseen if visible is None else visible & unseen
    return visible


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    top = float(values.max(initial=0.0))
    return values / np.float32(top) if top > 0 else values


def _packable(
    index: ScopeIndex, rows: NDArray[np.intp], total: NDArray[np.float32], budget: int, settings: RetrievalSettings
) -> NDArray[np.intp]:
    """Return the rows that a packer with this budget could reach, in its order of value."""
    if not len(rows):
        return rows
    length = index.length[rows].astype(np.float64)
    order = np.argsort(-settings.value(total[rows].astype(np.float64), length), kind="stable")
    taken = np.cumsum(np.minimum(length[order], budget * _CHARS_PER_TOKEN / 2))
    reach = budget * _CHARS_PER_TOKEN + _SPARE * float(length[order[: 2 * _SPARE]].mean())
    return rows[order[: int(np.searchsorted(taken, reach)) + 1]]
