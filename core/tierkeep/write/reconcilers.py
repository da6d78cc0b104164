"""What a draft means for the records that exist: the slot rule (strategies spec, Memory-R1 fallback).

The same value again only adds a source. Another value of a single-valued slot supersedes the older one; set-valued slots
keep both. What was said later wins, whatever the order in which it was stored. Nothing is overwritten.

The message that ends a value becomes one of its sources: that the value no longer holds rests on that message. When it is
forgotten, the record loses a source, is derived again from what remains, and holds again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tierkeep.protocols import View
from tierkeep.records import Op, Record
from tierkeep.terms import analyze

_BY = "SlotReconciler"


class SlotReconciler:
    """Keeps one current value per slot, and every earlier one in the history."""

    def reconcile(self, drafts: Sequence[Record], view: View) -> list[Op]:
        """Return ops for profile drafts, in order; drafts of one call see one another."""
        present = _Present(view)
        ops: list[Op] = []
        for draft in drafts:
            for op in self._decide(draft, present):
                ops.append(op)
                present.apply(op)
        return ops

    def _decide(self, draft: Record, present: _Present) -> list[Op]:
        if draft.attrs.get("ends"):
            ended = [old for old in present.of_slot(draft) if _ends(draft, old) and _not_after(old, draft)]
            return [op for old in ended for op in (_rests_on(old, draft), _retract(old, draft))]
        current = present.of_key(draft.key)
        same = next((old for old in current if _same_value(old, draft)), None)
        if same is not None:
            return [] if draft.sources[0] in same.sources else [_rests_on(same, draft, said_again=True)]
        later = next((old for old in current if not _not_after(old, draft)), None)
        if later is not None:
            # An older statement arrived late (an import): it is history at once.
            late = draft.model_copy(
                update={
                    "status": "superseded",
                    "valid_to": later.valid_from or later.observed_at,
                    "sources": (*draft.sources, later.sources[0]),
                    "authority": min(draft.authority, later.authority),
                }
            )
            return [Op(op="add", record=late, relation="contradicts", why="superseded when it arrived", by=_BY)]
        if current:
            why = f"{current[0].attrs.get('value')} → {draft.attrs.get('value')}"
            supersede = Op(op="supersede", target=current[0].id, record=draft, relation="contradicts", why=why, by=_BY)
            return [_rests_on(current[0], draft), supersede]
        return [Op(op="add", record=draft, relation="independent", why="first said", by=_BY)]


class _Present:
    """The active profile records as they stand after the ops decided so far."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._by_key: dict[str, list[Record]] = {}

    def of_key(self, key: str) -> list[Record]:
        if key not in self._by_key:
            self._by_key[key] = self._view.records(kind="profile", key=key)
        return self._by_key[key]

    def of_slot(self, draft: Record) -> list[Record]:
        """Return the records of the draft's subject and slot, whatever their value."""
        prefix = "|".join(draft.key.split("|")[:2])
        for record in self._view.records(kind="profile"):
            self.of_key(record.key)
        return [r for key, held in self._by_key.items() if key == prefix or key.startswith(f"{prefix}|") for r in held]

    def apply(self, op: Op) -> None:
        for key, held in self._by_key.items():
            if op.op == "update":
                self._by_key[key] = [r.model_copy(update=_seen(r, op)) if r.id == op.target else r for r in held]
            elif op.op in ("supersede", "retract"):
                self._by_key[key] = [r for r in held if r.id != op.target]
        if op.record is not None and op.record.status == "active":
            self.of_key(op.record.key).append(op.record)


def _seen(record: Record, op: Op) -> dict[str, object]:
    """Return an update's effect on the working copy: sources are a union there as in the ledger."""
    patch = dict(op.patch)
    patch["sources"] = tuple(dict.fromkeys((*record.sources, *patch.get("sources", ()))))
    return patch


def _rests_on(old: Record, draft: Record, *, said_again: bool = False) -> Op:
    patch: dict[str, object] = {"sources": draft.sources}
    if said_again:
        patch["observed_at"] = max(old.observed_at, draft.observed_at, key=_moment)
    why, relation = ("said again", "duplicate") if said_again else ("its end rests on this", "contradicts")
    return Op(op="update", target=old.id, patch=patch, relation=relation, why=why, by=_BY)


def _retract(old: Record, draft: Record) -> Op:
    ended = {"valid_to": draft.valid_from or draft.observed_at}
    return Op(op="retract", target=old.id, patch=ended, relation="contradicts", why="ended", by=_BY)


def _same_value(old: Record, draft: Record) -> bool:
    """Return whether both say the same; a set-valued slot's key holds the value already."""
    return not draft.attrs.get("single") or str(old.attrs.get("value")).casefold() == str(draft.attrs.get("value")).casefold()


def _ends(draft: Record, old: Record) -> bool:
    """Return whether what the draft ends is what the record says: "no coffee" ends "strong coffee", not the other way round."""
    ended = set(analyze(str(draft.attrs.get("value", ""))))
    return bool(ended) and ended <= set(analyze(str(old.attrs.get("value", ""))))


def _moment(at: str) -> datetime:
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _not_after(old: Record, draft: Record) -> bool:
    return _moment(old.observed_at) <= _moment(draft.observed_at)
