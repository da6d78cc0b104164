"""What a memory has cost in model calls since it was opened, split by reading and writing."""

from __future__ import annotations

import threading

from tierkeep.records import Spent, Usage


class Accounts:
    """Adds up usage; several threads may enter theirs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = Usage()
        self._write = Usage()

    def read(self, usage: Usage) -> None:
        """Enter what a question cost."""
        with self._lock:
            self._read = self._read + usage

    def wrote(self, usage: Usage) -> None:
        """Enter what a derivation cost."""
        with self._lock:
            self._write = self._write + usage

    def spent(self) -> Spent:
        """Return the sums."""
        with self._lock:
            return Spent(read=self._read, write=self._write)
