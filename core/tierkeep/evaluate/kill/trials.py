"""The trials: each path is run, killed somewhere inside, and its store compared with the oracle."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tierkeep.evaluate.kill.judging import Finding, Recording, findings
from tierkeep.evaluate.kill.paths import Place, WritePath
from tierkeep.evaluate.kill.running import Timeline, answer, clocked, examine, killed, record, recording_of, started, warm
from tierkeep.evaluate.kill.server import KILLS, Server
from tierkeep.evaluate.kill.stores import Folders, Stores

__all__ = ["FAULTS", "Row", "Trials"]

FAULTS = ("lost", "unopenable", "verify_failed", "differs", "unfinished")
_DETAILS = 5


@dataclass
class Row:
    """What came of the trials of one path in one kind of store.

    Attributes:
        path: Its name.
        store: "sqlite" or "postgres".
        killed: "client", or "server" when the server was.
        trials: How many.
        inside: Kills that met the path between its begin and its end; the others came when it was over.
        acknowledged: Commits and calls that had been acknowledged before the kills.
        lost: Stores that lack something that was acknowledged.
        unopenable: Stores that could not be opened.
        verify_failed: Stores whose chain, provenance or file does not hold, after the kill or after going on.
        differs: Stores that hold something that neither the acknowledged calls nor the one under way would have left.
        unfinished: Stores that do not come to what an undisturbed run leaves when the path is run again to its end.
        details: Of the first faults.
    """

    path: str
    store: str
    killed: str
    trials: int = 0
    inside: int = 0
    acknowledged: int = 0
    lost: int = 0
    unopenable: int = 0
    verify_failed: int = 0
    differs: int = 0
    unfinished: int = 0
    details: list[str] = field(default_factory=list)

    def note(self, findings: Sequence[Finding]) -> None:
        """Count what was found."""
        for finding in findings:
            setattr(self, finding.what, getattr(self, finding.what) + 1)
            if len(self.details) < _DETAILS:
                self.details.append(f"{finding.what}: {finding.detail}")

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Trials:
    """Trials of one path in one kind of store.

    Args:
        path: What is killed.
        stores: Where.
        moments: Decides when.
        server: To be killed in the client's place; None to kill the client.
    """

    def __init__(self, path: WritePath, stores: Stores, moments: random.Random, server: Server | None = None) -> None:
        self._path = path
        self._stores = stores
        self._moments = moments
        self._server = server

    def run(self, count: int, told: Callable[[], None]) -> Row:
        """Run so many trials; `told` is called after each.

        Raises:
            RuntimeError: The path fails undisturbed, so there is nothing to compare with.
        """
        recording, timeline = self._undisturbed()
        row = Row(self._path.name, self._stores.kind, "client" if self._server is None else "server")
        for number in range(count):
            place = self._stores.place(self._path)
            said = self._disturbed(place, timeline, number)
            row.trials += 1
            row.inside += "b" in said and "e" not in said
            acknowledged = sum(what in "cs" for what in said)
            row.acknowledged += acknowledged
            row.note(findings(recording, acknowledged, self._seen(place, recording, acknowledged)))
            self._stores.drop(place)
            told()
        return row

    def _seen(self, place: Place, recording: Recording, acknowledged: int) -> dict[str, Any]:
        seen: dict[str, Any] = answer(lambda: examine(self._path, place, recording, acknowledged), place.folder)
        return seen

    def _undisturbed(self) -> tuple[Recording, Timeline]:
        if isinstance(self._stores, Folders):
            template = self._stores.template(self._path)
            self._prepared(template)
        seen = self._answered(record)
        warm(seen["modules"])
        *at, end = self._answered(clocked)
        return recording_of(self._path, seen), Timeline(tuple(at), end)

    def _answered(self, run: Callable[[WritePath, Place], Any]) -> Any:
        """Return what an undisturbed run gives, in a place of its own."""
        place = self._stores.place(self._path)
        if not self._stores.ready:
            self._prepared(place)
        given = answer(lambda: run(self._path, place), place.folder)
        self._stores.drop(place)
        return given

    def _prepared(self, place: Place) -> None:
        def work() -> list[str]:
            self._path.prepare(place)
            return list(sys.modules)

        warm(answer(work, place.folder))

    def _disturbed(self, place: Place, timeline: Timeline, number: int) -> str:
        """Run the path and kill at a random moment; return what it had said."""
        before, wait = timeline.moment(self._moments.uniform(0.0, timeline.end))
        pid, said = started(self._path, place, prepare=not self._stores.ready)
        clients = self._stores.clients() if self._server is not None and said.reaches(0) else []
        if said.reaches(before):
            time.sleep(wait)
        over = said.over()
        if self._server is None:
            killed(pid)
            said.rest()
        else:
            self._server.die(KILLS[number % len(KILLS)], self._moments.choice(clients) if clients else 0)
            said.rest()  # it goes on when the server is back, or gives up
            os.waitpid(pid, 0)
        self._stores.settle()
        return said.said if over else said.said.replace("e", "")
