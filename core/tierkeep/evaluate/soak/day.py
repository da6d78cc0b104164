"""A simulated day: a clock that runs many times as fast as the machine's, the same in every process, and how busy an hour is."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["DAY_S", "DayClock", "Plan", "busy"]

DAY_S = 86_400.0
_BEGINS = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday, at midnight
_NIGHT = 0.06


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        store: Folder, file or address of the store.
        folder: Where journals, backups and figures go.
        hours: Simulated hours.
        seconds: Real seconds that they may take.
        users: Owners that belong to one lane each; a few more are everybody's.
        processes: Worker processes.
        threads: Lanes in each of them, the one for async tasks included.
        seed: Decides what is done, and who is killed when.
        began: When the run began, in seconds of the machine's clock since 1970.
        leak_bytes: Bytes that a careless caller keeps with each call: a run with them must fail.
        leak_files: Descriptors that it keeps with each call, likewise.
        lose: Acknowledged events that are removed behind everybody's back, likewise.
    """

    store: str
    folder: str
    hours: float
    seconds: float
    users: int
    processes: int
    threads: int
    seed: int
    began: float
    leak_bytes: int = 0
    leak_files: int = 0
    lose: int = 0

    @property
    def speed(self) -> float:
        """Simulated seconds in a real one."""
        return self.hours * 3600.0 / self.seconds

    def left(self) -> float:
        """Return the real seconds until the run is over."""
        return self.began + self.seconds - time.time()

    def json(self) -> str:
        """Return the plan for a worker's command line."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Plan:
        """Return the plan that `json` wrote."""
        given: dict[str, Any] = json.loads(text)
        return Plan(**given)


class DayClock:
    """A `Clock` of the simulated day. Processes with the same plan read the same time.

    Args:
        plan: When the day began, and how fast it goes.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def monotonic(self) -> float:
        """Return simulated seconds since the day began."""
        return max(0.0, time.time() - self._plan.began) * self._plan.speed

    def now(self) -> datetime:
        """Return the simulated moment."""
        return _BEGINS + timedelta(seconds=self.monotonic())


def busy(seconds: float) -> float:
    """Return how busy it is so many simulated seconds after midnight: from 0.06 at four in the morning to 1 in the afternoon."""
    return _NIGHT + (1 - _NIGHT) * (0.5 - 0.5 * math.cos(2 * math.pi * (seconds / DAY_S - 4 / 24)))
