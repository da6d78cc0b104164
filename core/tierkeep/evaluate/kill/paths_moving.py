"""Paths that work on whole stores: migrate, backup, putting a backup back, and opening a file that an older version made."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tierkeep import Memory
from tierkeep.evaluate.kill.paths import Desk, Place, Step, WritePath, memory_at, step
from tierkeep.evaluate.kill.paths_adding import added, message, owner
from tierkeep.evaluate.kill.states import State, digest, state_of
from tierkeep.evaluate.kill.watching import bare, ledger_at
from tierkeep.ledger import schema
from tierkeep.models.doubles import HashEmbedder

__all__ = ["Backup", "Migrate", "PutBack", "Upgrade"]

_FILE = "tierkeep.db"
_COLUMNS = """SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema()
    ORDER BY table_name, column_name"""


class Migrate(WritePath):
    """A file with several owners moved into the store under test, one transaction an owner."""

    name, about = "migrate", "migrate of eight owners out of a file, begun again"

    def prepare(self, place: Place) -> None:
        """Fill the source."""
        with memory_at(str(place.folder / "source")) as memory:
            for number in range(8):
                user = owner(memory, f"user{number}")
                user.add([message(n) for n in range(10 + number)])
                user.add([message(50, "I live in Porto. I work as a nurse."), message(51, "I live in Faro.")])

    @contextmanager
    def session(self, desk: Desk) -> Iterator[Any]:
        """Return both memories."""
        with memory_at(str(desk.place.folder / "source")) as source:
            yield source, desk.memory()

    def steps(self) -> Sequence[Step]:
        """Return the move, and a write behind it."""
        return [
            step("migrate", _moved, whole=False),
            step("add", _told, 60),
        ]

    def state(self, place: Place, *, verify: bool = True) -> State:
        """Return what the target holds; the source is only read."""
        source = ledger_at(str(place.folder / "source"))
        try:
            files = {"source": digest(state_of(source))}
        finally:
            source.close()
        return {**super().state(place, verify=verify), "files": files}


class Backup(WritePath):
    """A backup while the store is written to, and one in its place."""

    name, about, postgres = "backup", "backup, and a newer one in its place", False

    def prepare(self, place: Place) -> None:
        """Fill the store."""
        with memory_at(place.store, embedder=HashEmbedder(32)) as memory:
            owner(memory).add([message(n) for n in range(120)])

    @contextmanager
    def session(self, desk: Desk) -> Iterator[Any]:
        """Return the memory, and where the backup goes."""
        yield desk.memory(), desk.place.folder / "backup.db"

    def steps(self) -> Sequence[Step]:
        """Return backups with writes between."""
        steps = []
        for n in range(4):
            steps += [
                step(f"backup {n}", _backed_up),
                step(f"add {n}", _saved, 200 + n),
            ]
        return steps

    def state(self, place: Place, *, verify: bool = True) -> State:
        """Return what the store holds, and what the backup does."""
        backup = _held(place.folder / "backup.db", place.folder / "looked-at")
        return {**super().state(place, verify=verify), "files": {"backup": backup}, "left": _left(place.folder)}


class PutBack(WritePath):
    """A backup put in the place of a store, and the store used again."""

    name, about, postgres = "restore-backup", "restore-backup over a store, and writes behind it", False

    def prepare(self, place: Place) -> None:
        """Fill the store, back it up, and go on."""
        with memory_at(place.store) as memory:
            owner(memory).add([message(n) for n in range(100)])
            memory.backup(place.folder / "backup.db")
            owner(memory).add([message(n) for n in range(100, 140)])

    @contextmanager
    def session(self, desk: Desk) -> Iterator[Any]:
        """Return the desk: each step opens and closes the store itself."""
        yield desk

    def steps(self) -> Sequence[Step]:
        """Return the calls."""
        return [one for n in range(3) for one in (step(f"put back {n}", _put_back), step(f"add {n}", _opened_and_added, 300 + n))]

    def state(self, place: Place, *, verify: bool = True) -> State:
        """Return what the store holds, and what lies beside it."""
        return {**super().state(place, verify=verify), "left": _left(place.folder)}


class Upgrade(WritePath):
    """Stores of the first schema, opened by this version."""

    name, about = "upgrade", "opening a store of the first schema"

    def prepare(self, place: Place) -> None:
        """Fill a store and take away what later versions have added."""
        with memory_at(place.store) as memory:
            for user in ("ana", "bo", "cy"):
                owner(memory, user).add([message(n, "I live in Porto." if n == 5 else "") for n in range(150)])
        older(place.store)

    @contextmanager
    def session(self, desk: Desk) -> Iterator[Any]:
        """Return the desk: opening is the step."""
        yield desk

    def steps(self) -> Sequence[Step]:
        """Return the opening, and a write."""
        return [
            step("open", _opened),
            step("add", _opened_and_added, 200),
        ]

    def state(self, place: Place, *, verify: bool = True) -> State:
        """Return the schema that the store had before this look opened it, and what it holds then."""
        files = {"schema": _shape_at(place.store)}
        return {**super().state(place, verify=verify), "files": files}


def _moved(both: tuple[Memory, Memory]) -> None:
    report = both[0].copy_to(both[1])
    if not report.ok:
        raise RuntimeError(f"the move does not verify: {report.problems}")


def _told(both: tuple[Memory, Memory], number: int) -> None:
    owner(both[1], "user3").add([message(number)])


def _backed_up(both: tuple[Memory, Path]) -> None:
    both[0].backup(both[1], replace=True)


def _saved(both: tuple[Memory, Path], number: int) -> None:
    added(both[0], message(number))


def _put_back(desk: Desk) -> None:
    Memory.put_back(desk.place.folder / "backup.db", desk.place.store, replace=True)


def _opened(desk: Desk) -> None:
    with memory_at(desk.place.store, desk.committed) as memory:
        memory.stats()


def _opened_and_added(desk: Desk, number: int) -> None:
    with memory_at(desk.place.store, desk.committed) as memory:
        added(memory, message(number))


def _left(folder: Path) -> int:
    """Return how many half-made copies lie about."""
    return sum(1 for _ in folder.rglob(".tierkeep-*.part*"))


def _held(backup: Path, folder: Path) -> str:
    """Return the digest of what a backup holds, seen in a copy of it; "" when there is none."""
    if not backup.exists():
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(backup, folder / _FILE)
    ledger = ledger_at(str(folder))
    try:
        return digest({**state_of(ledger), "problems": list(ledger.verify().problems)})
    finally:
        ledger.close()


def _shape_at(store: str) -> str:
    """Return the version of a store and the digest of its tables, without making it current."""
    if "://" in store:
        with bare(store) as session:
            columns = session.execute(_COLUMNS).fetchall()
            (version,) = session.execute("SELECT value FROM counters WHERE name = 'schema_version'").fetchone()
        return f"{version}, {digest({'columns': [list(row) for row in columns]})}"
    with closing(sqlite3.connect(Path(store) / _FILE, isolation_level=None)) as connection:
        shape = {f"{kind} {name}": sql for (kind, name), sql in schema.shape(connection).items()}
        return f"{schema.version(connection)}, {digest(shape)}"


def older(store: str) -> None:
    """Turn a current store without vectors, decisions and seals into one of the first schema."""
    if "://" in store:
        with bare(store) as session:
            session.execute("ALTER TABLE scopes DROP COLUMN events, DROP COLUMN chars")
            session.execute("UPDATE counters SET value = 1 WHERE name = 'schema_version'")
        return
    with closing(sqlite3.connect(Path(store) / _FILE, isolation_level=None)) as connection:
        first = _first_shape()
        now = schema.shape(connection)
        for kind in ("trigger", "index", "table"):
            for one in (name for (what, name) in now if what == kind and (what, name) not in first):
                connection.execute(f'DROP {kind} IF EXISTS "{one}"')
        for column in ("events", "chars"):
            connection.execute(f"ALTER TABLE scopes DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _first_shape() -> Mapping[tuple[str, str], str]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, steps=schema.STEPS[:1])
        return schema.shape(connection)
