"""A backup of a store in a file while it is written to, and how one is put back.

The copy is made through SQLite's own backup interface, a few pages at a time, inside one read transaction: so it is the store as it was at
one moment, writers go on meanwhile, and no write makes it begin again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tierkeep.allowance import Listener, Progress
from tierkeep.errors import InputError, SettingsError, StoreCorrupt, StoreUnavailable
from tierkeep.ledger import schema, sealing
from tierkeep.ledger.connections import Connections, translated
from tierkeep.ledger.files import check_store, is_locked, locate
from tierkeep.ledger.seal import Seal, StoreKey
from tierkeep.ledger.verification import verify

__all__ = ["backup", "put_back"]

_PAGES = 256  # pages of one step, 1 MiB: between two steps the listener is told, and other threads may run
_LOG_FILES = ("-wal", "-shm", "-journal")


def backup(connections: Connections, key: StoreKey | None, path: Path, *, replace: bool = False, listener: Listener | None = None) -> int:
    """Copy a store into a file, verify the copy, and put it in its place; return its bytes.

    Args:
        connections: The store.
        key: Of a sealed store, to verify the copy with.
        path: The file. Only its owner may read it.
        replace: Put it in the place of a file that is there.
        listener: Is told how far it is: "backup", in pages.

    Raises:
        InputError: There is a file already, or a store that is in use.
        StoreUnavailable: It cannot be written.
        StoreCorrupt: The copy does not verify, because the store does not. It was thrown away.
    """
    _check_place(path, replace)

    def told(status: int, remaining: int, total: int) -> None:
        if listener is not None:
            listener(Progress("backup", done=total - remaining, total=total))

    with _beside(path) as part:
        # The read transaction holds the moment: without it every commit of another connection would begin the copy again.
        with connections.snapshot() as source, closing(sqlite3.connect(part, isolation_level=None)) as copy:
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with translated(str(path)):
                source.backup(copy, pages=_PAGES, progress=told)
        _checked(part, key, path)
        size = part.stat().st_size
        _put(part, path)
    return size


def put_back(source: Path, where: str | Path, *, replace: bool = False, seal: Seal | None = None) -> int:
    """Put a backup in the place of a store; return the number of its events (`tierkeep.operating.Operations.put_back`)."""
    target = locate(where)
    if target is None or "://" in str(where):
        raise InputError("a backup is put back into a folder or a file", field="where")
    if not source.is_file():
        raise InputError(f"there is no backup at {source}", field="backup")
    if target.exists() and os.path.samefile(source, target):
        raise InputError("the backup and the store are the same file", field="backup")
    if _waiting_log(source):
        raise InputError(f"{source} has a log, so it is a store in use and no backup: make one with `tierkeep backup`", field="backup")
    check_store(source)
    if target.exists() and not replace:
        message = f"there is a store at {target}; to lose what it holds and put the backup in its place, pass replace=True (--replace)"
        raise InputError(message, field="where")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(target, error) from error
    with _beside(target) as part:
        with closing(_reading(source)) as old, closing(sqlite3.connect(part, isolation_level=None)) as copy, translated(str(source)):
            old.backup(copy)
        events = _checked(part, _key_of(part, seal), target)
        with _nobody_uses(target):
            _put(part, target)
    return events


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, isolation_level=None)


def _key_of(part: Path, seal: Seal | None) -> StoreKey | None:
    """Return the key of the copy of a sealed store; None when it bears no seal.

    Raises:
        SettingsError: It bears one, and no key was handed over.
    """
    with closing(_reading(part)) as connection, translated(str(part)):
        store = sealing.store_name(connection)
    if store is None:
        return None
    if seal is None:
        raise SettingsError("The backup is of a sealed store. Hand over its key, so that it can be verified: seal=Seal(…).")
    return seal.of_store(store)


def _check_place(path: Path, replace: bool) -> None:
    if path.is_dir() or path.is_symlink():
        raise InputError(f"{path} is a folder or a link: name the file that the backup goes into", field="path")
    if path.exists() and not replace:
        raise InputError(f"{path} exists already; pass replace=True (--force) to put the new backup in its place", field="path")
    if any(path.with_name(path.name + suffix).exists() for suffix in _LOG_FILES):
        raise InputError(f"{path} is a store in use, and no backup: name another file", field="path")


def _waiting_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Make a file beside the place, under a name that nobody can foresee and that only its owner may read; gone afterwards."""
    _tidy(path.parent)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f"{_here()}{os.getpid()}-", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
    finally:
        for suffix in ("", *_LOG_FILES):
            part.with_name(part.name + suffix).unlink(missing_ok=True)


def _here() -> str:
    """Return how the names of such files begin that processes of this machine make, and of this container: others cannot see them alive."""
    try:
        numbered_by = os.readlink("/proc/self/ns/pid")
    except OSError:  # where there are no such containers
        numbered_by = ""
    return f".tierkeep-{hashlib.sha256(f'{platform.node()}{numbered_by}'.encode()).hexdigest()[:8]}-"


def _tidy(folder: Path) -> None:
    """Remove what processes of this machine have left that died in the middle: it holds as much as a backup, and no forget reaches it."""
    if os.name != "posix":  # elsewhere, asking whether a process lives can end it
        return
    for part in folder.glob(f"{_here()}*.part*"):
        process = part.name.removeprefix(_here()).partition("-")[0]
        if process.isdigit() and not _lives(int(process)):
            with suppress(OSError):
                part.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # another user's, or no process that there could be
    return True


def _checked(part: Path, key: StoreKey | None, path: Path) -> int:
    """Verify a copy, and leave it as one file without a log; return the number of its events."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy, translated(str(path)):
        copy.execute("PRAGMA secure_delete = ON")
        copy.execute("PRAGMA synchronous = FULL")
        if copy.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            raise StoreUnavailable(f"The copy for {path} could not be closed.", path=str(path))
        schema.migrate(copy, path=str(path))
        report = verify(copy, str(path), key)
    if not report.ok:
        message = f"The copy does not verify, and was thrown away: {report.problems[0]}. `tierkeep verify` looks at the store itself."
        raise StoreCorrupt(message, path=str(path))
    return report.events


def _put(part: Path, path: Path) -> None:
    """Bring the file to the disk, then in its place, in one step."""
    try:
        descriptor = os.open(part, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _nobody_uses(target: Path) -> Iterator[None]:
    """Hold a store that is about to be replaced, so that nobody opens it meanwhile.

    Leaving the write-ahead log needs the store alone: SQLite refuses it while any other connection, of any process, has it open.

    Raises:
        StoreUnavailable: Somebody has it open.
    """
    if not target.exists():
        yield
        return
    check_store(target)
    with closing(sqlite3.connect(target, isolation_level=None, timeout=0.5)) as old:
        damaged = False
        try:
            alone = old.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
            old.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            alone = False
        except sqlite3.DatabaseError:  # it is damaged, which is why a backup takes its place
            damaged = alone = not is_locked(target)
        if not alone:
            message = f"The store at {target} is in use. Close every program that has it open, and try again; nothing was changed."
            raise StoreUnavailable(message, path=str(target))
        yield
    for suffix in _LOG_FILES if damaged else ():
        target.with_name(target.name + suffix).unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(f"{path} cannot be written: {error.strerror or error}", path=str(path))
