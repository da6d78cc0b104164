"""What a forget has left without its text is derived again from what it still rests on: HyMem's sentences and D-Mem's facts alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tierkeep.allowance import Allowance
from tierkeep.protocols import Extractor, Span, View
from tierkeep.records import Event, Op, Record

__all__ = ["rederived"]

_BY = "rederived"


def rederived(kinds: Sequence[str], extractor: Extractor, view: View, allowance: Allowance) -> tuple[list[Op], list[Record]]:
    """Return the ops that remove what lost a source, and the drafts of what is left of it; the drafts are still to be reconciled.

    What a removed record had superseded is removed and derived again too: it no longer holds only because of what is gone.

    Args:
        kinds: Kinds of the deriver's records. Where kinds rest on the same events, the units of the first are the units that are read.
        extractor: Makes drafts of the events that remain.
        view: The scope.
        allowance: What all of it may cost; the extractor's rules take over when it is used up.
    """
    removed = _removed(kinds, view)
    deletions = [Op(op="delete", target=record.id, why="lost a source", by=_BY) for record in removed]
    drafts = [draft for span in _spans(kinds, removed, view) for draft in extractor.extract(span, view, allowance)]
    return deletions, drafts


def _removed(kinds: Sequence[str], view: View) -> list[Record]:
    """Return the blanked records, each followed by what it superseded, and so on."""
    waiting = [record for record in view.records(status="quarantined") if not record.text and record.kind in kinds]
    removed: dict[str, Record] = {}
    while waiting:
        record = waiting.pop(0)
        if record.id not in removed:
            removed[record.id] = record
            replaced = view.get([target for relation, target, _ in record.links if relation == "supersedes"])
            waiting += [old for old in replaced if old.kind in kinds and old.status != "active"]
    return list(removed.values())


def _spans(kinds: Sequence[str], removed: Iterable[Record], view: View) -> list[Span]:
    """Return the events behind the removed records, each once, cut as they were read: smallest units first, none over two conversations."""
    by_kind: dict[str, set[tuple[str, ...]]] = {}
    for record in removed:
        by_kind.setdefault(record.kind, set()).add(record.sources)
    spans: list[Span] = []
    covered: set[str] = set()
    for kind in kinds:
        units = [_in_order(view.events(sources)) for sources in sorted(by_kind.get(kind, ()))]
        for unit in sorted(filter(None, units), key=lambda events: (len(events), events[0].seq, events[-1].seq)):
            by_session: dict[str, list[Event]] = {}
            for event in unit:
                if event.id not in covered:
                    by_session.setdefault(event.session, []).append(event)
            covered.update(event.id for event in unit)
            spans += [Span(tuple(events), "derived again") for events in by_session.values()]
    return sorted(spans, key=lambda span: span.events[0].seq)


def _in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.seq)
