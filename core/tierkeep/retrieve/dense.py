"""What an embedder adds to the score: how far an event's similarity stands out from the scope's, in standard deviations."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.errors import ModelError, StorageError
from tierkeep.protocols import Embedder, Near, VectorIndex, View
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.patience import Late, Patience
from tierkeep.settings import RetrievalSettings

__all__ = ["Dense", "dense_scores"]

_LOG = logging.getLogger(__name__)
_LEAST_SPREAD = 1e-4  # below it all events are alike, and what stands out is rounding
_KEPT_QUESTIONS = 64  # an escalation asks the same again; so does an agent
_NOTHING = Near(np.zeros(0, np.int64), np.zeros(0, np.float32), complete=False)
_SHARE = 0.5  # of the time that is left may go to the embedder: what shares a word is found in the rest
_AT_ONCE = 4  # questions that wait for an embedder with a deadline; a server that hangs holds no more threads than these
#: Everyday sentences about nothing in particular. A memory of three messages has no mean that says what unrelated texts look like to an
#: encoder; with these it has, and in a memory of hundreds they no longer count.
_BACKDROP = (
    "The train left a little earlier than planned.", "A window on the second floor was open.", "They painted the wall in a light colour.",
    "The report has three chapters.", "Nobody had seen the key since Monday.", "It was cloudy in the morning.",
    "The shop around the corner closes at six.", "We changed the batteries.", "The lecture was about old maps.",
    "Two boxes are still in the cellar.", "He closed the book and looked up.", "The bridge is being repaired.",
    "There was a queue in front of the counter.", "She wrote the address on an envelope.", "The river is low this summer.",
    "A neighbour asked for the ladder.", "The meeting was moved to another room.", "They planted a row of trees.",
    "The cups are in the upper shelf.", "His answer came after a while.", "The concert was sold out.", "A light was on in the office.",
    "The table is made of oak.", "Somebody had left a note.",
)  # fmt: skip


def dense_scores(index: ScopeIndex, near: Near, mask: NDArray[np.bool_] | None, settings: RetrievalSettings) -> NDArray[np.float32]:
    """Return the score of every event by its similarity, shape (N,), at least 0, in units of `settings.dense`.

    Cosines of encoders differ in place and spread (unrelated texts have 0.1 with one and 0.7 with another), so only their standing counts:
    standard deviations above the mean of the visible events and the backdrop, less `settings.dense_floor`. An event without a vector has
    0, which is what most have.

    Args:
        index: The scope's events, N of them.
        near: Similarities.
        mask: Visible events, shape (N,); None for all. Hidden ones score 0 and influence nothing, except through `near.spread`.
        settings: Weights.
    """
    scores = np.zeros(len(index), np.float32)
    rows = np.searchsorted(index.seq, near.seqs)
    known = rows < len(index)
    known[known] = index.seq[rows[known]] == near.seqs[known]
    if mask is not None:
        known[known] = mask[rows[known]]
    similarities, rows = (near.similarities, rows) if known.all() else (near.similarities[known], rows[known])
    if not len(rows):
        return scores
    if near.spread is None:
        common = np.concatenate([similarities, near.backdrop])
        mean, deviation = float(common.mean()), float(common.std())
    else:
        mean, deviation = near.spread
    if deviation > _LEAST_SPREAD:
        standing = (similarities - np.float32(mean)) * np.float32(settings.dense / deviation)
        scores[rows] = np.maximum(standing - np.float32(settings.dense * settings.dense_floor), 0)
    return scores


class Dense:
    """Embeds questions and looks their neighbours up. Threads may share it.

    Args:
        embedder: The one that made the vectors, behind its checks (`tierkeep.models.checked`).
        vectors: Where they are searched.
    """

    def __init__(self, embedder: Embedder, vectors: VectorIndex) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._lock = threading.Lock()
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._backdrop: NDArray[np.float32] | None = None
        self._patience: Patience[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = Patience(_AT_ONCE)

    def near(self, text: str, view: View, allowance: Allowance) -> tuple[Near | None, str]:
        """Return how similar the scope's events are to a text, and "" or why they could not be compared: then words have to do.

        Args:
            text: The question.
            view: The scope.
            allowance: For its deadline, of which an embedder gets half: then words have to do, and the rest is marked as not looked at.
        """
        if allowance.expired():
            return None, ""
        try:
            identity, vector, unrelated = self._embedded(text, allowance)
            if not vector.any():
                return None, ""  # the question says nothing to this embedder
            near = self._vectors.near(view, identity, vector, allowance)
            return near._replace(backdrop=unrelated @ vector), ""
        except Late:
            return _NOTHING, "the embedder did not answer in time: searched by words only"
        except ModelError as error:
            why = f"the embedder failed ({type(error).__name__})"
        except StorageError as error:
            why = f"the vector index failed ({type(error).__name__})"
        _LOG.warning("%s; searched by words only", why)
        return None, f"{why}: searched by words only"

    def _embedded(self, text: str, allowance: Allowance) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
        """Return the embedder's identity, the question's vector and those of the backdrop."""
        left = allowance.seconds_left()
        with self._lock:
            known = text in self._known and self._backdrop is not None
        # Nothing is asked for what is known, so no thread is needed to wait for it.
        seconds = None if left is None or known else left * _SHARE
        return self._patience(lambda: (self._embedder.identity, self._vector(text), self._unrelated()), seconds)

    def _unrelated(self) -> NDArray[np.float32]:
        if self._backdrop is None:
            self._backdrop = self._embedder.embed(_BACKDROP)
        return self._backdrop

    def _vector(self, text: str) -> NDArray[np.float32]:
        with self._lock:
            if text in self._known:
                self._known.move_to_end(text)
                return self._known[text]
        embed = getattr(self._embedder, "embed_queries", self._embedder.embed)
        vector: NDArray[np.float32] = embed([text])[0]
        with self._lock:
            self._known[text] = vector
            while len(self._known) > _KEPT_QUESTIONS:
                self._known.popitem(last=False)
        return vector
