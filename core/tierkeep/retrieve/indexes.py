"""The lexical indexes of recently used scopes, kept in bounded memory and always level with the ledger."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from tierkeep.protocols import View
from tierkeep.retrieve.index import ScopeIndex


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = ScopeIndex()
        self.generation = -1


class ScopeIndexes:
    """Builds a scope's index when it is first asked for, and extends it by what the ledger got since.

    An index is derived: when the ledger says that something it holds may have gone (its generation changed), it is built anew.

    Args:
        max_bytes: Memory that all indexes together may hold. The one in use is never dropped, however large.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str, str], _Entry] = OrderedDict()

    @contextmanager
    def use(self, view: View) -> Iterator[ScopeIndex]:
        """Give the scope's index, level with the ledger, to one reader at a time."""
        key = view.scope.partition
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            self._refresh(entry, view)
            yield entry.index
        self._evict(keep=key)

    def nbytes(self) -> int:
        """Return the bytes held by all indexes."""
        with self._lock:
            return sum(entry.index.nbytes for entry in self._entries.values())

    @staticmethod
    def _refresh(entry: _Entry, view: View) -> None:
        generation = view.generation
        if generation != entry.generation:
            entry.index = ScopeIndex()
            entry.generation = generation
        if view.last_seq > entry.index.last_seq:
            entry.index.extend(list(view.term_rows(max(entry.index.last_seq, 0))))

    def _evict(self, keep: tuple[str, str, str]) -> None:
        with self._lock:
            held = sum(entry.index.nbytes for entry in self._entries.values())
            for key in list(self._entries):
                if held <= self._max_bytes:
                    break
                if key != keep:
                    held -= self._entries.pop(key).index.nbytes
