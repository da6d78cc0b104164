"""The re-ranker contract: subclass it, build your re-ranker in `make_reranker`, and let pytest collect it."""

from __future__ import annotations

import numpy as np

from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.protocols import Reranker

_QUESTION = "Where is the tea kettle?"
_TEXTS = ["The tea kettle whistles.", "", "  ", "Ein Satz auf Deutsch.", "数字と漢字", "word " * 5_000, "line\nbreak\ttab", "🙂"]


class RerankerContract:
    """What every `Reranker` must hold. Each test's docstring says where a failure usually comes from."""

    def make_reranker(self) -> Reranker:
        """Return the re-ranker under test."""
        raise NotImplementedError("override make_reranker() and return your re-ranker")

    def test_is_a_reranker(self) -> None:
        """Usual cause: `name` is missing."""
        reranker = self.make_reranker()
        assert isinstance(reranker, Reranker) and reranker.name

    def test_one_finite_score_a_text(self) -> None:
        """Usual cause: a column instead of a flat array, float64, or a text longer than the model's window."""
        scores = self.make_reranker().rerank(_QUESTION, _TEXTS, Allowance(SystemClock()))
        assert scores.shape == (len(_TEXTS),) and scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_no_text_gives_no_score(self) -> None:
        """Usual cause: the model is called with an empty batch."""
        assert self.make_reranker().rerank(_QUESTION, [], Allowance(SystemClock())).shape == (0,)

    def test_the_same_twice(self) -> None:
        """Usual cause: dropout left on, or sampling."""
        reranker = self.make_reranker()
        first, second = (reranker.rerank(_QUESTION, _TEXTS, Allowance(SystemClock())) for _ in range(2))
        assert np.allclose(first, second, atol=1e-4)

    def test_any_question_will_do(self) -> None:
        """Usual cause: an empty question, or one that alone fills the model's window."""
        for question in ("", "why " * 2_000):
            assert np.isfinite(self.make_reranker().rerank(question, _TEXTS[:3], Allowance(SystemClock()))).all()
