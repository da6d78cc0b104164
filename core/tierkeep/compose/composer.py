"""The composer: hits become cited items, get the transform of their intent, and are packed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.allowance import NOT_ALL_IN_TIME, NOT_FOUND_IN_TIME
from tierkeep.compose.packer import Packed, Value, pack
from tierkeep.compose.times import with_dates
from tierkeep.compose.transforms import Line, distinct, worked_out
from tierkeep.protocols import Gathered, TokenCounter, View
from tierkeep.records import Event, Evidence, EvidenceItem, Hit, Plan, Query, Record, SlotValue
from tierkeep.sentences import asks

#: Share of the budget that a summary gives to one conversation, while others have something to say (tiers 1.5).
_SESSION_SHARE = 0.6
#: How often lines are worked out again because packing them moved an item out; after that they only get fewer.
_ROUNDS = 3
_WORD = re.compile(r"[^\W_]+")
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
        asked = _words(query.text)
        # The same question, asked before: as evidence it says nothing, and it is the best match there is.
        items = [item for item in map(_item, gathered.hits) if item.flag or not asks(item.text) or _words(item.text) != asked]
        if plan.intent == "temporal":
            items = with_dates(items)
        elif plan.intent == "summary":
            items = distinct(items)
        packed, lines = self._packed(query, plan, items)
        note = NOT_ALL_IN_TIME if gathered.partial else ""
        if not packed.items:
            note = _TOO_SMALL if items else (NOT_FOUND_IN_TIME if gathered.partial else _NOTHING)
        note = "; ".join(filter(None, (gathered.note, note)))
        return Evidence(
            question=query.text, items=packed.items, computed=tuple(line.text for line in lines),
            computed_from=tuple(line.items for line in lines), text=packed.text, tokens=packed.tokens, budget=plan.budget,
            tokenizer=self._counter.name, tier=plan.tier, confidence=gathered.confidence, partial=gathered.partial,
            note=note, dropped=packed.dropped,
        )

    def _packed(self, query: Query, plan: Plan, items: Sequence[EvidenceItem]) -> tuple[Packed, list[Line]]:
        """Return the packed items with the lines that are true of exactly these.

        A line takes room, so that an item may fall out and with it what the line says. So the lines are worked out again from what is left;
        in the end only those stay that come out the same.
        """
        lines: list[Line] = []
        packed = self._pack(query, plan, items, lines)
        true = worked_out(query, plan, packed.items)
        for _ in range(_ROUNDS):
            if lines == true:
                return packed, lines
            lines, packed, true = self._with(query, plan, items, true)
        while lines != (kept := [line for line in lines if line in true]):
            lines, packed, true = self._with(query, plan, items, kept)
        return packed, lines

    def _with(
        self, query: Query, plan: Plan, items: Sequence[EvidenceItem], lines: Sequence[Line]
    ) -> tuple[list[Line], Packed, list[Line]]:
        """Return the lines that found room, the items packed with them, and the lines among those offered that are true of these items.

        A line that found no room is not offered again: it would be tried for ever.
        """
        packed = self._pack(query, plan, items, lines)
        shown = [line for line in lines if line.text in packed.computed]
        lost = {line.text for line in lines} - {line.text for line in shown}
        return shown, packed, [line for line in worked_out(query, plan, packed.items) if line.text not in lost]

    def _pack(self, query: Query, plan: Plan, items: Sequence[EvidenceItem], lines: Sequence[Line]) -> Packed:
        wide = plan.intent == "summary" and query.scope.session is None
        return pack(
            items, plan.budget, self._counter, value=self._value, computed=[line.text for line in lines],
            session_share=_SESSION_SHARE if wide else 1.0,
        )


def _item(hit: Hit) -> EvidenceItem:
    item = hit.item
    if isinstance(item, Event):
        # Hundreds of them for one question, and all that is in an event was checked when it was made.
        return EvidenceItem.of_sound({
            "id": item.id, "sources": (item.id,), "session": item.session, "text": item.text, "at": item.at,
            "speaker": item.speaker or item.role, "origin": item.origin.source, "authority": item.authority, "score": float(hit.score),
            "flag": hit.flag, "dates": (), "excerpt": False, "order": item.seq, "kind": item.kind, "held": None,
        })
    if item.kind == "profile":
        return EvidenceItem(
            id=item.id, sources=item.sources, text=shown(item), at=item.observed_at, origin=item.origin.source,
            authority=item.authority, score=hit.score, flag=hit.flag or "PROFILE", kind=item.kind, held=_held(item),
        )
    # What was distilled of a conversation stands under its day and behind its speaker, like what was said in it.
    session, speaker = (value if isinstance(value := item.attrs.get(name), str) else "" for name in ("session", "speaker"))
    return EvidenceItem(
        id=item.id, sources=item.sources, session=session, text=shown(item) if item.valid_from or item.valid_to else item.text,
        at=item.observed_at, speaker=speaker, origin=item.origin.source, authority=item.authority, score=hit.score, flag=hit.flag,
        order=order if isinstance(order := item.attrs.get("order"), int) else 0, kind=item.kind,
    )


def _held(record: Record) -> SlotValue | None:
    """Return what a profile record says, in its parts; None when it does not name them."""
    attrs = {name: str(record.attrs.get(name) or "") for name in ("subject", "slot", "value", "profile_kind")}
    if not attrs["slot"] or not attrs["value"]:
        return None
    return SlotValue(
        subject=attrs["subject"], slot=attrs["slot"], value=attrs["value"], kind=attrs["profile_kind"],
        single=bool(record.attrs.get("single")), since=(record.valid_from or "")[:10], until=(record.valid_to or "")[:10],
    )


def shown(record: Record) -> str:
    """Return the record's text with the time during which it holds or held."""
    since = f"since {record.valid_from[:10]}" if record.valid_from else ""
    until = f"until {record.valid_to[:10]}" if record.valid_to else ""
    times = " ".join(filter(None, (since, until))) or (f"as of {record.observed_at[:10]}" if record.observed_at else "")
    return f"{record.text} ({times})" if times else record.text


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
