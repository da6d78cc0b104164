"""Collections of chromadb as copies of a ledger's vectors: their names, what is in them, and how far they came."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.ledger.chroma_client import ChromaClient, Gone
from tierkeep.ledger.chroma_prefix import Mark
from tierkeep.protocols import VectorPage, View
from tierkeep.records import Scope

__all__ = ["Collections", "Nearest", "Opened", "Sessions", "Stale", "name_of", "names_begin"]

#: The search list is twice `k`: so it finds the ten best of 10,000 random vectors of 384 numbers, the hardest case there is; with a list
#: of `k` it found 99 %. More neighbours than chromadb's 16 would find more, but see the next.
_LISTED = 2
#: What chromadb has not written to its files yet it puts into the index a second time when it does: 2 to 10 ms for each vector, 3 to 100
#: with 32 neighbours, and whoever adds then waits. Of its own it lets 1,000 wait, which is seconds.
_UNWRITTEN = 100
_PAGE = 256  # collections that are named at once


class Stale(Exception):
    """A collection does not hold what the ledger has."""


class Opened(NamedTuple):
    """A collection as it was found, and the client's epoch in which it can be used."""

    collection: Any
    epoch: int

    def mark(self) -> Mark:
        """Return how far it came.

        Raises:
            Stale: It does not say, so it is not ours.
        """
        metadata = self.collection.metadata or {}
        try:
            return Mark(int(metadata["seq"]), int(metadata["vectors"]), str(metadata["digest"]))
        except (KeyError, TypeError, ValueError):
            raise Stale from None


class Nearest(NamedTuple):
    """The events nearest to a vector.

    Attributes:
        seqs: Their places, shape (events,), ascending.
        similarities: Of each the similarity of its most similar part, shape (events,).
        vectors: How many vectors they are.
    """

    seqs: NDArray[np.int64]
    similarities: NDArray[np.float32]
    vectors: int


class Sessions:
    """The session of each event that is sent, as a number; events are asked for in ledger order."""

    def __init__(self, view: View, after_seq: int) -> None:
        self._rows = chain.from_iterable(page.rows() for page in view.term_pages(after_seq))
        self._seq, self._session = after_seq, 0

    def of(self, seq: int) -> int:
        """Return the number of an event's session."""
        while self._seq < seq:
            row = next(self._rows, None)
            self._seq, self._session = (seq, 0) if row is None else (row.seq, _number(row.session))
        return self._session


class Collections:
    """The collections of one memory.

    Args:
        client: The way to chromadb.
        k: Vectors that a search returns at most.
    """

    def __init__(self, client: ChromaClient, k: int) -> None:
        self._client = client
        self._k = k

    def find(self, name: str, allowance: Allowance) -> Opened | None:
        """Return a collection, None when there is none."""
        try:
            found = self._client.use(lambda client: client.get_collection(name, embedding_function=None), allowance)
        except Gone:
            return None
        return Opened(found, self._client.epoch)

    def create(self, name: str, allowance: Allowance) -> Opened:
        """Return a new collection, or the one that another process has just made."""
        hnsw = {"space": "cosine", "ef_search": _LISTED * self._k, "sync_threshold": _UNWRITTEN}
        given = {"configuration": {"hnsw": hnsw}, "embedding_function": None, "metadata": Mark()._asdict()}
        made = self._client.use(lambda client: client.get_or_create_collection(name, **given), allowance)
        return Opened(made, self._client.epoch)

    def send(self, opened: Opened, page: VectorPage, sessions: Sessions, allowance: Allowance) -> None:
        """Add vectors, or put them in place of those that are there; sending the same twice is harmless."""
        ids: list[str] = []
        metadatas: list[dict[str, int]] = []
        for seq, parts in zip(page.seqs.tolist(), page.parts.tolist(), strict=True):
            ids += [str(seq), *(f"{seq}.{part}" for part in range(1, parts))]
            metadatas += [{"session": sessions.of(seq)}] * parts
        self._client.written()
        self._use(opened, lambda collection: collection.upsert(ids=ids, embeddings=page.matrix, metadatas=metadatas), allowance)

    def set_mark(self, opened: Opened, mark: Mark, allowance: Allowance) -> None:
        """Write down how far a collection came."""
        self._use(opened, lambda collection: collection.modify(metadata=mark._asdict()), allowance)

    def count(self, opened: Opened, allowance: Allowance) -> int:
        """Return how many vectors it holds."""
        return int(self._use(opened, lambda collection: collection.count(), allowance))

    def distances(self, opened: Opened, vectors: list[NDArray[np.float32]], allowance: Allowance) -> list[float]:
        """Return the cosine distance of each vector to the nearest that is found, 2 when none is. chromadb is at rest afterwards."""
        reply = self._query(opened, vectors, 1, None, allowance)
        self._client.rest()
        return [float(row[0]) if row else 2.0 for row in reply["distances"]]

    def nearest(self, opened: Opened, vector: NDArray[np.float32], most: int, session: str | None, allowance: Allowance) -> Nearest:
        """Return the events of the nearest vectors, of at most `most` and at most `k`; of one session only when it is named.

        All of a session that has fewer than `k` is compared, and not searched for: a graph of neighbours walks past a few that lie far from
        the question behind many others, now and then.
        """
        where = None if session is None else {"session": _number(session)}
        ids, similarities = self._whole(opened, vector, where, allowance) if where else ([], np.zeros(0, np.float32))
        if not where or len(ids) >= self._k:
            reply = self._query(opened, [vector], min(most, self._k), where, allowance)
            ids, similarities = reply["ids"][0], np.float32(1) - np.asarray(reply["distances"][0], np.float32)
        self._client.rest()
        seqs = np.asarray([int(id_.partition(".")[0]) for id_ in ids], np.int64)
        order = np.lexsort((-similarities, seqs))
        first = np.flatnonzero(np.diff(seqs[order], prepend=-1))
        return Nearest(seqs[order][first], similarities[order][first], len(ids))

    def _whole(
        self, opened: Opened, vector: NDArray[np.float32], where: dict[str, int], allowance: Allowance
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Return all that the condition holds for, up to `k`, with its similarity."""
        given = {"where": where, "limit": self._k, "include": ["embeddings"]}
        reply = self._use(opened, lambda collection: collection.get(**given), allowance)
        ids: list[str] = list(reply["ids"])
        matrix = np.asarray(reply["embeddings"], np.float32).reshape(len(ids), len(vector))
        return ids, np.asarray(np.einsum("ij,j->i", matrix, vector), np.float32)

    def _query(
        self, opened: Opened, vectors: list[NDArray[np.float32]], most: int, where: dict[str, int] | None, allowance: Allowance
    ) -> Any:
        given = {"query_embeddings": vectors, "n_results": most, "where": where, "include": ["distances"]}
        return self._use(opened, lambda collection: collection.query(**given), allowance)

    def _use(self, opened: Opened, work: Callable[[Any], Any], allowance: Allowance) -> Any:
        return self._client.use(lambda _: work(opened.collection), allowance, epoch=opened.epoch)

    def named(self, begin: str) -> list[str]:
        """Return the names of collections that begin so."""
        found: list[str] = []
        while True:
            page = self._names(len(found))
            found += page
            if len(page) < _PAGE:
                return [name for name in found if name.startswith(begin)]

    def _names(self, offset: int) -> list[str]:
        return self._client.use(lambda client: [one.name for one in client.list_collections(limit=_PAGE, offset=offset)])

    def delete(self, *names: str) -> None:
        """Delete collections, and from an embedded chromadb's files what they leave."""
        for name in names:
            self._delete(name)
        if names:
            self._client.sweep()

    def _delete(self, name: str) -> None:
        with suppress(Gone):
            self._client.use(lambda client: client.delete_collection(name))


def names_begin(space: str, scope: Scope) -> str:
    """Return how the names of all collections of an owner begin: a hash, whoever made the vectors."""
    return f"tierkeep-{_hash(space, *scope.partition)[:40]}-"


def name_of(space: str, scope: Scope, identity: str) -> str:
    """Return the name of the collection of an owner's vectors by one embedder."""
    return f"{names_begin(space, scope)}{_hash(identity)[:24]}"


def _hash(*names: str) -> str:
    return hashlib.sha256(json.dumps(names).encode("utf-8")).hexdigest()


def _number(session: str) -> int:
    """Return a session's name as a number of 63 bits: chromadb compares it, and nobody reads the name."""
    return int.from_bytes(hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1
