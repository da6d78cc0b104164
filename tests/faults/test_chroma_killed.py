"""A real Chroma server is killed in mid-write, again and again: the ledger has everything, words answer meanwhile, vectors come back.

Its data is there at the restart, torn, or gone. What is found in the end is compared with a memory that nothing happened to.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tierkeep import Memory, Message
from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.ledger.chroma import ChromaVectors
from tierkeep.models.doubles import HashEmbedder
from tierkeep.protocols import Near
from tierkeep.records import Evidence
from tierkeep.retrieve.vectors import ExactVectors

from .chroma_server import ChromaServer

pytest.importorskip("chromadb")
_AWAY = "the vector index failed (StoreUnavailable): searched by words only"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    started = ChromaServer(tmp_path_factory.mktemp("chroma") / "data")
    yield started
    started.stop()


def opened(folder: Path, vectors: ChromaVectors | None) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(24), vectors=vectors)


def text_of(number: int) -> str:
    return f"Parcel {number} waits in hall {number * 7 % 91}, row {number * 13 % 17}."


def told(memory: Memory, *numbers: int) -> tuple[str, ...]:
    messages = [Message(text=text_of(number), id=f"p{number}", at="2026-05-02") for number in numbers]
    return memory.scope(user="ana").add(messages).ids


def files(server: ChromaServer, name: str) -> list[Path]:
    return [path for path in server.folder.rglob(name) if path.is_file()]


def an_unreadable_database(server: ChromaServer) -> None:
    """It does not start, and its operator removes its folder."""
    for path in files(server, "chroma.sqlite3"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AssertionError):
        server.start()
    shutil.rmtree(server.folder)


def without_its_index(server: ChromaServer) -> None:
    """Its count of vectors is in another file, and stays right."""
    for path in server.folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def half_of_its_vectors(server: ChromaServer) -> None:
    for path in files(server, "data_level0.bin"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Traffic:
    """Adds and recalls through one memory, on two threads, until it is told to end.

    Attributes:
        ids: What was acknowledged, in order.
        seen: Of every recall: its evidence, and whether the message that it asked for was in it.
        errors: What reached a caller.
    """

    def __init__(self, memory: Memory) -> None:
        self.ids: list[str] = []
        self.seen: list[tuple[Evidence, bool]] = []
        self.errors: list[BaseException] = []
        self._memory, self._over = memory, threading.Event()
        self._threads = [threading.Thread(target=self._until_over, args=(work,)) for work in (self._add, self._recall)]
        for thread in self._threads:
            thread.start()

    def _until_over(self, work: Callable[[], None]) -> None:
        while not self._over.wait(0.03):
            try:
                work()
            except BaseException as error:
                self.errors.append(error)
                raise

    def _add(self) -> None:
        self.ids.extend(told(self._memory, len(self.ids)))

    def _recall(self) -> None:
        if self.ids:
            asked = (len(self.seen) * 31) % len(self.ids)
            evidence = self._memory.scope(user="ana").recall(f"Where does parcel {asked} wait?", deadline_s=30)
            self.seen.append((evidence, text_of(asked) in evidence.text))

    def wait(self, more: int) -> None:
        """Wait until so many more recalls have been answered."""
        last, wanted = time.monotonic() + 30, len(self.seen) + more
        while len(self.seen) < wanted and not self.errors and time.monotonic() < last:
            time.sleep(0.005)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def near(memory: Memory, index: ChromaVectors | ExactVectors) -> Near:
    view = memory._ledger.view(memory.scope(user="ana").scope)
    return index.near(view, memory.describe()["embedder"], HashEmbedder(24).embed([text_of(3)])[0], Allowance(SystemClock()))


def check_against_an_undisturbed_one(memory: Memory, vectors: ChromaVectors, count: int, folder: Path) -> None:
    """Compare events, vectors found, and what questions recall."""
    with opened(folder, None) as oracle:
        told(oracle, *range(count))
        assert oracle.settle(60) and memory.settle(60)
        both = [list(one.scope(user="ana").events()) for one in (memory, oracle)]
        assert [(e.id, e.text, e.seq) for e in both[0]] == [(e.id, e.text, e.seq) for e in both[1]]
        found, expected = near(memory, vectors), near(oracle, ExactVectors(1 << 24))
        assert found.complete and len(set(found.seqs.tolist())) == count
        assert np.array_equal(found.seqs, expected.seqs) and np.allclose(found.similarities, expected.similarities, atol=1e-4)
        for number in range(0, count, max(1, count // 12)):
            question = f"Where does parcel {number} wait?"
            answers = [one.scope(user="ana").recall(question, budget=300, now="2026-05-03") for one in (memory, oracle)]
            assert [item.id for item in answers[0].items] == [item.id for item in answers[1].items] and answers[0].note == ""
    assert memory.verify().ok and memory.stats()["embedders"][0]["events"] == count


def test_killed_in_mid_write_and_back_with_its_data_a_torn_index_or_nothing(server: ChromaServer, tmp_path: Path) -> None:
    vectors = ChromaVectors(host="127.0.0.1", port=server.port, timeout_s=10)
    with opened(tmp_path / "memory", vectors) as memory:
        told(memory, *range(150))  # more than what it keeps out of its files
        assert memory.settle(60) and len(near(memory, vectors).seqs) == 150
        traffic = Traffic(memory)
        traffic.ids.extend(f"p{number}" for number in range(150))
        away: list[int] = []
        for harm in (lambda _: None, half_of_its_vectors, an_unreadable_database):
            traffic.wait(4)
            server.kill()
            before, stored = len(traffic.seen), len(traffic.ids)
            traffic.wait(6)
            away.append(len(traffic.ids) - stored)
            assert _AWAY in [evidence.note for evidence, _ in traffic.seen[before + 1 : before + 6]]
            harm(server)
            server.start()
        traffic.wait(4)
        traffic.end()
        assert not traffic.errors and all(there for _, there in traffic.seen)
        assert min(away) > 0, "writes go on while it is away"
        check_against_an_undisturbed_one(memory, vectors, len(traffic.ids), tmp_path / "oracle")


def test_a_process_that_goes_on_notices_that_the_index_was_lost(server: ChromaServer, tmp_path: Path) -> None:
    """The server counts right after its restart, and finds only what it had not written yet."""
    vectors = ChromaVectors(host="127.0.0.1", port=server.port, space="another")
    with opened(tmp_path / "memory", vectors) as memory:
        told(memory, *range(250))
        assert memory.settle(60) and len(near(memory, vectors).seqs) == 250
        server.kill()
        without_its_index(server)
        server.start()
        found = near(memory, vectors)
        assert found.complete and found.seqs.tolist() == list(range(1, 251))
