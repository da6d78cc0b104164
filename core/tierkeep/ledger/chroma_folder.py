"""The folder of an embedded chromadb: one process at a time, checked before it is opened, and emptied when something is forgotten.

Measured with chromadb 1.5: a second process on the same folder silently loses vectors (the count is right, the search does not find
them); a damaged file of an index can end the whole process with a segmentation fault; and a deleted collection leaves its files behind,
with its vectors in them, and again in the free pages of its SQLite file; and the room for growth in an index's files is memory that was
never cleared, with whatever the process had in it before. So the folder is locked, the files are compared with what was written down
when they were last at rest, a deletion is followed by a sweep, and room for growth is cleared. All of it is a copy of the ledger's
vectors: in doubt it is thrown away, and made again when it is next asked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tierkeep.errors import StorageError, StoreUnavailable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Folder"]

_LOCK = "tierkeep.lock"
_SEAL = "tierkeep-seal.json"
_DATABASE = "chroma.sqlite3"
_BLOCK = 1 << 20
_HEADER = struct.Struct("<iQQQQ")  # of hnswlib's header.bin, version 1: version, an offset, capacity, elements, bytes of an element


class Folder:
    """A folder that holds a chromadb of ours, from `take` to `release`. Not for several threads at once.

    Args:
        path: The folder; it is made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._sealed: dict[str, list[Any]] = {}

    @property
    def used(self) -> bool:
        """Whether there is anything in it that chromadb wrote."""
        return (self.path / _DATABASE).exists()

    def take(self) -> None:
        """Lock the folder for this process, unless it is, and empty it when its indexes are not as they were left.

        Raises:
            StoreUnavailable: Another process has it, it is another application's, or it cannot be written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.used and not (self.path / _SEAL).exists():
                message = (
                    f"{self.path} holds a chromadb of another application. It was left as it is. "
                    "Give the vectors a folder of their own; one is made when it is missing."
                )
                raise StoreUnavailable(message, path=str(self.path))
            if self._lock is None:
                self._lock = _locked(self.path / _LOCK)
            self._sealed = self._read_seal()
            if not self._as_sealed():
                self.wipe()
        except OSError as error:
            raise self._denied(error) from error

    def release(self) -> None:
        """Give the folder back; a second call does nothing."""
        if self._lock is not None:
            _unlock(self._lock)
            self._lock = None

    def leave(self) -> None:
        """Let go of it in a forked child, without taking the lock from the parent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def seal(self) -> None:
        """Clear the room for growth in the files of the indexes, and write down what they are. Call it when chromadb is at rest.

        Raises:
            StoreUnavailable: The folder cannot be written.
        """
        try:
            for index in self._indexes():
                if any(self._sealed.get(name, [])[:2] != self._state(name) for name in self._names(index)):
                    _clear(index)
            sums = {name: self._sum(name) for name in self._names()}
            if sums != self._sealed or not (self.path / _SEAL).exists():
                beside = self.path / f"{_SEAL}.new"
                beside.write_text(json.dumps({"version": 1, "files": sums}), encoding="utf-8")
                os.replace(beside, self.path / _SEAL)
                self._sealed = sums
        except OSError as error:
            raise self._denied(error) from error

    def wipe(self) -> None:
        """Remove everything that chromadb wrote. Call it while the folder is locked and no client is open.

        Raises:
            StoreUnavailable: The folder cannot be written.
        """
        try:
            for path in self._indexes():
                shutil.rmtree(path)
            for path in self.path.glob(f"{_DATABASE}*"):
                path.unlink()
        except OSError as error:
            raise self._denied(error) from error
        self.seal()

    def sweep(self) -> None:
        """Remove the files of collections that are deleted, and what they left in the database's free pages. No client may be open.

        Raises:
            StorageError: It could not be done; what was deleted may still be read in the files.
        """
        try:
            with closing(sqlite3.connect(self.path / _DATABASE, isolation_level=None)) as connection:
                used = {row[0] for row in connection.execute("SELECT id FROM segments")}
                for path in self._indexes():
                    if path.name not in used:
                        shutil.rmtree(path)
                connection.execute("VACUUM")
        except (OSError, sqlite3.Error) as error:
            message = f"Deleted vectors may still be read in the files of {self.path} ({error}). Close the memory and remove that folder."
            raise StorageError(message, path=str(self.path)) from error
        self.seal()

    def _indexes(self) -> list[Path]:
        return sorted(path for path in self.path.iterdir() if path.is_dir() and _is_uuid(path.name))

    def _names(self, *indexes: Path) -> list[str]:
        return [f"{folder.name}/{file.name}" for folder in indexes or self._indexes() for file in sorted(folder.iterdir())]

    def _as_sealed(self) -> bool:
        """Return whether the files are what was written down, by content: a file can be damaged without a trace in its size or date."""
        names = self._names()
        return names == list(self._sealed) and all(self._sealed[name][2:] == [_digest(self.path / name)] for name in names)

    def _sum(self, name: str) -> list[Any]:
        """Return size, date and digest of a file; its digest of last time when it has not changed since."""
        state, known = self._state(name), self._sealed.get(name, [])
        return known if known[:2] == state else [*state, _digest(self.path / name)]

    def _state(self, name: str) -> list[int]:
        found = (self.path / name).stat()
        return [found.st_size, found.st_mtime_ns]

    def _read_seal(self) -> dict[str, list[Any]]:
        if not self.used:
            self.seal()  # before chromadb writes anything: an unfinished beginning is ours too
        try:
            read = json.loads((self.path / _SEAL).read_text(encoding="utf-8"))
            return dict(read["files"])
        except (ValueError, KeyError, TypeError):
            return {"": []}  # fits nothing

    def _denied(self, error: OSError) -> StoreUnavailable:
        why = "permission denied" if isinstance(error, PermissionError) else error.strerror
        message = f"The vectors in {self.path} cannot be read or written: {why}. Check that the folder is yours and the disk has room."
        return StoreUnavailable(message, path=str(self.path))


def _is_uuid(name: str) -> bool:
    with suppress(ValueError):
        return str(uuid.UUID(name)) == name
    return False


def _clear(index: Path) -> None:
    """Put zeros where the files of an index have room for elements to come; leave files alone that look otherwise than they are known."""
    header = index / "header.bin"
    held = header.read_bytes() if header.exists() else b""
    version, _, capacity, used, size = _HEADER.unpack_from(held) if len(held) >= _HEADER.size else (0, 0, 0, 0, 0)
    for file, width in ((index / "data_level0.bin", size), (index / "length.bin", 4)):
        length = file.stat().st_size if file.exists() else 0
        if version == 1 and used * width < length <= capacity * width:
            with file.open("r+b") as opened:
                opened.seek(used * width)
                opened.write(bytes(length - used * width))


def _digest(path: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    for block in _blocks(path):
        found.update(block)
    return found.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _locked(path: Path) -> int:
    """Return the descriptor of a file that this process alone has locked."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise
        message = (
            f"The vectors in {path.parent} are in use, by another process or by another ChromaVectors of this one, and chromadb loses "
            "vectors when two have its folder open. Share one ChromaVectors, or start `chroma run` and use host= and port=."
        )
        raise StoreUnavailable(message, path=str(path.parent)) from None
    return descriptor


def _unlock(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it with a forked child
    os.close(descriptor)
