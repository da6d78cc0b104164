"""Packing evidence into a token budget that is never passed (tiers spec, 1.5).

Greedy by value: a hit's score over a power of its length, because a budget buys more short answers than long ones. A hit that does not fit
is passed over and a shorter one may follow. The rendered whole is counted again at the end, so the promise does not rest on
the parts adding up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tierkeep import rendering
from tierkeep.protocols import LineCounter, TokenCounter
from tierkeep.records import EvidenceItem

#: An item is only cut when at least this many tokens are left for it (tiers 1.5).
_WORTH_CUTTING = 40
#: Share of the best score from which an item may stand in for a best one that does not fit (ours).
_WORTH_KEEPING = 0.8
#: After this many hits in a row that do not fit, the rest is taken not to fit either.
_PATIENCE = 64
#: (score, length in characters) -> value; see `RetrievalSettings.value`.
Value = Callable[[float, float], float]
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]['\")\]]*\s")


#: What worked-out lines may take: this share of the budget, and never more than so many tokens (ours: a line serves, it is not evidence).
_COMPUTED_SHARE = 0.15
_COMPUTED_TOKENS = 200


class Packed:
    """A selection that fits: items in reading order, worked-out lines, the rendered text, its tokens, and what was left out."""

    def __init__(
        self, items: tuple[EvidenceItem, ...], text: str, tokens: int, dropped: tuple[str, ...], computed: tuple[str, ...] = ()
    ) -> None:
        self.items = items
        self.text = text
        self.tokens = tokens
        self.dropped = dropped
        self.computed = computed


def pack(
    items: Sequence[EvidenceItem], budget: int, counter: TokenCounter, *, value: Value | None = None, computed: Sequence[str] = (),
    session_share: float = 1.0,
) -> Packed:
    """Return the selection of `items` that fits into `budget` tokens when rendered.

    Args:
        items: Candidates; their scores are compared, so they must be of one scale and not negative.
        budget: Tokens that the rendered block may have.
        counter: How tokens are counted.
        value: What an item is worth to the budget, from its score and its length in characters; its score alone when None.
        computed: Worked-out lines, most important first. They get a small share of the budget, and none when the best item would then not
            fit whole; `Packed.computed` says which were kept.
        session_share: Share of the budget that items of one conversation may take when there are several; the best item always may.
    """
    order = _by_value(items, value)
    several = len({item.session for item in items if item.session}) > 1
    most = int(budget * session_share) if several and session_share < 1.0 else budget
    entries: dict[int, _Entry] = {}
    lines = _affordable(computed, budget, counter) if order else ()
    if lines:
        chosen = _choose(items, order, _room(budget, counter), counter, lines, most, entries)
        whole = any(entry.item is items[order[0]] for entry in chosen)
        packed = _rendered(items, order, chosen, counter, lines)
        if whole and packed.tokens <= budget:
            return packed
    chosen = _choose(items, order, _room(budget, counter), counter, (), most, entries)
    if order and not any(entry.item is items[order[0]] for entry in chosen):
        chosen = _in_place_of(items[order[0]], chosen, budget, counter)
    packed = _rendered(items, order, chosen, counter, ())
    while chosen and packed.tokens > budget:
        # Only when the parts do not add up to the whole; the least valuable goes first.
        chosen = chosen[:-1]
        packed = _rendered(items, order, chosen, counter, ())
    return packed


class _Entry(NamedTuple):
    """An item with its heading and its line, which are worked out once."""

    item: EvidenceItem
    heading: str
    line: str

    @classmethod
    def of(cls, item: EvidenceItem) -> _Entry:
        return cls(item, rendering.heading(item), rendering.line(item))


def _room(budget: int, counter: TokenCounter) -> int:
    """Return the tokens that are left for lines when the frame is paid for."""
    return budget - counter.count(rendering.block((), ("",))) - 8


def _affordable(computed: Sequence[str], budget: int, counter: TokenCounter) -> tuple[str, ...]:
    """Return the worked-out lines that together stay within their share, in the given order."""
    most = min(int(budget * _COMPUTED_SHARE), _COMPUTED_TOKENS)
    kept: list[str] = []
    for entry in computed:
        shown = rendering.plain(entry)
        if shown and len(shown) <= most * 16 and counter.count("\n".join(["[worked out]", *map(rendering.plain, kept), shown])) <= most:
            kept.append(entry)
    return tuple(kept)


def _in_place_of(best: EvidenceItem, chosen: Sequence[_Entry], budget: int, counter: TokenCounter) -> list[_Entry]:
    """Return what is shown when the best item does not fit beside the rest.

    Its beginning is worth more than any number of lesser ones, and those that are much worse than it are there only because they are short.
    """
    least = _WORTH_KEEPING * best.score
    alone = [best] if counter.count(rendering.block((best,))) <= budget else _excerpt(best, budget, counter)
    return [_Entry.of(item) for item in alone] or [entry for entry in chosen if entry.item.flag or entry.item.score >= least]


def _rendered(
    items: Sequence[EvidenceItem], order: Sequence[int], chosen: Sequence[_Entry], counter: TokenCounter, computed: tuple[str, ...]
) -> Packed:
    """Return a selection as it is shown, with the count of the whole; nothing at all when no item was chosen."""
    kept = {entry.item.id for entry in chosen}
    dropped = tuple(id for id in (items[i].id for i in order) if id not in kept)
    if not chosen:
        return Packed((), "", 0, dropped)
    shown = _reading_order(chosen)
    lines = rendering.fenced(rendering.under_headings([entry[1:] for entry in shown], computed))
    text = "\n".join(lines)
    tokens = counter.count_lines(lines) if isinstance(counter, LineCounter) else counter.count(text)
    return Packed(tuple(entry.item for entry in shown), text, tokens, dropped, computed)


def _by_value(items: Sequence[EvidenceItem], value: Value | None) -> list[int]:
    """Return the places of the items, most valuable first; the one with the best score leads, whatever its length."""
    values = [_value(item, value) for item in items]
    order = sorted(range(len(items)), key=values.__getitem__, reverse=True)  # equals stay in the order of their places
    if not items:
        return []
    best = -max((item.flag != "", item.score, -place) for place, item in enumerate(items))[2]
    return [best, *(place for place in order if place != best)]


def _value(item: EvidenceItem, value: Value | None) -> float:
    pinned = 1e9 if item.flag else 0.0
    return pinned + (item.score if value is None else value(item.score, float(len(item.text))))


def _choose(
    items: Sequence[EvidenceItem], order: Sequence[int], room: int, counter: TokenCounter, computed: Sequence[str], most: int,
    entries: dict[int, _Entry],
) -> list[_Entry]:
    """Return what fits into `room` tokens beside the worked-out lines, most valuable first; `entries` keeps what was rendered by place."""
    room -= sum(counter.count(f"{entry}\n") for entry in computed)
    chosen: list[_Entry] = []
    taken: dict[str, int] = {}
    headings: set[str] = set()
    misses = 0
    for index in order:
        item = items[index]
        # Prose has four to six characters a token, and nothing but runs of one sign has sixteen; this spares counting what cannot fit.
        if len(item.text) > room * 16:
            misses += 1
            continue
        entry = entries.get(index) or entries.setdefault(index, _Entry.of(item))
        head = entry.heading
        cost = counter.count(f"{entry.line}\n") + (0 if head in headings else counter.count(f"{head}\n"))
        of_session = taken.get(item.session, 0) + cost
        if cost <= room and item.session and chosen and of_session > most:
            continue  # it would fit, but its conversation has had its share
        if cost <= room:
            taken[item.session] = of_session
            chosen.append(entry)
            headings.add(head)
            room -= cost
            misses = 0
        else:
            misses += 1
        if room < 6 or misses > _PATIENCE:
            break
    return chosen


def _excerpt(item: EvidenceItem, budget: int, counter: TokenCounter) -> list[EvidenceItem]:
    """Return the best item cut at a sentence end, when not even that one fits whole and a cut is worth it."""
    frame = counter.count(rendering.block((item.model_copy(update={"text": "…"}),)))
    if budget - frame < _WORTH_CUTTING:
        return []
    low, high = 0, min(len(item.text), (budget - frame) * 16)
    while low < high:
        middle = (low + high + 1) // 2
        cut = item.model_copy(update={"text": item.text[:middle] + " …"})
        if counter.count(rendering.block((cut,))) <= budget:
            low = middle
        else:
            high = middle - 1
    ends = [match.end() for match in _SENTENCE_END.finditer(item.text, 0, low)]
    at = ends[-1] if ends and ends[-1] >= low // 2 else low
    return [item.model_copy(update={"text": item.text[:at].rstrip() + " …", "excerpt": True})] if at else []


def _reading_order(chosen: Sequence[_Entry]) -> list[_Entry]:
    """Profile first, then by time; ties keep the order of the conversation, which is the order of their ids in the ledger."""
    return sorted(chosen, key=lambda entry: (entry.heading != "[profile]", entry.item.at[:10], entry.item.order))
