"""What one question's evidence is worth: pure functions of what was returned and what the data set calls evidence (benchmarks spec, 2)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tierkeep import rendering
from tierkeep.evaluate.sets.model import BenchQuestion

#: Ranks at which recall is also measured.
KS = (5, 10, 20, 50)
#: A gold answer of more words, articles left out, is seldom repeated word by word, so its containment says nothing.
_SHORT = 6
_ARTICLES = frozenset(("a", "an", "the"))
#: Words, numbers with their points, and single characters of scripts that are written without spaces.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|\d+(?:[.,]\d+)*|[^\W\d_]+"
)


class Pack(NamedTuple):
    """What a method put into one budget.

    Attributes:
        whole: Ids of the events that stand in it whole.
        ranked: Ids of everything in it, best first.
        text: The rendered block.
        tokens: Its tokens.
    """

    whole: frozenset[str]
    ranked: tuple[str, ...]
    text: str
    tokens: int


class Found(NamedTuple):
    """What a method did for one question: a pack for each budget, its ranking, and what the first pack took, in milliseconds."""

    packs: tuple[Pack, ...]
    ranking: tuple[str, ...]
    ms: float = 0.0
    embed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One question's figures for one method; those by budget are in the order of the budgets, those by rank in the order of `KS`.

    `recall` and what goes with it is None when the question names no evidence, `contained` when its answer is not short.
    """

    conversation: str
    question: str
    category: str
    recall: tuple[float | None, ...]
    session_recall: tuple[float | None, ...]
    contained: tuple[float | None, ...]
    tokens: tuple[int, ...]
    reciprocal_rank: float
    recall_at: tuple[float | None, ...]
    ranked: int
    ms: float
    embed_ms: float

    @property
    def scored(self) -> bool:
        """Whether it counts for the headline: it names evidence, and is not adversarial.

        Adversarial questions have no answer in the data; what is recalled for them says nothing about answering. They are a category of
        their own in the table and are left out of the headline figures, as the data sets' own papers do.
        """
        return self.recall[0] is not None and "adversarial" not in self.category.casefold()


def measured(conversation: str, question: BenchQuestion, found: Found, session_of: Mapping[str, str]) -> Row:
    """Return the figures of one question.

    Args:
        conversation: Id of its conversation.
        question: What was asked.
        found: What came back.
        session_of: The session of each event.
    """
    gold = frozenset(question.evidence)
    sessions = frozenset(question.sessions or (session_of[id] for id in question.evidence))
    answer = short_answer(question.answer)
    return Row(
        conversation=conversation, question=question.id, category=question.category,
        recall=tuple(share(gold, pack.whole) for pack in found.packs),
        session_recall=tuple(share(sessions, {session_of[id] for id in pack.whole if id in session_of}) for pack in found.packs),
        contained=tuple(None if answer is None else float(answer <= words_of_block(pack.text)) for pack in found.packs),
        tokens=tuple(pack.tokens for pack in found.packs),
        reciprocal_rank=reciprocal_rank(gold, found.packs[0].ranked),
        recall_at=tuple(share(gold, set(found.ranking[:k])) for k in KS), ranked=len(found.ranking),
        ms=found.ms, embed_ms=found.embed_ms,
    )  # fmt: skip


def share(gold: Collection[str], found: Collection[str]) -> float | None:
    """Return the share of the gold ids that were found, None when there are none."""
    return len(set(gold).intersection(found)) / len(gold) if gold else None


def reciprocal_rank(gold: Collection[str], ranked: Sequence[str]) -> float:
    """Return one over the rank of the first gold id, 0 when it is not among the ranked."""
    return next((1 / rank for rank, id in enumerate(ranked, start=1) if id in gold), 0.0)


def words(text: str) -> frozenset[str]:
    """Return the words of a text, folded; characters for scripts without spaces."""
    return frozenset(_WORD.findall(text.casefold()))


def short_answer(answer: str) -> frozenset[str] | None:
    """Return the words of an answer of at most six words, articles dropped; None for a longer one, or none."""
    found = [word for word in _WORD.findall(answer.casefold()) if word not in _ARTICLES]
    return frozenset(found) if 0 < len(found) <= _SHORT else None


def words_of_block(block: str) -> frozenset[str]:
    """Return the words of a rendered block without its frame, which is the same whatever was found."""
    lines = block.split("\n")
    return words("\n".join(lines[1:-1]).removeprefix(rendering.HEADER)) if len(lines) > 2 else frozenset()
