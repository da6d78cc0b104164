"""A real Chroma server, started by the tests with `chroma run`, keeps the contract; what servers do wrong ends in typed errors."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

import tierkeep
from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.errors import StorageError, StoreUnavailable
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.chroma import ChromaVectors
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, BOB, draft
from tierkeep.testing.vector_index import VectorIndexContract, uniform

from ..faults.chroma_server import ChromaServer

pytest.importorskip("chromadb")
MODEL = "model/1/24/unit"
ROOT = Path(tierkeep.__file__).resolve().parents[1]
NO_LIMIT = Allowance(FixedClock())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    started = ChromaServer(tmp_path_factory.mktemp("server") / "data")
    yield started
    started.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ChromaServer]:
    started = ChromaServer(tmp_path / "data")
    yield started
    started.stop()


class TestServer(VectorIndexContract):
    """A space of its own for each test, on one server."""

    @pytest.fixture(autouse=True)
    def _space(self, server: ChromaServer) -> Iterator[None]:
        self.server, self.space = server, uuid4().hex
        super().setup_method()
        yield
        super().teardown_method()

    def setup_method(self) -> None:
        """The server comes from a fixture, which pytest runs after this."""

    def teardown_method(self) -> None:
        """What the fixture made, it also closes."""

    def make_index(self) -> ChromaVectors:
        return self.reopen()

    def reopen(self) -> ChromaVectors:
        return ChromaVectors(host="127.0.0.1", port=self.server.port, space=self.space)

    def lose(self) -> None:
        self.index._client.use(lambda client: [client.delete_collection(one.name) for one in client.list_collections()])

    def test_two_at_once_on_one_collection(self) -> None:
        """As two processes would: each levels what the other has begun; nothing is lost and nothing is twice there."""
        vectors = uniform(1_500)
        self._add(vectors[:700])
        with closing(self.reopen()) as other:
            failures: list[BaseException] = []

            def ask(index: ChromaVectors) -> None:
                try:
                    for at in (3, 500, 800):
                        near = index.near(self.ledger.view(ANA), MODEL, vectors[at], NO_LIMIT)
                        assert near.complete and len(near.seqs) >= 700
                except BaseException as error:
                    failures.append(error)
                    raise

            threads = [threading.Thread(target=ask, args=(index,)) for index in (self.index, other)]
            for thread in threads:
                thread.start()
            self._add(vectors[700:])
            for thread in threads:
                thread.join()
            assert not failures, failures
            near = other.near(self.ledger.view(ANA), MODEL, vectors[1_400], NO_LIMIT)
            assert near.complete and near.similarities.max() > 0.999
            self._check(vectors[1_400])
            counts = self.index._client.use(lambda client: {one.name: one.count() for one in client.list_collections()})
            assert 1_500 in counts.values()

    def test_what_another_process_forgot_is_not_found(self) -> None:
        vectors = uniform(30)
        seqs = self._add(vectors)
        self._check(vectors[3])
        with closing(self.reopen()) as other:
            other.near(self.ledger.view(ANA), MODEL, vectors[3], NO_LIMIT)
            self.ledger.forget(ANA, [self.ledger.view(ANA).events_at([seqs[3]])[0].id])
            self.index.forget(ANA)
            near = other.near(self.ledger.view(ANA), MODEL, vectors[3], NO_LIMIT)
            assert seqs[3] not in near.seqs and len(near.seqs) == 29
            self._check(vectors[3])

    def test_forgetting_deletes_every_collection_of_the_scope_and_no_other(self) -> None:
        vectors = uniform(30)
        self._add(vectors[:10])
        self._add(vectors[10:20], identity="another model")
        self._add(vectors[20:], scope=BOB)

        def names() -> set[str]:
            return self.index._client.use(lambda client: {one.name for one in client.list_collections()})

        before = names()
        for identity, scope in ((MODEL, ANA), ("another model", ANA), (MODEL, BOB)):
            self._near(vectors[0], scope, identity)
        assert len(names() - before) == 3
        self.index.forget(ANA)
        assert len(names() - before) == 1
        assert len(self._check(vectors[22], scope=BOB).seqs) == 10

    def test_two_ledgers_in_two_spaces(self) -> None:
        """The same owner in another memory."""
        self._add(uniform(20))
        self._check(uniform(1)[0])
        with SqliteLedger(":memory:", clock=FixedClock()) as other, closing(
            ChromaVectors(host="127.0.0.1", port=self.server.port, space="another")
        ) as index:
            with other.transaction(ANA) as tx:
                seq = tx.append([draft("one")])[0].event.seq
                tx.put_vectors(MODEL, 24, [(seq, uniform(1, seed=9))], seq)
            assert len(index.near(other.view(ANA), MODEL, uniform(1)[0], NO_LIMIT).seqs) == 1
            assert len(self._check(uniform(1)[0]).seqs) == 20


def store(folder: Path, count: int = 40) -> SqliteLedger:
    ledger = SqliteLedger(folder / "store", clock=FixedClock())
    with ledger.transaction(ANA) as tx:
        seqs = [one.event.seq for one in tx.append([draft(f"text {number}") for number in range(count)])]
        tx.put_vectors(MODEL, 24, [(seq, uniform(count)[n : n + 1]) for n, seq in enumerate(seqs)], seqs[-1])
    return ledger


def test_a_server_that_goes_and_comes_back(own_server: ChromaServer, tmp_path: Path) -> None:
    """Down: a typed error that says what to do. Back, with its data, without it, or with those of an older day: all is found."""
    ledger = store(tmp_path)
    index = ChromaVectors(host="127.0.0.1", port=own_server.port)
    view = ledger.view(ANA)

    def ask() -> int:
        near = index.near(view, MODEL, uniform(1)[0], NO_LIMIT)
        assert near.complete and near.similarities.max() > 0.999
        return len(near.seqs)

    assert ask() == 40
    own_server.stop()
    with pytest.raises(StoreUnavailable, match=f"chroma run.*{own_server.port}|{own_server.port}.*chroma run"):
        ask()
    with pytest.raises(StoreUnavailable):
        index.forget(ANA)
    own_server.start()
    assert ask() == 40

    own_server.stop()
    shutil.copytree(own_server.folder, tmp_path / "old")
    shutil.rmtree(own_server.folder)
    own_server.start()
    assert ask() == 40
    with ledger.transaction(ANA) as tx:
        seq = tx.append([draft("one more")])[0].event.seq
        tx.put_vectors(MODEL, 24, [(seq, uniform(1, seed=5))], seq)
    ledger.forget(ANA, [ledger.view(ANA).events_at([7])[0].id])
    index.forget(ANA)
    assert ask() == 40

    own_server.stop()
    shutil.rmtree(own_server.folder)
    shutil.copytree(tmp_path / "old", own_server.folder)
    own_server.start()
    assert ask() == 40
    index.close()
    ledger.close()


def test_a_server_whose_files_are_gone_does_not_pass_for_whole(own_server: ChromaServer, tmp_path: Path) -> None:
    """The count is right and nothing is found; a new process notices."""
    ledger = store(tmp_path, 200)
    for _ in range(2):
        with closing(ChromaVectors(host="127.0.0.1", port=own_server.port)) as index:
            near = index.near(ledger.view(ANA), MODEL, uniform(200)[150], NO_LIMIT)
            assert len(near.seqs) == 200 and near.similarities.max() > 0.999
        own_server.stop()
        for path in own_server.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        own_server.start()
    ledger.close()


def test_a_deadline_holds_against_a_server_that_is_silent(server: ChromaServer, tmp_path: Path) -> None:
    """Stopped in the middle of its work, as an overloaded one is: neither the first nor a later question waits for it."""
    ledger = store(tmp_path)
    clock = SystemClock()
    with closing(ChromaVectors(host="127.0.0.1", port=server.port, space="silent", timeout_s=2)) as index:
        view = ledger.view(ANA)
        assert index.near(view, MODEL, uniform(1)[0], NO_LIMIT).complete
        server.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            near = index.near(view, MODEL, uniform(1)[0], Allowance(clock, seconds=0.2))
            assert not near.complete and len(near.seqs) == 0
        with pytest.raises(StoreUnavailable, match="within 2 s"):
            index.near(view, MODEL, uniform(1)[0], NO_LIMIT)
        with closing(ChromaVectors(host="127.0.0.1", port=server.port, space="silent", timeout_s=1)) as fresh:
            assert not fresh.near(view, MODEL, uniform(1)[0], Allowance(clock, seconds=0.2)).complete
            with pytest.raises(StoreUnavailable, match="within 1 s"):
                fresh.near(view, MODEL, uniform(1)[0], NO_LIMIT)
        server.process.send_signal(signal.SIGCONT)
        assert len(index.near(view, MODEL, uniform(1)[0], Allowance(clock, seconds=60)).seqs) == 40
    ledger.close()


def test_something_else_that_answers_is_not_a_chroma_server(tmp_path: Path) -> None:
    """Such as an older version, or another web server."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    replies: dict[str, tuple[int, bytes]] = {}

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = replies["now"]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    ledger = store(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,))
        thread.start()
        for reply in ((404, b"no"), (410, b'{"error": "this API is gone"}'), (200, b"<html>"), (200, b"{}"), (403, b""), (500, b"{")):
            replies["now"] = reply
            index = ChromaVectors(host="127.0.0.1", port=other.server_port, headers={"x-chroma-token": "t"})
            with closing(index), pytest.raises(StoreUnavailable, match="version 1 or newer"):
                index.near(ledger.view(ANA), MODEL, uniform(1)[0], NO_LIMIT)
        other.shutdown()
        thread.join()
    ledger.close()


def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    ledger = store(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with closing(ChromaVectors(host="127.0.0.1", port=port)) as index, pytest.raises(StorageError, match=str(port)):
        index.near(ledger.view(ANA), MODEL, uniform(1)[0], NO_LIMIT)
    ledger.close()


_OTHER_PROCESS = """
import sys
from tierkeep.allowance import Allowance
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.chroma import ChromaVectors
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, draft
from tierkeep.testing.vector_index import uniform

ledger = SqliteLedger(sys.argv[1] + "/store", clock=FixedClock())
index = ChromaVectors(host="127.0.0.1", port=int(sys.argv[2]), space="processes")
name = int(sys.argv[3])
for turn in range(20):
    with ledger.transaction(ANA) as tx:
        seqs = [one.event.seq for one in tx.append([draft(f"process {name} turn {turn} text {n}") for n in range(10)])]
        vectors = uniform(10, seed=1_000 * name + turn)
        tx.put_vectors("model/1/24/unit", 24, [(seq, vectors[n : n + 1]) for n, seq in enumerate(seqs)], seqs[-1])
    near = index.near(ledger.view(ANA), "model/1/24/unit", vectors[0], Allowance(FixedClock()))
    if not near.complete or near.similarities.max() < 0.999:
        sys.exit(3)
index.close()
"""


def test_processes_share_a_server(server: ChromaServer, tmp_path: Path) -> None:
    """Each finds at once what it has just stored, and in the end everything is there once."""
    ledger = store(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", _OTHER_PROCESS, str(tmp_path), str(server.port)]
    processes = [subprocess.Popen([*arguments, str(name)], env=environment) for name in (1, 2)]
    assert [process.wait(200) for process in processes] == [0, 0]
    with closing(ChromaVectors(host="127.0.0.1", port=server.port, space="processes")) as index:
        near = index.near(ledger.view(ANA), MODEL, uniform(1)[0], NO_LIMIT)
        assert near.complete and len(near.seqs) == 440 and near.spread is None
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_connection_of_its_own(server: ChromaServer, tmp_path: Path) -> None:
    ledger = store(tmp_path)
    index = ChromaVectors(host="127.0.0.1", port=server.port, space="forked")
    clock = SystemClock()

    def ask() -> int:
        return len(index.near(ledger.view(ANA), MODEL, uniform(1)[0], Allowance(clock, seconds=60)).seqs)

    assert ask() == 40
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if ask() == 40 else 2
            index.close()
        finally:
            os._exit(code)
    assert ask() == 40
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask() == 40
    index.close()
    ledger.close()
