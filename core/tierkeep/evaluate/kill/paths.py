"""What a write path is: what there is before, its steps, and what its store holds afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from tierkeep import Memory
from tierkeep.evaluate.kill.states import State, state_of
from tierkeep.evaluate.kill.watching import Watched, ledger_at
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter

__all__ = ["Desk", "Place", "Step", "WritePath", "memory_at", "step"]


class Place(NamedTuple):
    """Where one trial's things are.

    Attributes:
        folder: The trial's own.
        store: What the store under test is opened by: a folder in it, or an address.
    """

    folder: Path
    store: str


class Desk:
    """What a running path is given: its place, and memories whose every commit is told.

    Args:
        place: Where the path works.
        committed: Called after each commit.
    """

    def __init__(self, place: Place, committed: Callable[[], None]) -> None:
        self.place = place
        self.committed = committed
        self._open = ExitStack()

    def memory(self, where: str | None = None, **options: Any) -> Memory:
        """Return a memory on the store under test, or on another; it is closed with the desk."""
        return self._open.enter_context(memory_at(where or self.place.store, self.committed, **options))

    def close(self) -> None:
        """Close what was opened."""
        self._open.close()


class Step(NamedTuple):
    """One call of an application.

    Attributes:
        name: For reports.
        do: Makes the call. Made again after a kill it does the rest, or nothing.
        whole: Whether it takes place whole or not at all. Otherwise it is several transactions, and each of them does.
    """

    name: str
    do: Callable[[Any], object]
    whole: bool = True


def step(name: str, call: Callable[..., object], *arguments: Any, whole: bool = True) -> Step:
    """Return the step that makes a call with the session and these arguments."""
    return Step(name, lambda session: call(session, *arguments), whole)


class WritePath(ABC):
    """One way to write to a store.

    Attributes:
        name: What `--paths` calls it.
        about: What is killed, for the report.
        postgres: Whether a server's store has it, too.
        again: Whether an application that does not know whether its last call took place may make it again. Otherwise it looks first.
        options: What the memory under test is opened with.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    postgres: ClassVar[bool] = True
    again: ClassVar[bool] = True

    def options(self, place: Place) -> Mapping[str, Any]:
        """Return what the memory under test is opened with, besides its store."""
        return {}

    def prepare(self, place: Place) -> None:  # noqa: B027 - most paths begin with an empty store
        """Make what there is before the first step."""

    @abstractmethod
    def steps(self) -> Sequence[Step]:
        """Return the calls, in order."""

    @contextmanager
    def session(self, desk: Desk) -> Iterator[Any]:
        """Return what the steps are handed: the memory under test."""
        yield desk.memory(**self.options(desk.place))

    def state(self, place: Place, *, verify: bool = True) -> State:
        """Return what the path's stores hold, seen by who opens them now, and under "problems" what does not verify.

        Args:
            place: Where they are.
            verify: Whether to look for problems.

        Raises:
            StorageError: One of them cannot be opened.
        """
        ledger = ledger_at(place.store)
        try:
            return {**state_of(ledger), "problems": list(ledger.verify().problems) if verify else []}
        finally:
            ledger.close()


@contextmanager
def memory_at(where: str, committed: Callable[[], None] = lambda: None, **options: Any) -> Iterator[Memory]:
    """Open a memory whose clock stands still, and close it afterwards. A vocabulary takes longer to load than a path takes."""
    ledger = Watched(ledger_at(where), committed)
    with Memory.open(ledger, **{"clock": FixedClock(), "counter": EstimateCounter(), "derive": "with_write", **options}) as memory:
        yield memory
