"""Structured output by constrained decoding: a model may write only what a JSON schema allows, by a grammar of llguidance."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from tierkeep.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

__all__ = ["Complete", "Constraint", "Grammars"]

_log = logging.getLogger(__name__)
#: Compact: a small model may otherwise write blanks until its tokens are used up.
_OPTIONS = {"whitespace_flexible": False}
#: Tokens that are decoded to see whether a thought has just ended.
_TAIL = 16


class Constraint(LogitsProcessor):  # type: ignore[misc]
    """Keeps one reply inside a grammar. Given to `generate` as a logits processor, and to `Complete` to end the reply.

    Args:
        matcher: The grammar's state.
        thought: Says of the ids so far whether the model is still thinking, when its prompt left a thought open; the grammar begins behind
            it. None when it begins at once.
    """

    def __init__(self, matcher: LLMatcher, thought: Callable[[list[int]], bool] | None = None) -> None:
        self._matcher = matcher
        self._thought = thought
        self._start: int | None = None
        self._read = 0

    @property
    def finished(self) -> bool:
        """Whether the reply is whole: nothing may follow but its end."""
        return self._thought is None and bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def follow(self, ids: Tensor) -> None:
        """Take the tokens that are new.

        Args:
            ids: All tokens of the one row, the prompt too: (tokens,). The first call defines where the prompt ends.

        Raises:
            ModelError: The grammar gave up, for it became too large.
        """
        if self._start is None:
            self._start = self._read = len(ids)
        for place in range(self._read, len(ids)):
            if self._thought is not None:
                if not self._thought(ids[max(self._start, place + 1 - _TAIL) : place + 1].tolist()):
                    self._thought = None
            elif not self._matcher.is_stopped():
                self._matcher.consume_token(int(ids[place]))
        self._read = len(ids)
        if self._matcher.is_error():
            said = next(iter(str(self._matcher.get_error()).splitlines()), "")  # what follows is the parser's state
            raise ModelError(f"the grammar of the reply gave up: {said}")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits, (1, vocabulary), with -inf for what may not follow, tokens that the tokenizer does not know among it."""
        self.follow(input_ids[0])
        if self._thought is not None:
            return scores
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little").astype(bool)
        size = scores.shape[-1]
        allowed = torch.zeros(size, dtype=torch.bool)
        allowed[: min(size, len(bits))] = torch.from_numpy(bits[:size])
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)


class Complete(StoppingCriteria):  # type: ignore[misc]
    """Ends a reply with the last character that its grammar allows, without waiting for an end token.

    Args:
        constraint: The reply's.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Return for the one row whether it is whole, shape (1,)."""
        self._constraint.follow(input_ids[0])
        return torch.tensor([self._constraint.finished], device=input_ids.device)


class Grammars:
    """The grammars of one tokenizer, each made once.

    Args:
        tokenizer: Of transformers. Without a fast one there are no grammars.
        ends: The tokens that end a reply.

    Raises:
        MissingExtraError: `llguidance` is not installed.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int]) -> None:
        if importlib.util.find_spec("llguidance") is None:
            raise MissingExtraError("Structured output of a local model", extra="transformers")
        self._tokenizer = _wrapped(tokenizer, ends)
        self._grammars: dict[str, str | None] = {}

    def constraint(self, schema: Mapping[str, Any], thought: Callable[[list[int]], bool] | None = None) -> Constraint | None:
        """Return a new constraint for one reply; None when a schema has something that a grammar cannot say, which the log names once.

        Args:
            schema: The JSON schema of the reply.
            thought: As `Constraint` has it.
        """
        if self._tokenizer is None:
            return None
        from llguidance import LLMatcher

        key = json.dumps(schema)
        if key not in self._grammars:
            self._grammars[key] = _grammar(key, self._tokenizer)
        grammar = self._grammars[key]
        return None if grammar is None else Constraint(LLMatcher(self._tokenizer, grammar, log_level=0), thought)


def _wrapped(tokenizer: Any, ends: Sequence[int]) -> LLTokenizer | None:
    from llguidance.hf import from_tokenizer

    try:
        return from_tokenizer(tokenizer, eos_token=list(ends) or None)
    except ValueError as error:
        name = type(tokenizer).__name__
        _log.warning("no constrained decoding with a %s (%s): replies are asked for in the prompt and checked", name, error)
        return None


def _grammar(schema: str, tokenizer: LLTokenizer) -> str | None:
    from llguidance import LLMatcher

    grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_OPTIONS)  # type: ignore[arg-type]
    wrong, messages = LLMatcher.validate_grammar_with_warnings(grammar, tokenizer)
    if wrong:
        _log.warning("no grammar for a schema (%s): the reply is asked for in the prompt and checked", "; ".join(messages))
        return None
    return grammar
