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

__all__ = ["Held", "Shelf", "Slot"]


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


class Shelf(Generic[K, H]):
    """Lends what it keeps to one reader at a time.

    A process that was forked starts with an empty shelf, because another thread may have been at work on anything there.

    Args:
        max_bytes: Memory that all of it together may hold. The one in use is never dropped, however large.
        make: Makes an empty one.
    """

    def __init__(self, max_bytes: int, make: Callable[[], H]) -> None:
        self._max_bytes = max_bytes
        self._make = make
        self._forget()
        _living.add(self)

    def _forget(self) -> None:
        """Start with nothing and with locks that nobody holds."""
        self._lock = threading.Lock()
        self._slots: OrderedDict[K, Slot[H]] = OrderedDict()
        self._bytes = 0

    @contextmanager
    def take(self, key: K, allowance: Allowance | None) -> Iterator[Slot[H] | None]:
        """Give the key's slot, an empty one when there was none; None when time ran out while another reader had it.

        Args:
            key: Whose.
            allowance: For its deadline; None to wait as long as it takes.
        """
        with self._lock:
            slot = self._slots.setdefault(key, Slot(self._make()))
            self._slots.move_to_end(key)
        if not slot._lock.acquire(timeout=_patience(allowance)):
            yield None
            return
        try:
            yield slot
        finally:
            try:
                self._settle(key, slot)
            finally:
                slot._lock.release()

    def nbytes(self) -> int:
        """Return the bytes held by all of it, as of when each was last used."""
        with self._lock:
            return self._bytes

    def __len__(self) -> int:
        """The number of slots in use."""
        with self._lock:
            return len(self._slots)

    def _settle(self, key: K, slot: Slot[H]) -> None:
        """Bring the total up to date, and drop what was not used for longest while it is too large."""
        with self._lock:
            if self._slots.get(key) is not slot:
                return  # dropped while it was in use, or another's since
            if not len(slot.held):
                self._drop(key)  # an owner without memories, who may not even exist, costs nothing
                return
            charge = slot.held.nbytes
            self._bytes += charge - slot._charged
            slot._charged = charge
            while self._bytes > self._max_bytes and len(self._slots) > 1:
                oldest = next(iter(self._slots))
                if oldest == key:
                    self._slots.move_to_end(key)
                else:
                    self._drop(oldest)

    def _drop(self, key: K) -> None:
        self._bytes -= self._slots.pop(key)._charged


def _patience(allowance: Allowance | None) -> float:
    """Return the seconds to wait for a lock: -1 for as long as it takes."""
    left = None if allowance is None else allowance.seconds_left()
    return -1 if left is None else min(left, threading.TIMEOUT_MAX)


_living: weakref.WeakSet[Shelf[Any, Any]] = weakref.WeakSet()


def _after_in_child() -> None:
    # The threads that held the locks do not exist here.
    for shelf in list(_living):
        shelf._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
