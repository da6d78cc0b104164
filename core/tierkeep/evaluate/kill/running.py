"""Running a path in a process of its own, forked from one that has imported everything and opened nothing, and killing it."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tierkeep.errors import StorageError, TierkeepError
from tierkeep.evaluate.kill.judging import Recording
from tierkeep.evaluate.kill.paths import Desk, Place, WritePath
from tierkeep.evaluate.kill.states import State

__all__ = [
    "Acknowledged", "Timeline", "answer", "clocked", "examine", "forked", "killed", "record", "recording_of", "run", "started", "warm",
]  # fmt: skip

_PATIENCE_S = 120.0  # longer than the longest path, and than a server needs to come back


class Timeline(NamedTuple):
    """When an undisturbed run acknowledged what, in seconds after its begin.

    Attributes:
        at: Of each acknowledgement.
        end: When everything was closed.
    """

    at: tuple[float, ...]
    end: float

    def moment(self, at: float) -> tuple[int, float]:
        """Return a moment as the acknowledgements before it and the seconds since the last: a slower run is then met at the same place."""
        before = sum(one <= at for one in self.at)
        return before, at - (self.at[before - 1] if before else 0.0)


class Acknowledged:
    """What a running path has said so far, one letter each: "b"egun, "c"ommitted, "s"tep done, "f"ailed, "e"nded.

    Args:
        descriptor: Where it says it; closed at the end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.said = ""
        self._open = True

    @property
    def count(self) -> int:
        """How much was acknowledged."""
        return sum(what in "cs" for what in self.said)

    def reaches(self, count: int) -> bool:
        """Wait for the begin and so many acknowledgements; return whether it came to that."""
        while self._open and ("b" not in self.said or self.count < count):
            self._read()
        return "b" in self.said and self.count >= count

    def rest(self) -> None:
        """Read to the end."""
        while self._open:
            self._read()

    def over(self) -> bool:
        """Return whether it has ended, without waiting."""
        while self._open and select.select([self._descriptor], [], [], 0)[0]:
            self._read()
        return not self._open

    def _read(self) -> None:
        if not select.select([self._descriptor], [], [], _PATIENCE_S)[0]:
            raise RuntimeError(f"a path has said nothing for {_PATIENCE_S:.0f} seconds, after {self.said[-40:]!r}")
        said = os.read(self._descriptor, 65_536).decode()
        if not said:
            self._open = False
            os.close(self._descriptor)
        self.said += said


def forked(work: Callable[[], None]) -> int:
    """Run something in a child process; return its id. It exits with 0 when the work returns, with 70 when it raises."""
    if pid := os.fork():
        return pid
    code = 70
    try:
        work()
        code = 0
    finally:
        if code:
            traceback.print_exc()  # the child has nobody to raise to
        os._exit(code)


def answer(work: Callable[[], Any], folder: Path) -> Any:
    """Return what something returns in a child process, as JSON.

    Raises:
        RuntimeError: It raised; stderr says what.
    """
    file = folder / "answer.json"

    def write() -> None:
        file.write_text(json.dumps(work()), encoding="utf-8")

    _, status = os.waitpid(forked(write), 0)
    if status:
        raise RuntimeError(f"a process that worked in {folder} ended with {os.waitstatus_to_exitcode(status)}; it says why above")
    returned = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return returned


def run(path: WritePath, desk: Desk, first: int, begun: Callable[[], None], done: Callable[[], None]) -> None:
    """Make a path's calls from the step `first` on, close everything, and tell of the begin and of each step that is done."""
    with path.session(desk) as session:
        begun()
        for step in path.steps()[first:]:
            step.do(session)
            done()
    desk.close()


def record(path: WritePath, place: Place) -> dict[str, Any]:
    """Run a prepared path to its end, looking at its store after each thing that it acknowledges.

    Returns:
        `states` and `said` for a `Recording`, and the `modules` that it took.
    """
    states: list[State] = []
    said: list[str] = []

    def look(what: str = "") -> None:
        said.append(what)
        states.append(path.state(place, verify=False))
        states[-1].pop("problems")

    run(path, Desk(place, lambda: look("c")), 0, look, lambda: look("s"))
    if problems := path.state(place)["problems"]:
        raise RuntimeError(f"{path.name}: an undisturbed store does not verify: {problems[0]}")
    return {"states": states, "said": "".join(said), "modules": list(sys.modules)}


def clocked(path: WritePath, place: Place) -> list[float]:
    """Run a prepared path to its end; return the seconds from its begin to each thing that it acknowledges, and to its end.

    A run of its own, in a process that has everything imported, as those have that are killed: a `record` takes longer, and kills that go
    by it would come when a path is over.
    """
    at: list[float] = []

    def note() -> None:
        at.append(time.monotonic())

    run(path, Desk(place, note), 0, note, note)
    note()
    return [one - at[0] for one in at[1:]]


def recording_of(path: WritePath, recorded: Mapping[str, Any]) -> Recording:
    """Return the oracle that a run of `record` gives."""
    return Recording(recorded["states"], recorded["said"], [step.whole for step in path.steps()])


def warm(names: Sequence[str]) -> None:
    """Import what a child has imported meanwhile, so that the next ones need not: else most kills would meet an import."""
    for name in names:
        if name not in sys.modules and name.partition(".")[0] in ("tierkeep", "psycopg", "psycopg_pool", "psycopg_binary", "chromadb"):
            with suppress(ImportError):
                import_module(name)


def started(path: WritePath, place: Place, *, prepare: bool) -> tuple[int, Acknowledged]:
    """Start a path in a process of its own; return its id, and what it says."""
    reading, writing = os.pipe()

    def work() -> None:
        os.close(reading)
        if prepare:
            path.prepare(place)
        try:
            run(path, Desk(place, lambda: _say(writing, b"c")), 0, lambda: _say(writing, b"b"), lambda: _say(writing, b"s"))
        except StorageError:  # an application hears of it, and stops
            return _say(writing, b"f")
        _say(writing, b"e")

    pid = forked(work)
    os.close(writing)
    return pid, Acknowledged(reading)


def _say(descriptor: int, what: bytes) -> None:
    os.write(descriptor, what)


def killed(pid: int) -> None:
    """Kill a process, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def examine(path: WritePath, place: Place, recording: Recording, acknowledged: int) -> dict[str, Any]:
    """Open what a path left, look at it, run the path again from where it stood, and look once more.

    Returns:
        `state` and `problems` as found, or `unopenable`; `finished` and its problems, or why it could not be: `stopped`.
    """
    try:
        state = path.state(place)
    except TierkeepError as error:
        return {"unopenable": f"{type(error).__name__}: {error}"}
    found: dict[str, Any] = {"problems": state.pop("problems"), "state": state}
    first = recording.said[:acknowledged].count("s") if path.again else recording.steps_done(state, acknowledged)
    try:
        run(path, Desk(place, lambda: None), first, lambda: None, lambda: None)
        finished = path.state(place)
    except (TierkeepError, RuntimeError) as error:
        return {**found, "stopped": f"{type(error).__name__}: {error}"}
    return {**found, "problems": found["problems"] + finished.pop("problems"), "finished": finished}
