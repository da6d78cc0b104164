"""Sequences of the recall task: facts to store, decoys, noise, and questions at the end whose answers can be told only from the facts.

    STORE k v   DECOY k v   noise …                    the context: facts and decoys anywhere, noise between them
    QUERY k v   QUERY k v …                            the tail: facts asked for, drawn with replacement

Whether a token matters can be told when it is written (STORE or DECOY), but not which fact will be asked for. Two shortcuts are closed.
Facts are drawn with replacement: were each asked for once, a model would learn "a value that was not used yet". Values are drawn
independently of keys and of each other, so that neither frequency nor elimination tells an answer. Accuracy counts **first-asked**
questions only: a repeated one can be copied from its earlier answer, whatever was evicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DECOY", "KEYS", "NOISE", "QUERY", "STORE", "VALUES", "VOCABULARY", "Sequences", "Task", "pairs", "words"]

START, STORE, DECOY, QUERY = range(4)
_KIND = 32
KEYS = range(4, 4 + _KIND)
VALUES = range(KEYS.stop, KEYS.stop + _KIND)
NOISE = range(VALUES.stop, VALUES.stop + _KIND)
VOCABULARY = NOISE.stop


@dataclass(frozen=True)
class Sequences:
    """A batch of sequences with what is known of each token, all of shape (batch, length).

    Attributes:
        tokens: The tokens.
        answers: True for a value that answers a question.
        first: True for the answers of questions that are asked for the first time.
        fact_values: True for the value of a stored fact.
    """

    tokens: Tensor
    answers: Tensor
    first: Tensor
    fact_values: Tensor

    @property
    def labels(self) -> Tensor:
        """The tokens that are supervised, -100 elsewhere: the answers, as transformers and the gates' trainer take labels."""
        return self.tokens.masked_fill(~self.answers, -100)

    def part(self, rows: slice) -> Sequences:
        """Return some rows."""
        return Sequences(self.tokens[rows], self.answers[rows], self.first[rows], self.fact_values[rows])


@dataclass(frozen=True)
class Task:
    """How long a sequence is, and what is in it."""

    length: int = 256
    facts: int = 12
    decoys: int = 12
    queries: int = 12

    @property
    def context(self) -> int:
        """Tokens before the first question."""
        return self.length - 3 * self.queries

    def draw(self, batch: int, generator: torch.Generator) -> Sequences:
        """Return a batch of new sequences."""
        stored = self.facts + self.decoys
        spare = self.context - 3 * stored
        if spare < 0 or stored > len(KEYS):
            raise ValueError(f"{stored} facts and decoys do not fit into a context of {self.context} tokens and {len(KEYS)} keys")
        keys = _shuffled(batch, len(KEYS), generator)[:, :stored] + KEYS.start
        values = torch.randint(VALUES.start, VALUES.stop, (batch, stored), generator=generator)
        markers = torch.full((batch, stored), DECOY)
        markers[:, : self.facts] = STORE
        triples = torch.stack([markers, keys, values], dim=-1)

        tokens = torch.randint(NOISE.start, NOISE.stop, (batch, self.length), generator=generator)
        # Which of the context's units, a triple or a noise token each, are triples; a triple moves what follows by two more.
        units = _shuffled(batch, stored + spare, generator)[:, :stored]
        rank = units.argsort(dim=-1).argsort(dim=-1)
        at = units + 2 * rank
        places = at[..., None] + torch.arange(3)
        tokens.scatter_(1, places.flatten(1), triples.flatten(1))
        fact_values = torch.zeros(batch, self.length, dtype=torch.bool)
        fact_values.scatter_(1, at[:, : self.facts] + 2, True)

        asked = torch.randint(self.facts, (batch, self.queries), generator=generator)
        tail = torch.stack([torch.full_like(asked, QUERY), keys.gather(1, asked), values.gather(1, asked)], dim=-1)
        tokens[:, self.context :] = tail.flatten(1)
        answers = torch.zeros(batch, self.length, dtype=torch.bool)
        answers[:, self.context + 2 :: 3] = True
        repeated = torch.tril(asked[:, :, None] == asked[:, None, :], diagonal=-1).any(-1)
        first = torch.zeros(batch, self.length, dtype=torch.bool)
        first[:, self.context + 2 :: 3] = ~repeated
        return Sequences(tokens, answers, first, fact_values)


def pairs(length: int, most: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return sequences of nothing but pairs of a key and its value, 2 to `most` different ones of them, and which values can be told.

    The warm-up: short and without noise, so that a model finds out soon that a value is to be looked for behind its key.
    """
    keys = _shuffled(batch, len(KEYS), generator)[:, :most] + KEYS.start
    values = torch.randint(VALUES.start, VALUES.stop, (batch, most), generator=generator)
    count = length // 2
    several = torch.randint(2, most + 1, (batch, 1), generator=generator)
    drawn = (torch.rand(batch, count, generator=generator) * several).long()
    tokens = torch.stack([keys.gather(1, drawn), values.gather(1, drawn)], dim=-1).flatten(1)
    known = torch.zeros(batch, 2 * count, dtype=torch.bool)
    known[:, 1::2] = torch.tril(drawn[:, :, None] == drawn[:, None, :], diagonal=-1).any(-1)
    return tokens, known


def words(tokens: Tensor) -> list[str]:
    """Return a sequence's tokens as they are called: STORE, k3 (a key), v7 (a value), and a point for noise."""
    named = {START: "START", STORE: "STORE", DECOY: "DECOY", QUERY: "QUERY"}
    named |= {token: f"k{place}" for place, token in enumerate(KEYS)} | {token: f"v{place}" for place, token in enumerate(VALUES)}
    return [named.get(token, "·") for token in tokens.tolist()]


def _shuffled(batch: int, count: int, generator: torch.Generator) -> Tensor:
    """Return a permutation of 0 … count - 1 for each row."""
    return torch.rand(batch, count, generator=generator).argsort(dim=-1)
