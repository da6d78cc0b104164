"""What statements mean for the profile: the slot rule (strategies spec, Memory-R1 fallback), as a fold over time.

All statements about one slot ("home", "likes") are read in the order in which they were said, whatever the order in which they were stored.
The same value again only adds a source. Another value of a single-valued slot supersedes the older one; set-valued slots keep both. A
statement that ends a value closes it. Nothing is overwritten: what held before stays, with the time until which it held.

The message that ends or replaces a value becomes one of the record's sources: that the value no longer holds rests on that message.
So when a message is forgotten, the slots it touched are folded again without it, and stand as if it had never been said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tierkeep.allowance import Allowance
from tierkeep.protocols import Extractor, Span, View
from tierkeep.records import Op, Record
from tierkeep.terms import analyze

_BY = "SlotReconciler"
#: Sources kept of a value that is said again and again; more of them prove nothing more, and each is in every later image of the journal.
_SOURCES = 16
#: Marks a record that only remembers that a value ended: it holds nothing that was ever said to hold.
MARKER = "marker"
#: When the newest message that touched a closed record was said; a statement older than that comes late.
_TOUCHED = "closed_at"


class SlotReconciler:
    """Keeps one current value per slot, and every earlier one in the history.

    Args:
        extractor: What the drafts come from; it reads a slot's messages again when an older statement arrives late.
    """

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor

    def reconcile(self, drafts: Sequence[Record], view: View, allowance: Allowance) -> list[Op]:
        """Return ops for profile drafts; drafts of one call see one another."""
        ops: list[Op] = []
        for family, own in _families(drafts).items():
            held = view.records(kind="profile", prefix=family, status=None)
            if any(_moment(draft) < _touched(record) for draft in own for record in held):
                entries = _fold([], [*self._statements(held, view, allowance, family), *own])
            else:
                entries = _fold(held, own)
            ops += _difference(held, entries)
        return ops

    def rebuild(self, view: View, allowance: Allowance) -> list[Op]:
        """Return the ops that make the profile what its remaining sources say (after a forget has blanked some of it)."""
        held = view.records(kind="profile", status=None)
        folded = [entry for own in _families(self._statements(held, view, allowance)).values() for entry in _fold([], own)]
        return _difference(held, folded)

    def _statements(self, records: Sequence[Record], view: View, allowance: Allowance, family: str = "") -> list[Record]:
        """Return the statements in the records' sources again, in ledger order; of one family when it is named."""
        sources = list(dict.fromkeys(source for record in records for source in record.sources))
        events = sorted(view.events(sources), key=lambda event: event.seq)
        drafts = [draft for event in events for draft in self._extractor.extract(Span((event,)), view, allowance)]
        return [draft for draft in drafts if not family or _family(draft) == family]


@dataclass(slots=True)
class _Entry:
    """One value over one stretch of time, while the fold runs.

    Attributes:
        record: The record as it stands.
        closed_by: Id of the record that replaced it, "" when none did.
    """

    record: Record
    closed_by: str = ""

    def say(self, draft: Record) -> None:
        """Let the record rest on a further message that says the same; its authority is the least of them."""
        self._rest_on(draft, {"observed_at": max(self.record.observed_at, draft.observed_at, key=_time)})

    def close(self, draft: Record, status: str) -> None:
        """End the value with a message that says otherwise."""
        attrs = {**self.record.attrs, _TOUCHED: draft.observed_at}
        self._rest_on(draft, {"status": status, "valid_to": draft.valid_from or draft.observed_at, "attrs": attrs})
        self.closed_by = draft.id if status == "superseded" else ""

    def _rest_on(self, draft: Record, update: dict[str, object]) -> None:
        least = min((self.record, draft), key=lambda record: record.authority)
        sources = tuple(dict.fromkeys((*self.record.sources, draft.sources[0])))
        self.record = self.record.model_copy(
            update={"sources": sources, "authority": least.authority, "origin": least.origin, **update}
        )


def _fold(held: Sequence[Record], drafts: Iterable[Record]) -> list[_Entry]:
    """Return the records of one family after some more statements, none of which is older than what is held."""
    entries = [_Entry(record) for record in held if record.status != "quarantined"]
    for draft in sorted(drafts, key=_moment):  # stable: what one message says stays in its order
        if any(draft.id == entry.record.id for entry in entries):
            continue
        active = [entry for entry in entries if entry.record.status == "active"]
        if draft.attrs.get("ends"):
            _end(entries, active, draft)
            continue
        alike = [entry for entry in active if entry.record.key == draft.key]
        same = next((entry for entry in alike if _same_value(entry.record, draft)), None)
        if same is None:
            for entry in alike:
                entry.close(draft, "superseded")
            entries.append(_Entry(draft))
        elif len(same.record.sources) < _SOURCES:
            same.say(draft)
    return entries


def _end(entries: list[_Entry], active: Sequence[_Entry], draft: Record) -> None:
    """Close what the draft ends ("no coffee" ends "strong coffee"); keep it as a marker when it ends nothing that is known yet."""
    ended = _stems(draft)
    closed = [entry for entry in active if ended and ended <= _stems(entry.record)]
    for entry in closed:
        entry.close(draft, "retracted")
    if not closed:
        until = draft.valid_from or draft.observed_at
        attrs = {**draft.attrs, MARKER: True}
        entries.append(_Entry(draft.model_copy(update={"attrs": attrs, "status": "retracted", "valid_from": None, "valid_to": until})))


def _difference(held: Sequence[Record], entries: Sequence[_Entry]) -> list[Op]:
    """Return the ops that turn the held records into the folded ones, in an order in which the ledger takes them."""
    by_id = {record.id: record for record in held}
    kept = {entry.record.id for entry in entries}
    new = {entry.record.id: entry.record for entry in entries if entry.record.id not in by_id}
    deleted = [Op(op="delete", target=record.id, why="said otherwise", by=_BY) for record in held if record.id not in kept]
    ops: list[Op] = []
    for entry in entries:
        record, old = entry.record, by_id.get(entry.record.id)
        if old is None:
            if record.id in new:
                ops.append(Op(op="add", record=new.pop(record.id), relation="independent", why=_why(record), by=_BY))
        elif _state(old) == _state(record):
            ops += _rest_on(old, record, "said again")
        elif old.status == "active" and record.status == "retracted":
            ended = Op(op="retract", target=old.id, patch={"valid_to": record.valid_to}, relation="contradicts", why="ended", by=_BY)
            ops += [*_rest_on(old, record, "its end rests on this"), ended]
        elif old.status == "active" and entry.closed_by in new:
            successor = new.pop(entry.closed_by)
            why = f"{old.attrs.get('value')} → {successor.attrs.get('value')}"
            replaced = Op(op="supersede", target=old.id, record=successor, relation="contradicts", why=why, by=_BY)
            ops += [*_rest_on(old, record, "its end rests on this"), replaced]
        else:
            # What stood was closed, or closed otherwise, by a message that is gone or that came late: it is written anew.
            deleted.append(Op(op="delete", target=old.id, why="said otherwise", by=_BY))
            ops.append(Op(op="add", record=record, relation="independent", why=_why(record), by=_BY))
    return [*deleted, *ops]


def _state(record: Record) -> tuple[str, str | None]:
    return record.status, record.valid_to


def _rest_on(old: Record, record: Record, why: str) -> list[Op]:
    added = tuple(source for source in record.sources if source not in old.sources)
    if not added and record.attrs == old.attrs:
        return []
    patch = {"sources": added, "observed_at": record.observed_at, "attrs": dict(record.attrs)}
    return [Op(op="update", target=old.id, patch=patch, relation="duplicate" if why == "said again" else "contradicts", why=why, by=_BY)]


def _why(record: Record) -> str:
    return "first said" if record.status == "active" else "already over when it was stored"


def _families(drafts: Iterable[Record]) -> dict[str, list[Record]]:
    """Return drafts by subject and slot: what one statement says can only change its own family."""
    families: dict[str, list[Record]] = {}
    for draft in drafts:
        families.setdefault(_family(draft), []).append(draft)
    return families


def _family(record: Record) -> str:
    """Return the part of the key that stands for subject and slot, with its closing bar: no name is a prefix of another."""
    return "|".join(record.key.split("|")[:2]) + "|"


def _same_value(old: Record, draft: Record) -> bool:
    """Return whether both say the same; a set-valued slot's key holds the value already."""
    return not draft.attrs.get("single") or str(old.attrs.get("value")).casefold() == str(draft.attrs.get("value")).casefold()


def _stems(record: Record) -> frozenset[str]:
    return frozenset(analyze(str(record.attrs.get("value", ""))))


def _time(at: str) -> datetime:
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _touched(record: Record) -> datetime:
    closed = record.attrs.get(_TOUCHED)
    return max(_moment(record), _time(closed)) if isinstance(closed, str) else _moment(record)


def _moment(record: Record) -> datetime:
    return _time(record.observed_at) if record.observed_at else datetime.min.replace(tzinfo=UTC)
