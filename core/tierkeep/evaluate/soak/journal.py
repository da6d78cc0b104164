"""What a lane was going to do, what it was told was done, and what the store must therefore hold in the end.

A lane writes a line before each change and a line after it, into a file of its own. Who is killed between the two does not know whether the
change is there: it does the same change again with the same ids, so that afterwards it does.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Book", "Follower", "Journal", "Told", "lines", "text_of"]

_PLACES = ("harbour", "market", "library", "station", "garden", "bakery", "theatre", "bridge", "castle", "museum")
_THINGS = ("boat", "bicycle", "umbrella", "letter", "violin", "camera", "ladder", "kettle", "atlas", "lantern")


def text_of(user: str, number: int) -> str:
    """Return what an owner says under a number: with a mark of the owner's, and a word that nobody else ever says."""
    return f"mark{user}x The {_THINGS[number % 10]} with the number code{user}q{number} is at the {_PLACES[number // 10 % 10]}."


@dataclass
class Told:
    """What an owner's events are by the journal.

    Attributes:
        sure: Ids of the events that must be there, in order, each with the time until which they must.
        maybe: Ids of those that may be there, each with the time until which they may, as far as that is known.
        gone: Ids of those that may not be there, each with the time until which they might have been.
        outside: Ids of those that come from outside.
        unclear: Ids of those that their owner was asked about: a yes makes them live longer.
    """

    sure: dict[str, float] = field(default_factory=dict)
    maybe: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)

    def adding(self, ids: Iterable[str], outside: bool) -> None:
        """Note that these are about to be added."""
        self.maybe.update(dict.fromkeys(ids, math.inf))
        if outside:
            self.outside.update(ids)

    def added(self, ids: Iterable[str], until: float) -> None:
        """Note that these were added."""
        for id_ in ids:
            self.maybe.pop(id_, None)
            self.sure[id_] = until

    def removing(self, ids: Iterable[str]) -> None:
        """Note that these are about to be removed."""
        for id_ in ids:
            self.maybe[id_] = self.sure.pop(id_, math.inf)

    def removed(self, ids: Iterable[str]) -> None:
        """Note that these were removed."""
        for id_ in ids:
            self.gone[id_] = self.maybe.pop(id_, math.inf)

    def forget(self, before: float) -> None:
        """Forget the events whose time had run out by then: the store has forgotten them, too."""
        for kept in (self.sure, self.maybe, self.gone):
            for id_ in [id_ for id_, until in kept.items() if until < before]:
                del kept[id_]
                self.outside.discard(id_)
                self.unclear.discard(id_)


class Book:
    """What all owners of a journal must have."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.open: dict[str, Any] | None = None

    def of(self, user: str) -> Told:
        """Return what is told of an owner."""
        return self.told.setdefault(user, Told())

    def take(self, line: Mapping[str, Any]) -> None:
        """Take note of one line of a journal."""
        do = line.get("do")
        if do == "add":
            self.of(line["user"]).adding(line["ids"], line["outside"])
        elif do == "remove":
            self.of(line["user"]).removing(line["ids"])
        elif do == "confirm":
            self.of(line["user"]).unclear.update(line["ids"])
        elif do == "put":
            self.items.setdefault(line["user"], {})[line["key"]] = None
        else:
            done = line.get("done")
            if done == "add":
                self.of(line["user"]).added(line["ids"], line["until"])
            elif done == "remove":
                self.of(line["user"]).removed(line["ids"])
            elif done == "put":
                self.items.setdefault(line["user"], {})[line["key"]] = (line["value"], line["until"])
        if do or line.get("done") or line.get("undone"):
            self.open = dict(line) if do else None


class Journal:
    """One lane's file. Threads may share it; what is written survives the death of the process.

    Args:
        path: The file; what it holds already is read first.
    """

    def __init__(self, path: Path) -> None:
        self.book = Book()
        self.numbers: Counter[str] = Counter()
        for line in lines(path):
            self._take(line)
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def _take(self, line: Mapping[str, Any]) -> None:
        self.book.take(line)
        if line.get("do") == "add":
            self.numbers[line["user"]] = max(self.numbers[line["user"]], line["next"])

    def write(self, line: Mapping[str, Any]) -> None:
        """Write one line, and take note of it."""
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._take(line)

    def forget(self, user: str, before: float) -> None:
        """Keep in memory only what the store may still have of an owner: days of load would else fill it. The file keeps all."""
        with self._lock:
            self.book.of(user).forget(before)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Follower:
    """What a lane's file says to somebody else, read on from where the last look ended.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.book = Book()
        self._path = path
        self._read = 0

    def look(self) -> Book:
        """Take note of the whole lines that have come since, and return the book. One that is half written is read the next time."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self.book.take(json.loads(line))
        return self.book


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a journal; one that a kill has cut short is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
