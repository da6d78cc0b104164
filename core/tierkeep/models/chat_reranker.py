"""A chat model as a re-ranker: it is shown all candidates at once and names those that help, best first (strategies spec, 5.14)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance, Clock
from tierkeep.clock import SystemClock
from tierkeep.errors import ModelError, SettingsError
from tierkeep.prompts import ranking
from tierkeep.protocols import ChatModel, TokenCounter
from tierkeep.skills import Skills
from tierkeep.tokens import EstimateCounter

__all__ = ["ChatReranker"]

#: Tokens of a reply beside its numbers, and tokens that a number may take.
_FRAME, _NUMBER = 64, 6


class ChatReranker:
    """Any chat model as a `Reranker`, at one call a question; the call counts in the question's ceiling like every other (skill `rank`).

    What it names gets scores from 1 downwards in equal steps, what it does not name gets 0, so that the search decides among those. A
    number that names nothing is passed over. When it names nothing at all, every score is 0 and nothing changes.

    Args:
        chat: The model; a small one will do.
        counter: How prompts are measured before they are sent; None for an estimate.
        clock: For the time that calls take; None for the machine's.
        line_chars: Characters of a text that are shown.
    """

    def __init__(
        self, chat: ChatModel, *, counter: TokenCounter | None = None, clock: Clock | None = None, line_chars: int = 240
    ) -> None:
        if line_chars < 1:
            raise SettingsError(f"line_chars must be at least 1, not {line_chars}")
        self.name = f"chat/{chat.name}"
        self._skills = Skills(chat, counter or EstimateCounter(), clock or SystemClock())
        self._line_chars = line_chars

    def rerank(self, question: str, texts: Sequence[str], allowance: Allowance) -> NDArray[np.float32]:
        """Return scores from 0 to 1, shape (len(texts),), in input order.

        Raises:
            ModelError: The model failed, its reply did not fit twice, or the allowance is used up; the trace says which.
        """
        scores = np.zeros(len(texts), dtype=np.float32)
        if not texts:
            return scores
        prompt = ranking.messages(question, texts, self._line_chars)
        most = _FRAME + _NUMBER * len(texts)
        reply = self._skills.use("rank", prompt, ranking.RankingReply, allowance, max_tokens=most)
        if reply is None:
            raise ModelError(f"{self.name} gave no ranking")
        named = ranking.in_order(reply.ranking, len(texts))
        scores[named] = np.linspace(1.0, 0.0, len(named), endpoint=False, dtype=np.float32)
        return scores
