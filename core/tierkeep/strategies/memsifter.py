"""MemSifter: a small model ranks conversations, and only the best are read (arXiv 2603.03379; strategies spec, 5.14).

The paper finds twenty conversations by embedding, lets a model of four billion parameters think and rank them, and hands the first five
to the model that works. Nothing is prepared when a message is stored. Here the search's own scores find the twenty and any chat model ranks
them. Without one nothing is left out: the search has ranked the messages already, and to drop conversations by the same scores lost 3.6
points of evidence within 2,048 tokens on a set of chats, where an oracle's choice of five conversations won 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tierkeep.allowance import Allowance
from tierkeep.prompts import ranking
from tierkeep.protocols import Gathered, TokenCounter, View
from tierkeep.records import Event, Hit, Plan, Query
from tierkeep.settings import MemSifterSettings
from tierkeep.skills import Skills

__all__ = ["Candidate", "EventSearch", "Findings", "SessionSifter", "SessionsOf", "Sifted", "SiftedTier", "by_session"]

#: What may be shown for a query (`Guard.release`).
Release = Callable[[Sequence[Hit], Query], list[Hit]]
#: Ranks conversations for a search text: (conversation, score), best first. A session index of one's own goes in here.
SessionsOf = Callable[[Query, View, Allowance, str], Sequence[tuple[str, float]]]


class Findings(Protocol):
    """What a search returns (`retrieve.search.Found`)."""

    @property
    def hits(self) -> list[Hit]:
        """Best first."""
        ...

    @property
    def confidence(self) -> float:
        """How far the best stands out, 0 to 1."""
        ...

    @property
    def partial(self) -> bool:
        """Whether time ran out before all of the scope was indexed."""
        ...


class EventSearch(Protocol):
    """Finds events (`retrieve.search.Search`, or anything that is called in the same way)."""

    def __call__(self, query: Query, view: View, allowance: Allowance, *, text: str, k: int, budget: int) -> Findings:
        """Return at most `k` hits for `text`; nothing is fetched that `budget` tokens could not hold."""
        ...


class Candidate(NamedTuple):
    """A conversation that may hold what is wanted: its name, its score, and the events of it that were found, best first."""

    session: str
    score: float
    events: tuple[Event, ...]


def by_session(hits: Sequence[Hit], best: int) -> list[Candidate]:
    """Return the conversations of some hits, best first; of equals the one that was found first.

    Args:
        hits: Best first. Records, which may belong to several conversations, are passed over.
        best: A conversation's score is the sum of so many best events: a sum of all would only say which is longest.
    """
    found: dict[str, list[tuple[Event, float]]] = {}
    for hit in hits:
        if isinstance(hit.item, Event):
            found.setdefault(hit.item.session, []).append((hit.item, hit.score))
    candidates = [
        Candidate(session, sum(score for _, score in own[:best]), tuple(event for event, _ in own)) for session, own in found.items()
    ]
    return sorted(candidates, key=lambda candidate: -candidate.score)


class Sifted(NamedTuple):
    """The conversations that are kept, best first, and whether a model's ranking chose them."""

    sessions: tuple[str, ...]
    by_model: bool


class SessionSifter:
    """Puts candidate conversations into order: a model thinks and ranks them; without one, or when it fails, their order stays.

    Args:
        settings: How many are ranked, and how much of each is shown.
        counter: How tokens are counted.
        skills: The small model; None without one.
    """

    def __init__(self, settings: MemSifterSettings, counter: TokenCounter, skills: Skills | None = None) -> None:
        self._settings = settings
        self._counter = counter
        self._skills = skills

    def __call__(self, question: str, candidates: Sequence[Candidate], allowance: Allowance) -> Sifted:
        """Return the conversations that are kept, best first.

        Numbers that name no candidate are passed over, and candidates that the model does not name keep their order behind those that it
        names. It is not asked when there is nothing to leave out.

        Args:
            question: What is looked for.
            candidates: Best first; what stands beyond the number that is ranked is left out. They may be shown to the model.
            allowance: What the question may still spend; says who ranked them, and why not the model (skill `rank`).
        """
        shown = list(candidates[: self._settings.sessions])
        order: list[int] = []
        if self._skills is not None and len(shown) > self._settings.kept:
            glimpses = [ranking.Glimpse(candidate.session, candidate.events) for candidate in shown]
            prompt = ranking.sessions(
                question, glimpses, self._counter, tokens=self._settings.shown_tokens, chars=self._settings.line_chars
            )
            reply = self._skills.use("rank", prompt, ranking.SiftReply, allowance, max_tokens=self._settings.reply_tokens)
            order = ranking.in_order(reply.ranking, len(shown)) if reply is not None else []
        first = list(dict.fromkeys((*order, *range(len(shown)))))[: self._settings.kept]
        return Sifted(tuple(shown[place].session for place in first), bool(order))


class SiftedTier:
    """Evidence from the best conversations: a wide search, sifted by conversation, ordered by the search's own scores within.

    Args:
        search: The shared search over events.
        sifter: Chooses the conversations.
        release: What may be shown to it.
        settings: How wide to search, and what a message outside the chosen conversations is worth.
        sessions: Ranks conversations in place of the hits' own scores; None for those. Only conversations with hits are candidates.
        name: What plans and traces call it: under another tier's name it takes that tier's place.
        weight: Heavier tiers cost more.
    """

    def __init__(
        self,
        search: EventSearch,
        sifter: SessionSifter,
        release: Release,
        settings: MemSifterSettings,
        *,
        sessions: SessionsOf | None = None,
        name: str = "sifted",
        weight: int = 3,
    ) -> None:
        self.name = name
        self.weight = weight
        self._search = search
        self._sifter = sifter
        self._release = release
        self._settings = settings
        self._sessions = sessions

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return events of the chosen conversations, best first; of the others what the settings leave them, or all when no model chose."""
        if allowance.expired():
            return Gathered([], partial=True)
        wide = self._settings.wide_k
        budget = max(plan.budget, wide * self._settings.line_chars)  # nothing of a conversation is to be missed for its length
        found = self._search(query, view, allowance, text=plan.search_text, k=wide, budget=budget)
        hits = self._release(found.hits, query)
        sifted = self._sifter(plan.search_text, self._candidates(query, plan, view, allowance, hits), allowance)
        if sifted.by_model:
            elsewhere = self._settings.elsewhere
            hits = [hit if _session(hit) in sifted.sessions else hit._replace(score=hit.score * elsewhere) for hit in hits]
            hits = sorted((hit for hit in hits if hit.score > 0), key=lambda hit: -hit.score)
        return Gathered(hits[: plan.k], found.confidence, found.partial)

    def _candidates(self, query: Query, plan: Plan, view: View, allowance: Allowance, hits: Sequence[Hit]) -> list[Candidate]:
        found = by_session(hits, self._settings.best_events)
        if self._sessions is None:
            return found
        scores = dict(self._sessions(query, view, allowance, plan.search_text))
        ranked = [candidate._replace(score=scores.get(candidate.session, 0.0)) for candidate in found]
        return sorted(ranked, key=lambda candidate: -candidate.score)


def _session(hit: Hit) -> str | None:
    return hit.item.session if isinstance(hit.item, Event) else None
