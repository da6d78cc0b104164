"""The store against the journals: what must be there, in its order, and what may not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tierkeep import Memory
from tierkeep.evaluate.soak.journal import Told
from tierkeep.records import Event
from tierkeep.scoped import ScopedMemory

__all__ = ["MARK", "differences", "strangers", "wrong_items"]

#: The mark that every text of the run bears: whose it is.
MARK = re.compile(r"\bmark(\w+?)x\b")
_SHOWN = 3


def differences(
    user: str, told: Told, events: Iterable[Event], now: float, text: Callable[[str], str], *, shared: bool = False
) -> list[str]:
    """Return what is wrong with an owner's events.

    Args:
        user: Whose.
        told: What the journals say.
        events: What the store has.
        now: Simulated seconds since 1970: what should be gone by then may be.
        text: The text that belongs to an id.
        shared: Several lanes write for this owner, so that only each lane's own order is known; `told` is then one lane's.
    """
    said: list[str] = []
    there = [event for event in events if event.kind != "item"]
    ids = [event.id for event in there]
    if len(set(ids)) != len(ids):
        said.append(f"{user}: an event stands there twice")
    missing = [id_ for id_, until in told.sure.items() if until > now and id_ not in set(ids)]
    if missing:
        said.append(f"{user}: {len(missing)} acknowledged events are lost, such as {missing[:_SHOWN]}")
    if back := [id_ for id_ in ids if id_ in told.gone]:
        said.append(f"{user}: {len(back)} removed events are there, such as {back[:_SHOWN]}")
    known = [id_ for id_ in ids if id_ in told.sure]
    if known != sorted(known, key=list(told.sure).index):
        said.append(f"{user}: events stand in another order than they were acknowledged in")
    if not shared and (unknown := [id_ for id_ in ids if id_ not in told.sure and id_ not in told.maybe and id_ not in told.gone]):
        said.append(f"{user}: {len(unknown)} events are nobody's, such as {unknown[:_SHOWN]}")
    if other := [event.id for event in there if event.id in told.sure and event.text != text(event.id)]:
        said.append(f"{user}: {len(other)} events say something else than was said, such as {other[:_SHOWN]}")
    return said + strangers(user, (event.text for event in there))


def strangers(user: str, texts: Iterable[str]) -> list[str]:
    """Return what is wrong with texts that an owner was shown: whoever's mark they bear that is not the owner's."""
    foreign = sorted({mark for text in texts for mark in MARK.findall(text)} - {user})
    return [f"{user} was shown the memory of {', '.join(foreign[:_SHOWN])}"] if foreign else []


def wrong_items(memory: Memory, me: ScopedMemory, items: Mapping[str, Any], now: float) -> list[str]:
    """Return what is wrong with an owner's values; a key whose last change is not known to be done is passed over."""
    from tierkeep.items import Items

    kept, said = Items(me), []
    for key, known in items.items():
        if known is None or known[1] <= now:
            continue
        found = kept.get(("kept",), key)
        if (None if found is None else found.value) != known[0]:
            said.append(f"{me.scope.user}: the value under {key} is another one than was put there")
    return said
