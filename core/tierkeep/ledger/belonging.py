"""Whether the write-ahead log beside a file is the file's own: SQLite would play any log into it, whosever it is.

A log stays behind when its process dies, and people copy files: a backup over a store whose log lies there, one store's file beside
another's log. The log's own checksums hold in both cases, and the file would become the other store, or half of it. So before a file with
a log is opened, it is read once without its log and once with it: the name that every file gets when it is made must be the same, and the
newest entry of the hash chain that the file has must still be there. After a death the pages are looked through as well.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tierkeep.errors import StoreCorrupt
from tierkeep.ledger.files import is_locked

__all__ = ["check_log", "give_name"]

_LOG = logging.getLogger(__name__)
_NAME = "SELECT value FROM counters WHERE name = 'file'"
_GIVE = "INSERT INTO counters(name, value) VALUES('file', ?) ON CONFLICT(name) DO NOTHING"
_NEWEST = "SELECT n, hash FROM chain ORDER BY n DESC LIMIT 1"
_ENTRY = "SELECT hash FROM chain WHERE n = ?"
_CHECKED_BYTES = 64 << 20  # of a file and its log together: a tenth of a second, once after a death
_TRIES = 2  # another process may be moving its log into the file while it is read


class _Seen(NamedTuple):
    name: int | None
    n: int
    hash: bytes | None


def give_name(connection: sqlite3.Connection) -> None:
    """Give a file its name, once. Copies keep it."""
    if connection.execute(_NAME).fetchone() is None:
        connection.execute(_GIVE, (secrets.randbits(62),))


def check_log(path: Path) -> None:
    """Refuse a log that is another store's, or of another state of this one. Nothing is written.

    Raises:
        StoreCorrupt: It does not belong to the file.
    """
    log, shared = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not log.exists():
        if shared.exists():  # whoever ends removes this one first, and whoever begins makes it last
            _LOG.warning("%s has lost its log %s: what was written since the last checkpoint may be gone", path, log.name)
        return
    if log.stat().st_size == 0 or any(_fits(path) for _ in range(_TRIES)):
        return
    message = (
        f"The log {log.name} does not belong to {path}: it is another store's, or the file was put back beside a log of another day. "
        "Both were left as they are. Bring back the log that belongs to the file, or move this one away: "
        "then the store is as the file has it."
    )
    raise StoreCorrupt(message, path=str(path))


def _fits(path: Path) -> bool:
    alone = _read(path, "immutable=1", None)
    whole = None if alone is None else _read(path, "mode=ro", alone.n)
    if alone is None or whole is None:
        return True  # it cannot be read so; opening it says why
    if alone.name not in (None, whole.name) or alone.hash not in (None, whole.hash):
        return False
    # What a stranger's log has changed may be neither: then its pages do not fit to the others. While somebody has the file open, they do.
    if is_locked(path, claims=1) or path.stat().st_size + path.with_name(f"{path.name}-wal").stat().st_size > _CHECKED_BYTES:
        return True
    return _sound(path, "mode=ro") or not _sound(path, "immutable=1")


def _opened(path: Path, how: str) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, isolation_level=None, timeout=1.0))


def _read(path: Path, how: str, n: int | None) -> _Seen | None:
    """Return the file's name, and its newest entry or that with a number; None when it cannot be read."""
    try:
        with _opened(path, how) as connection:
            name = connection.execute(_NAME).fetchone()
            entry = connection.execute(_NEWEST).fetchone() if n is None else (n, *(connection.execute(_ENTRY, (n,)).fetchone() or (b"",)))
    except sqlite3.Error as error:
        # Whole without the log, and torn with it, is no matter of permissions.
        return _Seen(None, n or 0, b"") if n is not None and _is_torn(error) else None
    return _Seen(name[0] if name else None, *(entry or (0, None)))


def _sound(path: Path, how: str) -> bool:
    """Return whether SQLite finds nothing wrong with the pages."""
    try:
        with _opened(path, how) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.Error as error:
        return not _is_torn(error)


def _is_torn(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT
