"""Derived indexes in bounded memory: one at a time to one reader, the longest unused dropped first."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from tierkeep.allowance import Allowance

__all__ = ["Held", "Room", "Shelf", "Slot"]


class Held(Protocol):
    """What can be kept on a shelf."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        ...

    def __len__(self) -> int:
        """How much it holds; what holds nothing is not kept."""
        ...


H = TypeVar("H", bound=Held)
K = TypeVar("K", bound=Hashable)


class Slot(Generic[H]):
    """A place on the shelf.

    Attributes:
        held: What lies there; its reader may put another in its place.
        generation: The ledger's generation it was made of; None when it must be made anew. Its reader keeps it.
    """

    def __init__(self, held: H) -> None:
        self.held = held
        self.generation: int | None = None
        self._lock = threading.Lock()
        self._charged = 0  # bytes that it counts for in the total


class Room:
    """Memory that the slots of one or more shelves share. Whoever needs more drops what was not used for longest, on whichever shelf.

    A process that was forked starts with an empty room, because another thread may have been at work on anything there.

    Args:
        max_bytes: Memory that all of it together may hold. The one in use is never dropped, however large.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._forget()
        _living.add(self)

    def _forget(self) -> None:
        """Start with nothing and with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[object, Hashable], Slot[Any]] = OrderedDict()
        self._bytes = 0

    def find(self, place: tuple[object, Hashable], make: Callable[[], Slot[Any]]) -> Slot[Any]:
        """Return the slot of a place, a new one when there is none; it is the last to be dropped now."""
        with self._lock:
            slot = self._slots.get(place)
            if slot is None:
                slot = self._slots[place] = make()
            self._slots.move_to_end(place)
            return slot

    def settle(self, place: tuple[object, Hashable], slot: Slot[Any]) -> None:
        """Bring the total up to date after a use, and drop what was not used for longest while it is too large."""
        with self._lock:
            if self._slots.get(place) is not slot:
                return  # dropped while it was in use, or another's since
            if not len(slot.held):
                self._drop(place)  # an owner without memories, who may not even exist, costs nothing
                return
            charge = slot.held.nbytes
            self._bytes += charge - slot._charged
            slot._charged = charge
            while self._bytes > self._max_bytes and len(self._slots) > 1:
                oldest = next(iter(self._slots))
                if oldest == place:
                    self._slots.move_to_end(place)
                else:
                    self._drop(oldest)

    def charges(self, shelf: object) -> list[int]:
        """Return the bytes of each slot of a shelf, as of when it was last used."""
        with self._lock:
            return [slot._charged for (owner, _), slot in self._slots.items() if owner is shelf]

    def nbytes(self) -> int:
        """Return the bytes held by all of it, as of when each was last used."""
        with self._lock:
            return self._bytes

    def _drop(self, place: tuple[object, Hashable]) -> None:
        self._bytes -= self._slots.pop(place)._charged


class Shelf(Generic[K, H]):
    """Lends what it keeps to one reader at a time.

    Args:
        room: Memory that it shares with others; a number of bytes for a room of its own.
        make: Makes an empty one.
    """

    def __init__(self, room: Room | int, make: Callable[[], H]) -> None:
        self._room = Room(room) if isinstance(room, int) else room
        self._make = make

    @contextmanager
    def take(self, key: K, allowance: Allowance | None) -> Iterator[Slot[H] | None]:
        """Give the key's slot, an empty one when there was none; None when time ran out while another reader had it.

        Args:
            key: Whose.
            allowance: For its deadline; None to wait as long as it takes.
        """
        place = (self, key)
        slot: Slot[H] = self._room.find(place, self._slot)
        if not slot._lock.acquire(timeout=_patience(allowance)):
            yield None
            return
        try:
            yield slot
        finally:
            try:
                self._room.settle(place, slot)
            finally:
                slot._lock.release()

    def nbytes(self) -> int:
        """Return the bytes held by all of it, as of when each was last used."""
        return sum(self._room.charges(self))

    def __len__(self) -> int:
        """The number of slots in use."""
        return len(self._room.charges(self))

    def _slot(self) -> Slot[H]:
        return Slot(self._make())


def _patience(allowance: Allowance | None) -> float:
    """Return the seconds to wait for a lock: -1 for as long as it takes."""
    left = None if allowance is None else allowance.seconds_left()
    return -1 if left is None else min(left, threading.TIMEOUT_MAX)


_living: weakref.WeakSet[Room] = weakref.WeakSet()


def _after_in_child() -> None:
    # The threads that held the locks do not exist here.
    for room in list(_living):
        room._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
