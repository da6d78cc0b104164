"""Where the stores of trials are: folders, or schemas of a PostgreSQL server."""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path
from typing import Protocol

from tierkeep.errors import StorageError
from tierkeep.evaluate.kill.paths import Place, WritePath
from tierkeep.evaluate.kill.watching import bare

__all__ = ["Folders", "Schemas", "Stores"]

_CLIENT = "tierkeep-kill-trial"
_OTHERS = "SELECT pid FROM pg_stat_activity WHERE application_name = ? AND backend_type = 'client backend'"
_WAIT_S = 60.0


class Stores(Protocol):
    """Makes places for trials of one path.

    Attributes:
        kind: "sqlite" or "postgres".
        ready: Whether a place is prepared when it is handed over.
    """

    kind: str
    ready: bool

    def place(self, path: WritePath) -> Place:
        """Return a place for a trial."""
        ...

    def clients(self) -> list[int]:
        """Return the server's processes that work for trials."""
        ...

    def settle(self) -> None:
        """Wait until nobody works for a process that is dead."""
        ...

    def drop(self, place: Place) -> None:
        """Remove a place."""
        ...


class Folders:
    """Stores in files. A path is prepared once, and copied.

    Args:
        folder: Where they go.
    """

    kind = "sqlite"
    ready = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def template(self, path: WritePath) -> Place:
        """Return the place that is prepared and copied from."""
        folder = self._folder / f"template-{path.name}"
        folder.mkdir(exist_ok=True)
        return Place(folder, str(folder / "store"))

    def place(self, path: WritePath) -> Place:
        """Return a copy of what was prepared."""
        self._count += 1
        folder = self._folder / f"trial-{self._count}"
        shutil.copytree(self.template(path).folder, folder)
        return Place(folder, str(folder / "store"))

    def clients(self) -> list[int]:
        """Return none: there is no server."""
        return []

    def settle(self) -> None:
        """Return at once: nobody works for a dead process."""

    def drop(self, place: Place) -> None:
        """Remove the folder."""
        shutil.rmtree(place.folder, ignore_errors=True)


class Schemas:
    """Stores in schemas of a server.

    Args:
        address: Of a database in which this role may make schemas.
        folder: For what a path keeps beside its store.
    """

    kind = "postgres"
    ready = False

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._mark = f"tierkeep_kill_{secrets.token_hex(6)}"  # nobody else's: what is made is dropped
        self._count = 0

    def place(self, path: WritePath) -> Place:
        """Return an empty place."""
        self._count += 1
        folder = self._folder / f"server-trial-{self._count}"
        folder.mkdir()
        more = f"schema={self._mark}_{self._count}&partitions=1&application_name={_CLIENT}"
        return Place(folder, f"{self._address}{'&' if '?' in self._address else '?'}{more}")

    def clients(self) -> list[int]:
        """Return the server's processes that work for trials."""
        last = time.monotonic() + _WAIT_S
        while True:
            try:
                with bare(self._address) as session:
                    return [pid for (pid,) in session.execute(_OTHERS, (_CLIENT,)).fetchall()]
            except StorageError:  # it was killed, and is not back yet
                if time.monotonic() > last:
                    raise
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait until the server has noticed that its client is gone: until then it may still commit what it was told to."""
        last = time.monotonic() + _WAIT_S
        while self.clients():
            if time.monotonic() > last:
                raise RuntimeError("the server still works for a process that is dead")
            time.sleep(0.01)

    def drop(self, place: Place) -> None:
        """Drop the schema."""
        schema = place.store.rpartition("schema=")[2].partition("&")[0]
        with bare(self._address) as session:
            session.execute(" ".join(("DROP SCHEMA IF EXISTS", schema, "CASCADE")))
        shutil.rmtree(place.folder, ignore_errors=True)
