"""The lexical indexes of recently used scopes, kept in bounded memory and always level with the ledger."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.retrieve.index import ScopeIndex

__all__ = ["Lent", "ScopeIndexes"]

_PAGE = 2048  # events indexed between two looks at the clock: some 20 ms


class Lent(NamedTuple):
    """A scope's index, and whether it holds all of the scope: it does not when time ran out while it was made."""

    of_scope: ScopeIndex
    complete: bool


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = ScopeIndex()
        self.generation: int | None = None
        self.charged = 0  # bytes that it counts for in the total


class ScopeIndexes:
    """Builds a scope's index when it is first asked for, and extends it by what the ledger got since.

    An index is derived: when the ledger says that something it holds may have gone (its generation changed), it is built anew. A
    process that was forked starts with none, because another thread may have been at work on any of them.

    Args:
        max_bytes: Memory that all indexes together may hold. The one in use is never dropped, however large.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._forget()
        _living.add(self)

    def _forget(self) -> None:
        """Start with no index and with locks that nobody holds."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str, str], _Entry] = OrderedDict()
        self._held = 0

    @contextmanager
    def use(self, view: View, allowance: Allowance) -> Iterator[Lent]:
        """Give the scope's index, level with the ledger, to one reader at a time.

        When time runs out while another reader has it, or while it is being made, it is given incomplete; the next use goes on
        from there.

        Args:
            view: The scope.
            allowance: For its deadline.
        """
        key = view.scope.partition
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        if not entry.lock.acquire(timeout=_patience(allowance)):
            yield Lent(ScopeIndex(), False)
            return
        try:
            yield self._lend(entry, view, allowance)
        finally:
            try:
                self._settle(key, entry)
            finally:
                entry.lock.release()

    def nbytes(self) -> int:
        """Return the bytes held by all indexes, as of when each was last used."""
        with self._lock:
            return self._held

    def __len__(self) -> int:
        """The number of scopes whose index is held."""
        with self._lock:
            return len(self._entries)

    @staticmethod
    def _lend(entry: _Entry, view: View, allowance: Allowance) -> Lent:
        generation, newest = view.generation, view.last_seq
        if generation != entry.generation:
            entry.index = ScopeIndex()
        # Until it is done: an extension that is broken off leaves columns of different lengths, so the next use starts anew.
        entry.generation = None
        rows = view.term_rows(max(entry.index.last_seq, 0)) if newest > entry.index.last_seq else iter(())
        complete = True
        while complete and (page := list(islice(rows, _PAGE))):
            entry.index.extend(page)
            complete = entry.index.last_seq >= newest or not allowance.expired()
        entry.generation = generation
        return Lent(entry.index, complete)

    def _settle(self, key: tuple[str, str, str], entry: _Entry) -> None:
        """Bring the total up to date, and drop the indexes that were not used for longest while it is too large."""
        with self._lock:
            if self._entries.get(key) is not entry:
                return  # dropped while it was in use, or another's since
            if not len(entry.index):
                self._drop(key)  # an owner without memories, who may not even exist, costs nothing
                return
            charge = entry.index.nbytes
            self._held += charge - entry.charged
            entry.charged = charge
            while self._held > self._max_bytes and len(self._entries) > 1:
                oldest = next(iter(self._entries))
                if oldest == key:
                    self._entries.move_to_end(key)
                else:
                    self._drop(oldest)

    def _drop(self, key: tuple[str, str, str]) -> None:
        self._held -= self._entries.pop(key).charged


def _patience(allowance: Allowance) -> float:
    """Return the seconds to wait for a lock: -1 for as long as it takes."""
    left = allowance.seconds_left()
    return -1 if left is None else min(left, threading.TIMEOUT_MAX)


_living: weakref.WeakSet[ScopeIndexes] = weakref.WeakSet()


def _after_in_child() -> None:
    # The threads that held the locks do not exist here.
    for indexes in list(_living):
        indexes._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
