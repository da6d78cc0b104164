"""The composer: hits become cited items, get the transform of their intent, and are packed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from tierkeep.allowance import NOT_ALL_IN_TIME, NOT_FOUND_IN_TIME
from tierkeep.compose.packer import Value, pack
from tierkeep.dates import describe, find_times
from tierkeep.protocols import Gathered, TokenCounter, View
from tierkeep.records import Event, Evidence, EvidenceItem, Hit, Plan, Query, Record

#: Items whose relative times are resolved for a temporal question: the best ones, because each resolution costs tokens.
_DATED_ITEMS = 8
_NOTHING = "nothing in this memory matches the question"
_TOO_SMALL = "evidence was found, but the budget is too small for any of it"


class EvidenceComposer:
    """Turns gathered hits into evidence that keeps its budget.

    Args:
        counter: How tokens are counted.
        value: What a hit is worth to the budget, from its score and length (see `RetrievalSettings.value`).
    """

    def __init__(self, counter: TokenCounter, value: Value) -> None:
        self._counter = counter
        self._value = value

    def compose(self, query: Query, plan: Plan, gathered: Gathered, view: View) -> Evidence:
        """Return the evidence; empty or partial evidence carries a note that says why."""
        items = [_item(hit) for hit in gathered.hits]
        if plan.intent == "temporal":
            items = with_dates(items)
        packed = pack(items, plan.budget, self._counter, value=self._value)
        note = NOT_ALL_IN_TIME if gathered.partial else ""
        if not packed.items:
            note = _TOO_SMALL if items else (NOT_FOUND_IN_TIME if gathered.partial else _NOTHING)
        return Evidence(
            question=query.text, items=packed.items, text=packed.text, tokens=packed.tokens, budget=plan.budget,
            tokenizer=self._counter.name, tier=plan.tier, confidence=gathered.confidence, partial=gathered.partial,
            note=note, dropped=packed.dropped,
        )


def with_dates(items: Sequence[EvidenceItem]) -> list[EvidenceItem]:
    """Return the items with the relative times of the best ones resolved against their own day (MemFlow's temporal transform)."""
    best = sorted(range(len(items)), key=lambda i: (-items[i].score, i))[:_DATED_ITEMS]
    dated = list(items)
    for index in best:
        item = items[index]
        if not item.at:
            continue
        spans = [span for span in find_times(item.text, date.fromisoformat(item.at[:10])) if span.relative]
        resolved = tuple(dict.fromkeys(f"{span.phrase} = {describe(span)}" for span in spans[:3]))
        if resolved:
            dated[index] = item.model_copy(update={"dates": resolved})
    return dated


def _item(hit: Hit) -> EvidenceItem:
    item = hit.item
    if isinstance(item, Event):
        return EvidenceItem(
            id=item.id, sources=(item.id,), session=item.session, text=item.text, at=item.at,
            speaker=item.speaker or item.role, origin=item.origin.source, authority=item.authority, score=hit.score,
            flag=hit.flag, order=item.seq,
        )
    return EvidenceItem(
        id=item.id, sources=item.sources, text=shown(item), at=item.observed_at, origin=item.origin.source,
        authority=item.authority, score=hit.score, flag=hit.flag or "PROFILE",
    )


def shown(record: Record) -> str:
    """Return the record's text with the time during which it holds or held."""
    since = f"since {record.valid_from[:10]}" if record.valid_from else ""
    until = f"until {record.valid_to[:10]}" if record.valid_to else ""
    times = " ".join(filter(None, (since, until))) or (f"as of {record.observed_at[:10]}" if record.observed_at else "")
    return f"{record.text} ({times})" if times else record.text
