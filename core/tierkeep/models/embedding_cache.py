"""Embeds each text once: for benchmarks, which ask the same of the same texts again and again, and for slow or paid models."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import SettingsError, StoreUnavailable
from tierkeep.models.embedding_rows import texts_of
from tierkeep.protocols import Embedder, QueryEmbedder

_Row: TypeAlias = NDArray[np.float32]

_OVERHEAD = 200  # bytes of an entry besides its vector: key, array header, links
_PATIENCE_S = 30.0
_AT_ONCE = 500  # keys of one question to the file; SQLite takes 999 at least


class CachedEmbedder:
    """An embedder that remembers what another one said, by a hash of its identity and the text.

    Memory is bounded: the vectors that were asked for longest ago go first. With `path`, vectors are kept in one SQLite file as well,
    which several processes may share and which is not bounded. Such a file holds vectors of texts that a memory may forget later, and
    vectors give much of a text away: that is why there is none unless it is asked for. `forget` and `clear` remove from both.

    Several threads may use it; two that ask for the same new text at the same time may both have it embedded.

    Args:
        embedder: The one that is asked for what is not known yet.
        path: File that outlives the process; None for none.
        max_bytes: Ceiling on the memory for vectors.

    Raises:
        SettingsError: `max_bytes` is negative.
        StoreUnavailable: The file cannot be opened or is no such file.
    """

    def __init__(self, embedder: Embedder, path: str | os.PathLike[str] | None = None, *, max_bytes: int = 256 * 2**20) -> None:
        if max_bytes < 0:
            raise SettingsError("max_bytes must not be negative")
        self._embedder = embedder
        self._rows: OrderedDict[bytes, _Row] = OrderedDict()
        self._most = max_bytes // (4 * embedder.dimension + _OVERHEAD)
        self._lock = threading.Lock()
        self._file = _File(Path(path), embedder.dimension) if path is not None else None
        self.identity = embedder.identity
        self.dimension = embedder.dimension

    def embed(self, texts: Sequence[str]) -> _Row:
        """Return the other embedder's vectors, shape (len(texts), dimension), in input order; errors are the other's.

        Raises:
            StoreUnavailable: The file cannot be read or written.
        """
        return self._cached(texts, "text", self._embedder.embed)

    def embed_queries(self, texts: Sequence[str]) -> _Row:
        """Return vectors of questions: what `embed` returns, unless the other embedder treats questions otherwise."""
        if isinstance(self._embedder, QueryEmbedder):
            return self._cached(texts, "query", self._embedder.embed_queries)
        return self.embed(texts)

    def forget(self, texts: Iterable[str]) -> int:
        """Remove the vectors of these texts, also as questions; return how many there were. In the file their bytes are overwritten.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        keys = [self._key(kind, text) for text in set(texts) for kind in ("text", "query")]
        with self._lock:
            gone = {key for key in keys if self._rows.pop(key, None) is not None}
        return len(gone | self._file.remove(keys) if self._file else gone)

    def clear(self) -> None:
        """Remove everything, the vectors of other embedders in the same file included.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        with self._lock:
            self._rows.clear()
        if self._file:
            self._file.clear()

    def _cached(self, texts: Sequence[str], kind: str, ask: Callable[[Sequence[str]], _Row]) -> _Row:
        given = texts_of(texts)
        keys = [self._key(kind, text) for text in given]
        wanted = dict(zip(keys, given, strict=True))
        found = self._known(wanted)
        new = [key for key in wanted if key not in found]
        if new:
            fresh = dict(zip(new, ask([wanted[key] for key in new]), strict=True))
            if self._file:
                self._file.add(fresh)
            self._remember(fresh)
            found |= fresh
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, self.dimension), dtype=np.float32)

    def _known(self, keys: Iterable[bytes]) -> dict[bytes, _Row]:
        found: dict[bytes, _Row] = {}
        with self._lock:
            for key in keys:
                if key in self._rows:
                    self._rows.move_to_end(key)
                    found[key] = self._rows[key]
        if self._file and (absent := [key for key in keys if key not in found]):
            kept = self._file.get(absent)
            self._remember(kept)
            found |= kept
        return found

    def _remember(self, rows: dict[bytes, _Row]) -> None:
        with self._lock:
            for key, row in rows.items():
                self._rows[key] = row.copy()  # a view would keep its whole batch alive
                self._rows.move_to_end(key)
            while len(self._rows) > self._most:
                self._rows.popitem(last=False)

    def _key(self, kind: str, text: str) -> bytes:
        digest = hashlib.blake2b(digest_size=20)
        for part in (self.identity, kind, text):
            data = part.encode("utf-8", "replace")
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.digest()


class _File:
    """The SQLite file. Every piece of work opens it anew, so that no thread and no forked process shares a connection."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._bytes = 4 * dimension
        with self._open() as file:
            file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, _Row]:
        found = {}
        with self._open() as file:
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                for key, data in file.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part):  # noqa: S608  marks only
                    if len(data) == self._bytes:
                        found[key] = np.frombuffer(data, dtype="<f4").astype(np.float32)
        return found

    def add(self, rows: dict[bytes, _Row]) -> None:
        with self._open() as file:
            entries = ((key, row.astype("<f4").tobytes()) for key, row in rows.items())
            file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", entries)

    def remove(self, keys: Sequence[bytes]) -> set[bytes]:
        gone: set[bytes] = set()
        with self._open() as file:
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                gone.update(key for (key,) in file.execute(f"DELETE FROM vectors WHERE key IN ({marks}) RETURNING key", part))  # noqa: S608
        return gone

    def clear(self) -> None:
        with self._open() as file:
            file.execute("DELETE FROM vectors")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_PATIENCE_S)) as file:
                file.execute("PRAGMA secure_delete = ON")
                with file:
                    yield file
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the cache of vectors {self._path} cannot be used: {error}", path=str(self._path)) from error


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
