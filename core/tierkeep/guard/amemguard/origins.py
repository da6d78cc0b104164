"""Where a memory comes from in the end: voices are counted by origin, never by memory (guard spec 3.9, 3.10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from tierkeep.protocols import View
from tierkeep.records import FROM_USER, Authority, Event, Hit, Origin, Record, Source

__all__ = ["own_word", "trusted", "voices"]

_VOUCHED = FROM_USER | {Source.SYSTEM_POLICY, Source.TOOL_TRUSTED}
#: Steps from an event to what it was derived from, and events looked at on the way, at most.
_STEPS = 4
_EVENTS = 256


def trusted(item: Event | Record) -> bool:
    """Return whether nobody outside can have written it: by its origin, and by the authority that its sources left it."""
    return item.authority >= Authority.ACT or (item.origin.source in _VOUCHED and item.authority >= Authority.ADVISE)


def own_word(item: Event | Record) -> bool:
    """Return whether the user or the operator said it themselves, or has confirmed it: nothing else from outside may act."""
    return item.authority >= Authority.ACT or (item.origin.source in FROM_USER and item.authority >= Authority.ADVISE)


def voices(hits: Sequence[Hit], view: View) -> list[int]:
    """Return the number of each hit's voice, counted from 0 in order of appearance; hits that share an origin root have one voice."""
    roots = [_roots(hit.item, view) for hit in hits]
    owner: dict[str, int] = {}
    voice = list(range(len(hits)))
    for place, own in enumerate(roots):
        for root in sorted(own):
            _join(voice, owner.setdefault(root, place), place)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_head(voice, place), len(numbers)) for place in range(len(hits))]


def _head(voice: list[int], place: int) -> int:
    while voice[place] != place:
        voice[place] = voice[voice[place]]
        place = voice[place]
    return place


def _join(voice: list[int], one: int, other: int) -> None:
    first, second = sorted((_head(voice, one), _head(voice, other)))
    voice[second] = first


def _roots(item: Event | Record, view: View) -> frozenset[str]:
    """Return the origin roots of a memory: of every event behind it, through all derivations."""
    found: set[str] = set()
    if isinstance(item, Record):
        behind = view.events(list(item.roots or item.sources)[:_EVENTS])
        if not behind:
            return frozenset({_root(item.origin, item.id)})
    else:
        behind = [item]
    seen: set[str] = set()
    for _ in range(_STEPS):
        found |= {_root(event.origin, event.id) for event in behind}
        seen |= {event.id for event in behind}
        parents = [parent for event in behind for parent in event.parents if parent not in seen]
        if not parents:
            break
        behind = view.events(list(dict.fromkeys(parents))[:_EVENTS])
    return frozenset(found)


def _root(origin: Origin, event_id: str) -> str:
    """Return what stands for an origin: what can be written by one hand is one root.

    All pages of one site are one: who can write one of them can usually write more.
    """
    if origin.trust_domain:
        return f"domain:{origin.trust_domain}"
    if origin.uri:
        host = urlsplit(origin.uri).hostname if "://" in origin.uri else None
        return f"site:{host.removeprefix('www.')}" if host else f"uri:{origin.uri}"
    if origin.source in FROM_USER:
        return f"event:{event_id}"
    return f"{origin.source}:{origin.principal}"
