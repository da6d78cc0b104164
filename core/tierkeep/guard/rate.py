"""How fast one origin from outside may write: a token bucket for each (guard spec T6 and S5.3).

A flood from one page or tool is stopped before it fills an owner's memory, and nobody else waits for it. The user's own words, the agent's,
and files that the application imports are no flood.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from tierkeep.errors import RateLimited
from tierkeep.protocols import Clock
from tierkeep.records import FROM_OUTSIDE, EventDraft, Origin, Scope
from tierkeep.settings import GuardSettings


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateCheck:
    """Counts what each outside origin writes into each owner's memory. Threads may share it.

    An origin is its class with the host of its address, or its name. Buckets are remembered for the origins that wrote last; one that
    begins anew is full, so with `rate_origins` names at once somebody may write more, and never less, than the rate.

    Args:
        settings: Burst, rate, and how many origins are remembered.
        clock: For the time between writes.
    """

    def __init__(self, settings: GuardSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as it is.

        Raises:
            RateLimited: Its origin has written too much; says after how many seconds a whole write fits again.
        """
        if draft.origin.source not in FROM_OUTSIDE or draft.origin.channel == "import":
            return draft
        key = (*scope.partition, draft.origin.source.value, _who(draft.origin))
        now, own = self._clock.monotonic(), self._settings
        with self._lock:
            bucket = self._buckets.setdefault(key, _Bucket(float(own.rate_burst), now))
            self._buckets.move_to_end(key)
            while len(self._buckets) > own.rate_origins:
                self._buckets.popitem(last=False)
            bucket.tokens = min(float(own.rate_burst), bucket.tokens + max(0.0, now - bucket.at) * own.rate_per_s)
            bucket.at = now
            if bucket.tokens >= 1.0:
                bucket.tokens -= 1.0
                return draft
            # What this call has used is gone, so the time is that for the largest write there is: then the same call fits.
            wait = (min(own.outside_records, own.rate_burst) - bucket.tokens) / own.rate_per_s
        raise RateLimited(
            f"one origin from outside writes more than {own.rate_burst} records at once and {own.rate_per_s:g} a second: try again in "
            f"{wait:.1f} s, or raise Settings.guard.rate_burst or rate_per_s",
            reasons=("rate_limited",), retry_after_s=wait,
        )


def _who(origin: Origin) -> str:
    """Return the host of an address, else the name: pages of one site share a bucket."""
    if origin.uri:
        try:
            host = urlsplit(origin.uri).hostname
        except ValueError:  # brackets that are no address
            host = None
        return host or origin.uri[:128].partition("/")[0]
    return origin.principal[:128]
