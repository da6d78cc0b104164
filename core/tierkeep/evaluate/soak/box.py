"""The memory that a worker's lanes share, opened anew now and then while nobody is at work with it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tierkeep import Memory, Settings
from tierkeep.evaluate.soak.day import DayClock, Plan
from tierkeep.models.doubles import HashEmbedder
from tierkeep.settings import EmbeddingSettings, GuardSettings, RetentionSettings

__all__ = ["DAYS", "DAYS_OUTSIDE", "Box", "open_memory"]

#: Days for which events are kept, and those from outside: both run out within a day.
DAYS, DAYS_OUTSIDE = 0.6, 0.15
_INDEX_BYTES = 4 * 1024 * 1024
_SETTINGS = Settings(
    index_bytes=_INDEX_BYTES,
    embedding=EmbeddingSettings(index_bytes=_INDEX_BYTES, batch=32),
    guard=GuardSettings(rate_burst=20, rate_per_s=0.02, rate_origins=512, confirm_s=600.0),
    retention=RetentionSettings(days=DAYS, days_untrusted=DAYS_OUTSIDE),
)


def open_memory(plan: Plan, rng: random.Random | None = None) -> Memory:
    """Open the run's store, with an embedder or without, and with or without a comparison of what is read."""
    with_vectors = rng is not None and rng.random() < 0.6
    compared = rng is not None and rng.random() < 0.2
    return Memory.open(
        plan.store, clock=DayClock(plan), settings=_SETTINGS, embedder=HashEmbedder(64) if with_vectors else None,
        consensus="rules" if compared else None,
    )  # fmt: skip


class Box:
    """Lends the memory to any number of threads, or takes it from all of them.

    Args:
        plan: Of the run.
        rng: Decides how it is opened.
    """

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self._plan = plan
        self._rng = rng
        self._changed = threading.Condition()
        self._lent = 0
        self._taken = False
        self._memory = open_memory(plan, rng)

    @contextmanager
    def lend(self) -> Iterator[Memory]:
        """Lend the memory for one step."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken)
            self._lent += 1
        try:
            yield self._memory
        finally:
            self.give_back()

    def borrow(self) -> Memory | None:
        """Lend the memory until `give_back`; None while it is being opened anew, because an event loop must not wait for a thread."""
        with self._changed:
            if self._taken:
                return None
            self._lent += 1
            return self._memory

    def give_back(self) -> None:
        """Say that one who borrowed the memory is done with it."""
        with self._changed:
            self._lent -= 1
            self._changed.notify_all()

    def reopen(self) -> None:
        """Close the memory once nobody is at work with it, and open it anew."""
        with self._changed:
            if self._taken:
                return
            self._taken = True
            self._changed.wait_for(lambda: not self._lent)
            try:
                self._memory.close()
                self._memory = open_memory(self._plan, self._rng)
            finally:
                self._taken = False
                self._changed.notify_all()

    def held_mib(self) -> float:
        """Return what the memory's indexes say that they hold, in MiB."""
        with self.lend() as memory:
            return sum(memory.held().values()) / 1024 / 1024

    def close(self) -> None:
        """Close the memory."""
        self._memory.settle(0.0)
        self._memory.close()
