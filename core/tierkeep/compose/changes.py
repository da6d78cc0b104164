"""What changed: one line a profile slot, its values in order of time (MemFlow's state and conflict transforms; tiers spec, 1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tierkeep.compose.lines import Line
from tierkeep.records import FROM_USER, EvidenceItem, SlotValue


class _Value(NamedTuple):
    """A value of a slot with the item that shows it."""

    item: EvidenceItem
    held: SlotValue

    @property
    def holds(self) -> bool:
        return self.item.flag in ("CURRENT", "PROFILE")


def change_lines(items: Sequence[EvidenceItem]) -> list[Line]:
    """Return the change log of each slot that has one: several values over time.

    `home: Porto (until 2026-04) → Lisbon (since 2026-04, current)`. Values of a slot that holds one at a time, told on one day and with
    nothing that says which came later, are marked BOTH. A slot with one value gets no line: the item says it already.

    Args:
        items: The items shown that may be relied on.
    """
    slots: dict[tuple[str, str], list[_Value]] = {}
    for item in items:
        if item.held is not None:
            # The user's own slots are one subject, whatever name they were shown under.
            subject = "" if item.origin in FROM_USER else item.held.subject.casefold()
            slots.setdefault((subject, item.held.slot), []).append(_Value(item, item.held))
    several = len({subject for subject, _ in slots}) > 1
    return [_log(values, named=several) for values in slots.values() if _changed(values)]


def _changed(values: Sequence[_Value]) -> bool:
    if len(values) < 2:
        return False
    # Values of a slot that holds many stand side by side; something changed when one of them ended.
    return values[0].held.single or any(not value.holds and value.held.until for value in values)


def _log(values: Sequence[_Value], *, named: bool) -> Line:
    told = sorted(values, key=lambda value: (value.held.until or "9999", value.held.since or value.item.at[:10], value.item.id))
    held = told[0].held
    head = f"{held.slot} of {held.subject}" if named and held.subject else held.slot
    link = " \u2192 " if held.single else "; "
    both = _same_day(told) if held.single else ""
    parts = link.join(_shown(value) for value in told) if not both else " and ".join(value.held.value for value in told) + both
    return Line(f"{head}: {parts}", tuple(value.item.id for value in told))


def _same_day(told: Sequence[_Value]) -> str:
    """Return the mark for values that were all told on one day without a time of their own, "" otherwise."""
    days = {value.item.at[:10] for value in told}
    if len(told) < 2 or len(days) > 1 or any(value.held.since for value in told) or any(value.item.flag == "ENDED" for value in told):
        return ""
    current = [value.held.value for value in told if value.holds]
    last = f", {current[0]} last" if len(current) == 1 else ""
    return f" (BOTH told on {days.pop()}{last})"


def _shown(value: _Value) -> str:
    notes = [f"since {value.held.since}" if value.held.since else "", f"until {value.held.until}" if value.held.until else ""]
    if value.holds:
        notes.append("current")
    elif value.item.flag == "ENDED":
        notes.append("nothing known after it")
    inside = ", ".join(filter(None, notes))
    return f"{value.held.value} ({inside})" if inside else f"{value.held.value} (earlier)"
