"""Where a store lives on disk: paths, permissions, the header check, and reading its raw bytes without breaking locks.

POSIX drops every lock that a process holds on a file as soon as it closes any descriptor of that file. SQLite's locks are
such locks, so this process must never open and close a database file that it also has open through SQLite. All raw access
goes through here: descriptors are kept until the last ledger of that file in this process is closed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tierkeep.errors import InputError, StoreCorrupt, StoreUnavailable
from tierkeep.ledger.schema import APPLICATION_ID

__all__ = ["FILE_NAME", "Claim", "check_store", "claim", "is_locked", "locate"]

FILE_NAME = "tierkeep.db"
_FILE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_BLOCK = 512 << 10  # small beside the processor's cache, and no allocator keeps ready for ever what a block's arrays need
_LOCK_BYTES = (0x4000_0000, 512)  # where SQLite takes its locks on a database file, beginning and length (sqlite.org/fileformat2.html, 1.3)
_LOCKED_FILES = ("", "-shm")  # SQLite takes locks on these; the log and the rollback journal carry none


@dataclass
class _Inode:
    """One database file as this process knows it."""

    ledgers: int = 0
    descriptors: list[int] = field(default_factory=list)


_inodes: dict[tuple[int, int], _Inode] = {}
_guard = threading.Lock()


def locate(path: str | Path) -> Path | None:
    """Return the database file that `path` means, or None for ":memory:".

    An existing folder, and a new path without a database suffix, mean `tierkeep.db` inside that folder.

    Raises:
        InputError: The path cannot be a path.
        StoreUnavailable: This user may not look at the path.
    """
    if str(path) == ":memory:":
        return None
    try:
        if "\0" in str(path):
            raise ValueError
        where = Path(path).expanduser().absolute()
        if where.is_dir():
            return where / FILE_NAME
        if where.exists() or where.suffix.lower() in _FILE_SUFFIXES:
            return where
    except PermissionError as error:
        raise _denied(Path(path), error) from error
    except (OSError, ValueError, RuntimeError):
        raise InputError("The store's path cannot be used as a path on this machine.", field="path") from None
    return where / FILE_NAME


@dataclass(frozen=True)
class Claim:
    """This process's use of one database file, from `claim` to `release`."""

    path: Path
    key: tuple[int, int]

    def files(self) -> list[Path]:
        """Return every file of the store that exists now."""
        beside = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
        return [path for path in beside if path.exists()]

    def blocks(self, path: Path, overlap: int) -> Iterator[bytes]:
        """Yield the bytes of one of `files`, in blocks that repeat the last `overlap` bytes of the one before."""
        suffix = path.name.removeprefix(self.path.name)
        if suffix in _LOCKED_FILES:
            yield from _read(self._kept_descriptor(path), overlap)
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield from _read(descriptor, overlap)
        finally:
            os.close(descriptor)

    def _kept_descriptor(self, path: Path) -> int:
        with _guard:
            inode = _inodes[self.key]
            wanted = _key(path)
            for known in inode.descriptors:
                if _key(known) == wanted:
                    return known
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            inode.descriptors.append(opened)
            return opened

    def release(self) -> None:
        """Give the file back; call it after this ledger's connections are closed."""
        with _guard:
            inode = _inodes.get(self.key)
            if inode is None:
                return
            inode.ledgers -= 1
            if inode.ledgers <= 0:
                del _inodes[self.key]
                for descriptor in inode.descriptors:
                    os.close(descriptor)


def claim(path: Path) -> Claim:
    """Make sure that a store may be opened at `path`, creating an empty file if there is none, and claim it.

    Raises:
        StoreUnavailable: The folder or the file cannot be created or read, or a file of the store is a symbolic link.
        StoreCorrupt: There is a file, and it is not a tierkeep store; or its write-ahead log is there and what it belongs to is gone.
            Nothing has been touched.
    """
    try:
        _refuse_links(path)
        has_log = _has_log(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise StoreUnavailable(f"{path} is not a regular file, so it cannot hold a store.", path=str(path))
        if not path.exists():
            _refuse_lone_log(path, has_log)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600))
        with _guard:
            key = _key(path)
            if key not in _inodes:
                _check_header(path, has_log)
            inode = _inodes.setdefault(key, _Inode())
            inode.ledgers += 1
    except OSError as error:
        raise _denied(path, error) from error
    return Claim(path, key)


def check_store(path: Path) -> None:
    """Refuse a file that is no store of ours, without opening one that this process has open through SQLite.

    Raises:
        StoreUnavailable: It cannot be read, or is a symbolic link.
        StoreCorrupt: It is not a tierkeep store.
    """
    try:
        _refuse_links(path)
        with _guard:
            if _key(path) in _inodes:
                return
            _check_header(path, has_log=False)
    except OSError as error:
        raise _denied(path, error) from error


def is_locked(path: Path, *, claims: int = 0) -> bool:
    """Return whether anybody has a database file open through SQLite, for one that is too damaged to ask SQLite itself.

    Args:
        path: The file.
        claims: How many ledgers of this process have claimed it and not opened it yet.
    """
    try:
        import fcntl
    except ImportError:  # where files that are open cannot be replaced anyway
        return False
    with _guard:
        known = _inodes.get(_key(path))
        if known is not None and (known.ledgers > claims or known.descriptors):
            return True
        try:
            with path.open("r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES[1], _LOCK_BYTES[0])
        except OSError:  # somebody holds one of these, or the file may not be written, so that nobody can tell
            return True
        return False


def _refuse_links(path: Path) -> None:
    """Refuse a file that is a symbolic link: who may make one in the folder could send our writes into any file of ours.

    The folder itself may be reached through links; it is the caller's choice.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        if (beside := path.with_name(path.name + suffix)).is_symlink():
            message = f"{beside} is a symbolic link, so it cannot hold a store. Open the file that it points to, or link its folder."
            raise StoreUnavailable(message, path=str(path))


def _denied(path: Path, error: OSError) -> StoreUnavailable:
    why = "permission denied" if isinstance(error, PermissionError) else error.strerror
    return StoreUnavailable(f"The store at {path} cannot be opened: {why}. Check that the folder exists and is yours.", path=str(path))


def _has_log(path: Path) -> bool:
    """Return whether a write-ahead log with something in it stands beside the file.

    Ask before the file is looked at: a store that another process is just making gets its header first, and its log after it.
    """
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:  # asked for by one call only: the last process that closes a store removes its log
        return False


def _refuse_lone_log(path: Path, has_log: bool) -> None:
    """Refuse to begin a new store where the log of another lies. SQLite would delete it, and with it what was written last."""
    if has_log:
        message = (
            f"{path} is empty or missing, but its log {path.name}-wal holds changes: the store was cut off or removed. "
            "It was left as it is. Restore both from a backup, or import an export into another path; to begin anew, remove the log."
        )
        raise StoreCorrupt(message, path=str(path))


def _check_header(path: Path, has_log: bool) -> None:
    """Refuse a file that is not ours by its own bytes, before SQLite could write beside it."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header:
        _refuse_lone_log(path, has_log)
        return
    if not header.startswith(_MAGIC) or len(header) < _HEADER:
        message = (
            f"{path} is not a tierkeep store, or its beginning is damaged. It was left as it is. "
            "Restore it from a backup or an export, or choose another path."
        )
        raise StoreCorrupt(message, path=str(path))
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        message = f"{path} is the SQLite database of another application. It was left as it is. Choose another path."
        raise StoreCorrupt(message, path=str(path))


def _key(file: Path | int) -> tuple[int, int]:
    found = os.stat(file)
    return (found.st_dev, found.st_ino)


def _read(descriptor: int, overlap: int) -> Iterator[bytes]:
    offset = 0
    while block := os.pread(descriptor, _BLOCK, offset):
        yield block
        if len(block) <= overlap:
            return
        offset += len(block) - overlap
