"""chromadb as the index of vectors: a copy of the ledger's, brought level with it before every search, and made again when it is lost.

Each owner's vectors by one embedder are one collection. What it should hold is known from one pass over the ledger's vectors
(`tierkeep.ledger.chroma_prefix`); how far it came stands in the collection's metadata, with a digest. So a collection that lags is
extended, and one that is lost, another's, from an older backup or damaged is deleted and made again. It holds no text, and names only
as hashes.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance, Progress
from tierkeep.errors import InputError, SettingsError, StoreUnavailable
from tierkeep.ledger.chroma_client import ChromaClient, Damaged, Gone, Late, Server
from tierkeep.ledger.chroma_collections import Collections, Opened, Sessions, Stale, name_of, names_begin
from tierkeep.ledger.chroma_prefix import Mark, Prefix, cut, pieces
from tierkeep.protocols import Near, View
from tierkeep.records import Scope

__all__ = ["ChromaVectors"]

_T = TypeVar("_T")
_NOTHING = Near(np.zeros(0, np.int64), np.zeros(0, np.float32))
_ATTEMPTS = 4
_PIECE = 256  # vectors that are sent at once: about a second's work, so that a deadline is kept
_ALIKE = 1e-3  # cosine distance below which a vector is the same


class _Slot:
    """What is known of one collection, for one reader at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.prefix = Prefix()
        self.generation: int | None = None  # the ledger's, of which `prefix` was read; None when it must be read anew
        self.checked = False  # whether the collection was seen to find what it holds
        self.short = False  # whether a search found less than there is, and the collection was made anew for it
        self.leave = False  # set by who cannot wait until a long levelling is over


class ChromaVectors:
    """Approximate search with chromadb (`tierkeep.protocols.VectorIndex`). Threads may share it.

    An embedded chromadb belongs to one process: it loses vectors when two have its folder open, so a second one is refused. Several
    processes share a server. A forked child opens a client of its own.

    Args:
        path: A folder of its own for an embedded chromadb; it is made when it is missing.
        host: Name or address of a server (`chroma run`).
        port: Its port.
        ssl: Whether it speaks TLS.
        headers: Sent with every request, such as a token.
        client: A client of chromadb that you opened and will close, in place of `path` and `host`.
        space: Tells memories apart that share a server; two with the same space and the same owners would keep making each other's anew.
        k: Vectors that a search returns at most. An event that is not among them counts as unlike, so it is many more than anybody packs,
            several parts of one event included; 1,024 cost a few milliseconds more than 10, and make the nearest ones surer.
        timeout_s: Seconds that a server may be silent.
        max_bytes: Memory for what is known of the scopes in use: D x D numbers each, 0.6 MB for vectors of 384.

    Raises:
        MissingExtraError: chromadb is not installed.
        SettingsError: Not exactly one of `path`, `host` and `client`, or a value that cannot hold.
    """

    name = "chroma"

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        host: str | None = None,
        port: int = 8000,
        ssl: bool = False,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        space: str = "",
        k: int = 1024,
        timeout_s: float = 30.0,
        max_bytes: int = 64 << 20,
    ) -> None:
        if k < 1 or not timeout_s > 0 or max_bytes < 0:
            raise SettingsError("k must be 1 or more, timeout_s above 0, and max_bytes 0 or more")
        if host is not None and ("/" in host or not host):
            raise SettingsError(f"host is a name or an address, without a scheme or a path, not {host!r}; see port= and ssl=")
        server = None if host is None else Server(host, port, ssl, headers, timeout_s)
        folder = None if path is None else Path(path).expanduser().absolute()
        self._client = ChromaClient(folder=folder, server=server, given=client)
        self._collections = Collections(self._client, k)
        self._k = k
        self._space = space
        self._max_bytes = max_bytes
        self._forget_all()
        _living.add(self)

    def _forget_all(self) -> None:
        """Start with nothing and with locks that nobody holds."""
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[tuple[str, str, str], str], _Slot] = OrderedDict()

    def near(self, view: View, identity: str, vector: NDArray[np.float32], allowance: Allowance) -> Near:
        """Return the events whose vectors are most similar, and the spread of all; when there are no more than `k` vectors, all events.

        A view that is bound to a session gets the best of that session, and no spread when that is all of it. The index is brought level
        first; see `level`.

        Raises:
            InputError: The vector does not have the embedder's dimension, or is not finite.
            StoreUnavailable: chromadb cannot be reached, or another process has its folder.
            StorageError: The collection cannot be used, even made anew.
        """
        vector = np.asarray(vector, np.float32)
        if not np.isfinite(vector).all():
            raise InputError("the vector of a question has numbers that are not finite")
        try:
            return self._persist(lambda: self._near(view, identity, vector, allowance))
        except Late:
            return _NOTHING._replace(complete=False)

    def level(self, view: View, identity: str, allowance: Allowance) -> bool:
        """Bring the index level with the ledger now, so that no question waits for it; return whether it is, False past the deadline.

        A scope that is new to chromadb takes a second for some 200 to 500 vectors. The allowance's listener is told how far it is.

        Raises:
            StoreUnavailable: chromadb cannot be reached, or another process has its folder.
            StorageError: The collection cannot be used, even made anew.
        """

        def once() -> bool:
            with self._take(view, identity, allowance) as slot:
                opened, level = self._level(slot, view, identity, allowance)
                if opened is not None:
                    self._collections.distances(opened, slot.prefix.samples[:1], allowance)
                return level

        try:
            return self._persist(once)
        except Late:
            return False

    def forget(self, scope: Scope) -> None:
        """Delete the scope's collections, whoever made their vectors, and from an embedded chromadb's files every trace of them.

        A server keeps files of deleted collections until its operator removes them: there is no request for that.

        Raises:
            StoreUnavailable: chromadb cannot be reached; the collections are deleted when the scope is next searched.
            StorageError: Traces could not be removed from the files.
        """
        if self._client.unused:
            return
        with self._lock:
            slots = [slot for (partition, _), slot in self._slots.items() if partition == scope.partition]
        with ExitStack() as held:
            for slot in slots:
                slot.leave = True
                held.enter_context(slot.lock)
                slot.leave, slot.generation = False, None
            self._collections.delete(*self._collections.named(names_begin(self._space, scope)))

    def close(self) -> None:
        """Let go of the folder or of the connection; a client that was handed over stays open. A second call does nothing."""
        self._client.close()

    def _persist(self, work: Callable[[], _T]) -> _T:
        """Return what the work returns; it is done again when what it worked on has gone or was thrown away meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return work()
            except (Gone, Stale):
                continue
            except Damaged:
                if attempt == _ATTEMPTS:
                    raise
                self._client.wipe()
        raise StoreUnavailable(
            f"{self._client.where} could not be brought level with the ledger in {_ATTEMPTS} attempts: something else keeps changing it. "
            "Give each memory a space= of its own, or begin anew in an empty folder."
        )

    def _near(self, view: View, identity: str, vector: NDArray[np.float32], allowance: Allowance) -> Near:
        with self._take(view, identity, allowance) as slot:
            opened, complete = self._level(slot, view, identity, allowance)
            prefix = slot.prefix
            if opened is None:
                return _NOTHING._replace(complete=complete)
            if vector.shape != (prefix.dimension,):
                raise InputError(f"vectors of {identity!r} have {prefix.dimension} numbers, and the question's shape is {vector.shape}")
            total, spread = prefix.vectors, prefix.spread(vector)
        session = view.scope.session
        try:
            seqs, similarities, found = self._collections.nearest(opened, vector, total, session, allowance)
        except Damaged:
            self._collections.delete(opened.collection.name)
            raise
        if session is None:
            self._whole(slot, opened, found, min(total, self._k))
        everything = found == total or (session is not None and found < self._k)
        return Near(seqs, similarities, complete, None if everything else spread)

    def _whole(self, slot: _Slot, opened: Opened, found: int, wanted: int) -> None:
        """Make a collection anew that finds less than it holds, once in a row: a server that lost its index in a crash still counts right.

        Raises:
            Stale: It is deleted.
        """
        if found >= wanted:
            slot.short = False
        elif not slot.short:
            slot.short = True
            self._collections.delete(opened.collection.name)
            raise Stale

    def _level(self, slot: _Slot, view: View, identity: str, allowance: Allowance) -> tuple[Opened | None, bool]:
        """Bring a collection level; return it, None when there is nothing to search, and whether it is level.

        Raises:
            Stale: It was not what the ledger has, and is deleted.
        """
        name = name_of(self._space, view.scope, identity)
        try:
            return self._follow(slot, name, view, identity, allowance)
        except (Stale, Damaged):
            slot.generation = None
            self._collections.delete(name)
            raise Stale from None

    def _follow(self, slot: _Slot, name: str, view: View, identity: str, allowance: Allowance) -> tuple[Opened | None, bool]:
        generation, embedded = view.generation, view.embedded(identity)
        opened = self._collections.find(name, allowance)
        mark = there = Mark() if opened is None else opened.mark()
        if slot.generation != generation or there.seq < slot.prefix.last_seq:
            # Something has gone from the ledger, or from the collection: what it should hold is read from the beginning.
            slot.prefix, slot.checked = Prefix(), False
        slot.generation = None  # until it is done: what breaks off in the middle is read anew
        prefix, sessions, complete = slot.prefix, Sessions(view, there.seq), True
        for page in pieces(view.vectors(identity, prefix.last_seq), _PIECE):
            known, new = cut(page, there.seq)
            prefix.extend(known)
            if len(new.seqs):
                if prefix.mark() != mark:
                    raise Stale
                opened = opened or self._collections.create(name, allowance)
                self._collections.send(opened, new, sessions, allowance)
                prefix.extend(new)
                mark = prefix.mark()
                self._collections.set_mark(opened, mark, allowance)
                allowance.tell(Progress("level", done=prefix.vectors))
            if slot.leave:
                raise Stale
            if allowance.expired():
                complete = False
                break
        slot.generation = generation
        if not complete and prefix.last_seq < there.seq:
            return None, False  # it is not known yet whether it is the right one
        if prefix.mark() != mark:
            raise Stale
        if opened is not None:
            self._check(slot, opened, allowance, exactly=complete and view.embedded(identity) == embedded)
        if view.generation != generation:
            raise Stale  # what was sent may be forgotten by now
        return opened, complete

    def _check(self, slot: _Slot, opened: Opened, allowance: Allowance, *, exactly: bool) -> None:
        """Make sure that a collection holds as many vectors as it should, and, once in this process, that it finds them."""
        count = self._collections.count(opened, allowance)
        if count < slot.prefix.vectors or (exactly and count > slot.prefix.vectors):
            raise Stale
        if not slot.checked:
            distances = self._collections.distances(opened, slot.prefix.samples, allowance)
            if 2 * sum(distance < _ALIKE for distance in distances) < len(distances):
                raise Stale
            slot.checked = True

    @contextmanager
    def _take(self, view: View, identity: str, allowance: Allowance) -> Iterator[_Slot]:
        """Give the slot of a scope and an embedder to one reader at a time; what was not used for longest is dropped first."""
        key = (view.scope.partition, identity)
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
        seconds = allowance.seconds_left()
        if not slot.lock.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX)):
            raise Late
        try:
            yield slot
        finally:
            slot.lock.release()
            self._shrink(key)

    def _shrink(self, used: tuple[tuple[str, str, str], str]) -> None:
        with self._lock:
            if used in self._slots and not self._slots[used].prefix.vectors:
                del self._slots[used]  # an owner without memories, who may not even exist, costs nothing
            held = sum(slot.prefix.nbytes for slot in self._slots.values())
            while held > self._max_bytes and len(self._slots) > 1:
                held -= self._slots.popitem(last=False)[1].prefix.nbytes


_living: weakref.WeakSet[ChromaVectors] = weakref.WeakSet()


def _after_in_child() -> None:
    # The threads that held the locks do not exist here.
    for vectors in list(_living):
        vectors._forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
