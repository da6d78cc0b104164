"""HyMem's deep tier: a wide look at key sentences chooses the conversations that are read in full (tiers spec, 2.3 and 2.7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tierkeep.allowance import Allowance
from tierkeep.prompts import hymem
from tierkeep.prompts.answering import SelectReply
from tierkeep.protocols import Gathered, TokenCounter, View
from tierkeep.records import Event, Hit, Plan, Query, Record
from tierkeep.retrieve.derived import DerivedSearch
from tierkeep.retrieve.search import Search
from tierkeep.settings import HyMemSettings
from tierkeep.skills import Skills
from tierkeep.terms import analyze
from tierkeep.tiers.light import Undistilled, told_in_scope

#: Longest selection (tiers 2.5: numbers only).
_MAX_TOKENS = 512
#: What a step away from the message that a sentence speaks of takes off its rank, when not all of a segment fits (ours).
_STEP = 0.9
#: Tokens that a line costs beside its text: a speaker, a number, its share of a heading (ours, measured on rendered blocks).
_LINE = 8


class _Opened(NamedTuple):
    """A segment that was chosen: its messages, and the places of those that the chosen sentences speak of."""

    events: list[Event]
    hits: frozenset[int]


class SegmentTier:
    """Opens segments. A model chooses them; without one the best turns inside the best segments are taken, which finds more (2.7).

    Args:
        records: The shared search over records.
        search: The shared search over events.
        undistilled: The search over what is not distilled.
        release: What may be shown (`Guard.release`), asked before the model sees anything.
        skills: The model that selects; None without one.
        counter: How tokens are counted.
        settings: How wide to look and how many segments to open.
    """

    name = "segments"
    weight = 2

    def __init__(
        self, records: DerivedSearch, search: Search, undistilled: Undistilled, release: Callable[[Sequence[Hit], Query], list[Hit]],
        skills: Skills | None, counter: TokenCounter, settings: HyMemSettings,
    ) -> None:
        self._records = records
        self._search = search
        self._undistilled = undistilled
        self._release = release
        self._skills = skills
        self._counter = counter
        self._settings = settings

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return raw events of the chosen segments, and raw events that no segment's sentences speak of."""
        wide = self._records(
            query, view, allowance, kind="key_information", text=plan.search_text, k=self._settings.wide_k
        )
        wide = told_in_scope(wide, query, view)
        raw = self._undistilled(query, plan, view, allowance, wide.hits)
        if self._skills is None:
            return self._turns(query, plan, view, allowance, wide.hits, raw.hits)
        chosen = self._selected(self._skills, plan.search_text, self._release(wide.hits, query), allowance)
        hits = list(self._scored(self._opened(chosen, query, view), plan.budget))
        held = {hit.item.id for hit in hits}
        top = max((hit.score for hit in raw.hits), default=1.0)
        beside = [hit._replace(score=hit.score / top) for hit in raw.hits if hit.item.id not in held]
        found = sorted([*hits, *beside], key=lambda hit: -hit.score)
        if not found:  # nothing was ever said of it in a sentence, yet it may have been said
            loose = self._search(query, view, allowance, text=plan.search_text, k=plan.k, budget=plan.budget)
            return Gathered(loose.hits, loose.confidence, loose.partial)
        return Gathered(found, wide.confidence if wide.hits else raw.confidence, wide.partial or raw.partial or allowance.expired())

    def _selected(self, skills: Skills, question: str, wide: Sequence[Hit], allowance: Allowance) -> list[Record]:
        """Return the sentences that the model chose, in its order; the best ones when it chose none or could not be asked."""
        sentences = [hit.item for hit in wide if isinstance(hit.item, Record)]
        chosen: dict[str, Record] = {}
        for start in range(0, len(sentences), self._settings.group):
            group = sentences[start : start + self._settings.group]
            reply = skills.use("select", hymem.selection(question, group), SelectReply, allowance, max_tokens=_MAX_TOKENS)
            for number in reply.ids if reply is not None else ():
                if 0 <= number < len(group):
                    chosen.setdefault(group[number].id, group[number])
        return list(chosen.values()) or _of_best_segments(sentences, self._settings.fallback_segments)

    def _opened(self, chosen: Sequence[Record], query: Query, view: View) -> list[_Opened]:
        """Return the distinct segments of the sentences in order, at most `most_segments`; of the scope's conversation, when it has one."""
        by_segment: dict[str, list[Record]] = {}
        for sentence in chosen:
            for segment in _segments_of(sentence):
                by_segment.setdefault(segment, []).append(sentence)
        opened: list[_Opened] = []
        for record in view.get(list(by_segment)):
            events = [event for event in view.events(record.sources) if query.scope.session in (None, event.session)]
            if events and record.kind == "segment":
                places = frozenset(_spoken_of(sentence, events) for sentence in by_segment[record.id])
                opened.append(_Opened(events, places))
        return opened[: self._settings.most_segments]

    def _scored(self, opened: Sequence[_Opened], budget: int) -> Iterator[Hit]:
        """Yield the messages of the segments: all when they fit, else those near the ones that were spoken of."""
        size = sum(self._counter.count(event.text) + _LINE for one in opened for event in one.events)
        reach = self._settings.reach if size > budget else None
        for rank, one in enumerate(opened):
            for place, event in enumerate(one.events):
                away = min(abs(place - hit) for hit in one.hits)
                if reach is None or away <= reach:
                    yield Hit(event, (1 - rank / (len(opened) + 1)) * _STEP**away)

    def _turns(
        self, query: Query, plan: Plan, view: View, allowance: Allowance, wide: Sequence[Hit], raw: Sequence[Hit]
    ) -> Gathered:
        """Return the best events inside the segments with the largest sums of squared sentence scores (tiers 2.7)."""
        weight: dict[str, float] = {}
        for hit in wide:
            for segment in _segments_of(hit.item):
                weight[segment] = weight.get(segment, 0.0) + hit.score**2
        best = sorted(weight, key=lambda segment: -weight[segment])[: self._settings.most_segments]
        inside = {source for segment in view.get(best) for source in segment.sources} | {hit.item.id for hit in raw}
        found = self._search(query, view, allowance, text=plan.search_text, k=plan.k, budget=plan.budget * 2)
        hits = [hit for hit in found.hits if hit.item.id in inside]
        return Gathered(hits or found.hits, found.confidence, found.partial)


def _segments_of(item: Event | Record) -> list[str]:
    return [target for relation, target, _ in item.links if relation == "segment"] if isinstance(item, Record) else []


def _of_best_segments(sentences: Sequence[Record], most: int) -> list[Record]:
    """Return the sentences, best first, that lead to no more than so many segments (tiers 2.6, defect 2)."""
    segments: set[str] = set()
    kept: list[Record] = []
    for sentence in sentences:
        own = set(_segments_of(sentence))
        if own and len(segments | own) <= most:
            segments |= own
            kept.append(sentence)
    return kept


def _spoken_of(sentence: Record, events: Sequence[Event]) -> int:
    """Return the place of the message that a sentence was most likely made of: it shares most stems, for its length."""
    stems = set(analyze(sentence.text))

    def alike(event: Event) -> float:
        own = set(analyze(event.text[: hymem.READ_CHARS]))
        return len(stems & own) / math.sqrt(len(own)) if own else 0.0

    return max(range(len(events)), key=lambda place: (alike(events[place]), -place))
