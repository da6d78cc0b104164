"""What a local model holds on to, as a re-ranker of the core: it reads the candidates, then the question; its cache says the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from tierkeep import Message
from tierkeep.models.framework import outcome
from tierkeep_transformers.codecs import Codec
from tierkeep_transformers.loading import display_name
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.retention import turns_held

__all__ = ["RetentionReranker"]


class _Time(Protocol):
    """What is asked of an allowance."""

    def seconds_left(self) -> float | None:
        """Return the seconds that are left."""
        ...


class RetentionReranker:
    """A `Reranker`: relevance is the share of a text that the model still holds, after all texts and then the question.

    It takes a policy that weighs what was read: learned gates, or attention of the last tokens, which are then the question's. One that
    looks at positions only says nothing about relevance. All texts have to fit the model's positions together.

    Args:
        model: A decoder of transformers.
        tokenizer: Its tokenizer.
        policy: What is kept; a budget well below the candidates' tokens, or everything is held.
        codec: How it is stored.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any, policy: Policy, *, codec: Codec | None = None) -> None:
        self.name = f"retention/{display_name(model)}/{policy.name}"
        self._model = model
        self._tokenizer = tokenizer
        self._policy = policy
        self._codec = codec

    def rerank(self, question: str, texts: Sequence[str], allowance: _Time) -> NDArray[np.float32]:
        """Return relevances from 0 to 1, shape (len(texts),), in input order.

        Raises:
            ModelError: The texts do not fit the model, it failed, or time ran out. The search's own order then stands.
        """
        if not texts:
            return np.zeros(0, dtype=np.float32)
        turns = [Message(text=text, speaker="memory") for text in texts] + [Message(text=question, speaker="question")]
        found = outcome(
            lambda: turns_held(self._model, self._tokenizer, turns, self._policy, codec=self._codec), self.name, allowance.seconds_left()
        )
        return np.array([turn.held for turn in found[:-1]], dtype=np.float32)
