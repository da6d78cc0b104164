"""The embedded chromadb keeps the contract of vector indexes, and its folder survives what folders go through."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import tierkeep
from tierkeep.allowance import Allowance, Progress
from tierkeep.errors import MissingExtraError, SettingsError, StorageError, StoreUnavailable
from tierkeep.indexing import Indexing
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.chroma import ChromaVectors
from tierkeep.ledger.chroma_prefix import Prefix, cut, pieces
from tierkeep.models.doubles import HashEmbedder
from tierkeep.protocols import VectorPage
from tierkeep.retrieve.vectors import ExactVectors
from tierkeep.settings import EmbeddingSettings
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, BOB, draft
from tierkeep.testing.vector_index import VectorIndexContract, clustered, uniform

pytest.importorskip("chromadb")
ROOT = Path(tierkeep.__file__).resolve().parents[1]
MODEL = "model/1/24/unit"
NO_LIMIT = Allowance(FixedClock())


class TestEmbedded(VectorIndexContract):
    """A folder for each test."""

    crowd = 5_000

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path / "chroma"
        super().setup_method()
        yield
        super().teardown_method()

    def setup_method(self) -> None:
        """The folder comes from a fixture, which pytest runs after this."""

    def teardown_method(self) -> None:
        """What the fixture made, it also closes."""

    def make_index(self) -> ChromaVectors:
        return ChromaVectors(self.folder)

    def reopen(self) -> ChromaVectors:
        return ChromaVectors(self.folder)

    def names(self) -> list[str]:
        with sqlite3.connect(self.folder / "chroma.sqlite3") as connection:
            found = [row[0] for row in connection.execute("SELECT name FROM collections")]
        connection.close()
        return found

    def bytes_of(self, *files: str) -> bytes:
        """Return everything that stands in the folder's files, or in those with these names."""
        held = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and (not files or path.name in files)]
        return b"".join(path.read_bytes() for path in held)

    def lose(self) -> None:
        self.index._client.use(lambda client: [client.delete_collection(one.name) for one in client.list_collections()])

    def test_it_holds_neither_texts_nor_names(self) -> None:
        self._add(uniform(1_200), session="the-secret-session")
        self._near(uniform(1)[0])
        (name,) = self.names()
        assert name.startswith("tierkeep-")
        everything = self.bytes_of()
        for word in (b"message 0", b"the-secret-session", MODEL.encode(), b'"ana"'):
            assert word not in everything
        assert not any(set(name.split("-")[1:]) & {"ana"} for name in self.names())

    def test_no_vector_of_a_forgotten_scope_stays_in_the_files(self) -> None:
        """chromadb's own deletion leaves them in the files of the index, and in free pages of the database; ours does not."""
        mine, others = uniform(1_300, seed=5), uniform(30, seed=6)
        self._add(mine)
        self._add(mine[:200], identity="another model")
        self._add(others, scope=BOB)
        for identity, scope in ((MODEL, ANA), ("another model", ANA), (MODEL, BOB)):
            self._near(mine[0], scope, identity)
        assert len(self.names()) == 3
        left = [vector[:5].tobytes() in self.bytes_of() for vector in mine]
        assert sum(left) > 100, "vectors stand in the files as they are, or this test could not fail"

        self.index.forget(ANA)
        assert not any(vector[at : at + 3].tobytes() in self.bytes_of() for vector in mine for at in (0, 10))
        assert len(self.names()) == 1 and len([path for path in self.folder.iterdir() if path.is_dir()]) == 1
        assert len(self._check(others[0], scope=BOB).seqs) == 30
        assert len(self._check(mine[0]).seqs) > 1

    def test_a_deletion_by_chromadb_alone_does_leave_them(self) -> None:
        """Why the folder is swept. When this fails, chromadb has learned to do it."""
        mine = uniform(1_300, seed=5)
        self._add(mine)
        self._near(mine[0])
        self.lose()
        self.index.close()
        assert any(path.is_dir() for path in self.folder.iterdir())
        assert any(vector[:5].tobytes() in self.bytes_of("chroma.sqlite3", "data_level0.bin") for vector in mine)

    def test_room_for_growth_in_its_files_is_empty(self) -> None:
        """chromadb fills it with whatever the process had in its memory, which may be texts."""
        for count in (30, 1_400):
            self._add(uniform(count, seed=count))
            self._near(uniform(1)[0])
            (index,) = [path for path in self.folder.iterdir() if path.is_dir()]
            capacity, used, size = struct.unpack_from("<12xQQQ", (index / "header.bin").read_bytes())
            data = (index / "data_level0.bin").read_bytes()
            assert used * size <= len(data) <= capacity * size and not any(data[used * size :])
            assert any(data) == bool(used)
        assert used >= 1_000

    def test_forgetting_before_anything_was_stored_makes_nothing(self) -> None:
        self.index.forget(ANA)
        assert not self.folder.exists()

    @pytest.mark.parametrize("victim", ["data_level0.bin", "link_lists.bin", "header.bin", "length.bin", "index_metadata.pickle", ""])
    @pytest.mark.parametrize("damage", ["garbage", "cut", "missing"])
    def test_damaged_files_are_made_again(self, victim: str, damage: str) -> None:
        """chromadb itself would give wrong results, raise, or end the process with a segmentation fault."""
        self._add(clustered(1_100))
        self._near(uniform(1)[0])
        self.index.close()
        (index,) = [path for path in self.folder.iterdir() if path.is_dir()]
        file = index / victim if victim else self.folder / "chroma.sqlite3"
        held = file.read_bytes()
        if damage == "missing":
            file.unlink()
        elif damage == "cut":
            file.write_bytes(held[: len(held) // 2])
        else:
            file.write_bytes(held[: len(held) // 4] + np.random.default_rng(1).bytes(len(held) // 2) + held[3 * len(held) // 4 :])
        self.index = self.reopen()
        near = self._check(clustered(1, seed=9)[0])
        assert near.complete and len(near.seqs) > 1_000

    def test_an_index_folder_that_is_gone_is_made_again(self) -> None:
        """The worst that chromadb says nothing about: the count is right and the vectors are not found."""
        self._add(uniform(300))
        self._near(uniform(1)[0])
        self.index.close()
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        self.index = self.reopen()
        assert len(self._check(uniform(1)[0]).seqs) == 300

    def test_vectors_that_were_deleted_behind_its_back_come_back(self) -> None:
        seqs = self._add(uniform(50))
        self._near(uniform(1)[0])
        (name,) = self.names()
        self.index._client.use(lambda client: client.get_collection(name, embedding_function=None).delete(ids=[str(seqs[7])]))
        assert seqs[7] in self._check(uniform(8)[7]).seqs

    @pytest.mark.parametrize("metadata", [{"seq": 9, "vectors": 9, "digest": "0"}, {"other": 1}, None])
    def test_a_collection_that_is_not_ours_is_made_again(self, metadata: dict[str, object] | None) -> None:
        """Another dimension, another space, a mark that does not fit, or none."""
        seqs = self._add(uniform(50))
        self._near(uniform(1)[0])
        (name,) = self.names()

        def replace(client: object) -> None:
            client.delete_collection(name)
            made = client.create_collection(name, embedding_function=None, metadata=metadata)
            made.add(ids=[str(number) for number in range(9)], embeddings=uniform(9, dimension=7))

        self.index._client.use(replace)
        near = self._check(uniform(3)[2])
        assert near.seqs.tolist() == seqs

    def test_a_backup_from_before_a_forget_is_not_trusted(self) -> None:
        vectors = uniform(40)
        seqs = self._add(vectors)
        self._near(vectors[0])
        self.index.close()
        shutil.copytree(self.folder, self.folder.with_name("backup"))
        self.index = self.reopen()
        self.ledger.forget(ANA, [self.ledger.view(ANA).events_at([seqs[3]])[0].id])
        self.index.forget(ANA)
        self._check(vectors[3])
        self.index.close()
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name("backup"), self.folder)
        self.index = self.reopen()
        assert seqs[3] not in self._check(vectors[3]).seqs

    def test_spaces_are_apart(self) -> None:
        self._add(uniform(20))
        self._check(uniform(1)[0])
        self.index.close()
        self.index = ChromaVectors(self.folder, space="another memory")
        self._check(uniform(1)[0])
        assert len(self.names()) == 2

    def test_more_vectors_than_it_returns(self) -> None:
        """The best are there, and the spread is that of all."""
        self._add(clustered(1_500))
        for question in clustered(5, seed=3):
            near = self._check(question)
            assert near.complete and near.spread is not None and len(near.seqs) == 1_024

    def test_a_levelling_tells_how_far_it_is_and_can_be_broken_off(self) -> None:
        self._add(uniform(900))
        told: list[Progress] = []
        view = self.ledger.view(ANA)
        assert not self.index.level(view, MODEL, Allowance(FixedClock(step=1), seconds=8, listener=told.append))
        first = told[-1].done
        assert 0 < first < 900
        assert self.index.level(view, MODEL, Allowance(FixedClock(), listener=told.append))
        assert [progress.done for progress in told] == sorted(progress.done for progress in told) and told[-1].done == 900
        count = len(told)
        assert self.index.level(view, MODEL, Allowance(FixedClock(), listener=told.append)) and len(told) == count
        assert self.index.level(self.ledger.view(BOB), MODEL, NO_LIMIT)

    def test_memory_for_many_owners_is_bounded(self) -> None:
        self.index.close()
        self.index = ChromaVectors(self.folder, max_bytes=3 * 24 * 24 * 4)
        for number in range(6):
            owner = ANA.model_copy(update={"user": f"owner {number}"})
            self._add(uniform(3, seed=number), scope=owner)
            self._check(uniform(1)[0], scope=owner)
        assert len(self.index._slots) < 3
        self._check(uniform(1)[0], scope=ANA.model_copy(update={"user": "owner 0"}))

    def test_a_deadline_far_away_is_a_deadline(self) -> None:
        self._add(uniform(3))
        assert self._near(uniform(1)[0], allowance=Allowance(FixedClock(), seconds=1e12)).complete

    def test_a_closed_one_says_so(self) -> None:
        self._add(uniform(3))
        self.index.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            self._near(uniform(1)[0])

    def test_a_client_that_was_handed_over_stays_open(self) -> None:
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(path=str(self.folder), settings=Settings(anonymized_telemetry=False))
        self.index = ChromaVectors(client=client)
        self._add(uniform(20))
        assert len(self._check(uniform(1)[0]).seqs) == 20
        self.index.forget(ANA)
        assert client.list_collections() == []
        self._check(uniform(1)[0])
        self.index.close()
        assert client.count_collections() == 1
        client.close()

    @pytest.mark.parametrize("kind", [uniform, clustered])
    def test_it_finds_ninety_nine_of_a_hundred(self, kind: Callable[..., np.ndarray]) -> None:
        """Of the ten nearest, when many more are there than are returned."""
        self._add(kind(3_000, dimension=96))
        exact = ExactVectors(1 << 26)
        found = total = 0
        view = self.ledger.view(ANA)
        for question in kind(50, dimension=96, seed=2 if kind is uniform else 0):
            true = exact.near(view, MODEL, question, NO_LIMIT)
            best = true.seqs[np.argsort(-true.similarities, kind="stable")[:10]]
            near = self._near(question)
            found += len(set(best.tolist()) & set(near.seqs.tolist()))
            total += 10
        assert found >= 0.99 * total


# ------------------------------------------------------------------------------------------------ with the parts of a memory


def test_vectors_made_in_the_background_are_found(tmp_path: Path) -> None:
    """Through the worker that makes them, long texts in several parts, into chromadb and back."""
    embedder = HashEmbedder()
    with SqliteLedger(tmp_path / "store", clock=FixedClock()) as ledger:
        index = ChromaVectors(tmp_path / "chroma")
        indexing = Indexing(ledger, embedder, EmbeddingSettings(), FixedClock(), "background")
        long = "Nobody bought the tractor. " * 200 + "The violin is in the attic."
        texts = ["The kettle is blue.", "The old boat lies in the harbour.", long]
        with ledger.transaction(ANA) as tx:
            seqs = [appended.event.seq for appended in tx.append([draft(text) for text in texts])]
        indexing.notice(ANA)
        assert indexing.wait(60)
        for text, seq in (("Where is the boat?", seqs[1]), ("violin attic", seqs[2]), ("blue kettle", seqs[0])):
            near = index.near(ledger.view(ANA), embedder.identity, embedder.embed([text])[0], NO_LIMIT)
            assert near.seqs[np.argmax(near.similarities)] == seq and len(near.seqs) == 3 and near.spread is None
        with ledger.transaction(ANA) as tx:
            tx.append([draft("A yellow submarine.")])
        indexing.run(ANA)
        near = index.near(ledger.view(ANA), embedder.identity, embedder.embed(["submarine"])[0], NO_LIMIT)
        assert len(near.seqs) == 4 and near.seqs[np.argmax(near.similarities)] == near.seqs[-1]
        indexing.close()
        index.close()


def test_an_import_into_a_scope_that_is_there_is_found(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    with SqliteLedger(tmp_path / "a", clock=FixedClock()) as first, SqliteLedger(tmp_path / "b", clock=FixedClock()) as second:
        for ledger, text in ((first, "The kettle is blue."), (second, "The boat is red.")):
            with ledger.transaction(ANA) as tx:
                tx.append([draft(text, session=text)])
        index = ChromaVectors(tmp_path / "chroma")
        for _ in range(2):
            Indexing(second, embedder, EmbeddingSettings(), FixedClock(), "on_request").run(ANA)
            near = index.near(second.view(ANA), embedder.identity, embedder.embed(["blue kettle"])[0], NO_LIMIT)
            second.restore(ANA, list(first.export(ANA)))
        assert len(near.seqs) == 2 and near.similarities.max() > 0.5
        index.close()


# ------------------------------------------------------------------------------------------------ one folder, one process


def one_vector(folder: Path) -> tuple[SqliteLedger, ChromaVectors]:
    ledger = SqliteLedger(folder / "store", clock=FixedClock())
    with ledger.transaction(ANA) as tx:
        seq = tx.append([draft("one")])[0].event.seq
        tx.put_vectors(MODEL, 24, [(seq, uniform(1))], seq)
    return ledger, ChromaVectors(folder / "chroma")


def ask(ledger: SqliteLedger, index: ChromaVectors) -> int:
    return len(index.near(ledger.view(ANA), MODEL, uniform(1)[0], NO_LIMIT).seqs)


def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """In this process or in another: chromadb would lose vectors without a word."""
    ledger, index = one_vector(tmp_path)
    assert ask(ledger, index) == 1
    second = ChromaVectors(tmp_path / "chroma")
    with pytest.raises(StoreUnavailable, match="chroma run"):
        ask(ledger, second)
    program = (
        "import sys; from tierkeep.ledger.chroma_folder import Folder; from pathlib import Path\n"
        "from tierkeep.errors import StoreUnavailable\n"
        "try: Folder(Path(sys.argv[1])).take()\n"
        "except StoreUnavailable: sys.exit(7)\n"
    )

    def other() -> int:
        return subprocess.run([sys.executable, "-c", program, tmp_path / "chroma"], env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode

    assert other() == 7
    index.close()
    assert other() == 0
    assert ask(ledger, second) == 1
    second.close()
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_a_client_of_its_own(tmp_path: Path) -> None:
    """The parent's threads do not follow: with its client a child would hang. Only one of both has the folder."""
    ledger, index = one_vector(tmp_path)
    assert ask(ledger, index) == 1
    to_parent, to_child = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(to_parent[1], bytes([ask(ledger, index)]))
            os.read(to_child[0], 1)
            index.close()
        finally:
            os._exit(0)
    assert os.read(to_parent[0], 1) == b"\x01"
    with pytest.raises(StoreUnavailable, match="in use"):
        ask(ledger, index)
    os.write(to_child[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(ledger, index) == 1
    idle = os.fork()
    if idle == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(idle, 0)[1]) == 0
    assert ask(ledger, index) == 1
    index.close()
    ledger.close()
    for end in (*to_parent, *to_child):
        os.close(end)


_KILLED = """
import sys
from tierkeep.allowance import Allowance
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.chroma import ChromaVectors
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.ledger_under_test import ANA, draft
from tierkeep.testing.vector_index import uniform

ledger = SqliteLedger(sys.argv[1] + "/store", clock=FixedClock())
index = ChromaVectors(sys.argv[1] + "/chroma")
vectors = uniform(4_000)
for at in range(0, 4_000, 500):
    with ledger.transaction(ANA) as tx:
        seqs = [one.event.seq for one in tx.append([draft(f"text {at} {number}") for number in range(500)])]
        tx.put_vectors("model/1/24/unit", 24, [(seq, vectors[at + n : at + n + 1]) for n, seq in enumerate(seqs)], seqs[-1])
    index.level(ledger.view(ANA), "model/1/24/unit", Allowance(FixedClock()))
    print(seqs[-1], flush=True)
print("at rest", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("after", [1, 3])
def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path, after: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    for _ in range(after):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    ledger = SqliteLedger(tmp_path / "store", clock=FixedClock())
    index, view = ChromaVectors(tmp_path / "chroma"), ledger.view(ANA)
    exact = ExactVectors(1 << 26)
    for question in uniform(5, seed=7):
        near, true = index.near(view, MODEL, question, NO_LIMIT), exact.near(view, MODEL, question, NO_LIMIT)
        assert near.complete and set(true.seqs[np.argsort(-true.similarities)[:10]].tolist()) <= set(near.seqs.tolist())
    index.close()
    ledger.close()


def test_a_kill_at_rest_costs_nothing(tmp_path: Path) -> None:
    """As every deployment ends a server: the index is used as it is. So it is after it was closed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in (b"at rest\n", b""):
            pass
        process.kill()
    with SqliteLedger(tmp_path / "store", clock=FixedClock()) as ledger:
        for _ in range(2):
            told: list[Progress] = []
            with closing(ChromaVectors(tmp_path / "chroma")) as index:
                assert index.level(ledger.view(ANA), MODEL, Allowance(FixedClock(), listener=told.append)) and told == []
                near = index.near(ledger.view(ANA), MODEL, uniform(4_000)[3_999], NO_LIMIT)
                assert near.similarities.max() > 0.999 and len(near.seqs) == 1_024


def test_a_chromadb_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(path=str(tmp_path / "chroma"), settings=Settings(anonymized_telemetry=False))
    client.create_collection("theirs", embedding_function=None).add(ids=["1"], embeddings=uniform(1))
    client.close()
    ledger, index = one_vector(tmp_path)
    with pytest.raises(StoreUnavailable, match="folder of their own"):
        ask(ledger, index)
    client = chromadb.PersistentClient(path=str(tmp_path / "chroma"), settings=Settings(anonymized_telemetry=False))
    assert client.get_collection("theirs", embedding_function=None).count() == 1
    client.close()
    ledger.close()


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "chroma").write_text("a file")
    ledger, index = one_vector(tmp_path)
    with pytest.raises(StorageError, match="chroma"):
        ask(ledger, index)
    ledger.close()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"path": "a", "host": "b"},
        {"host": "http://b"},
        {"path": "a", "k": 0},
        {"host": "b", "timeout_s": 0},
        {"path": "a", "max_bytes": -1},
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        ChromaVectors(**given)


def test_without_chromadb_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(MissingExtraError, match=r"tierkeep\[chroma\]"):
        ChromaVectors(tmp_path)


# ------------------------------------------------------------------------------------------------ what is known without the vectors


def page(vectors: np.ndarray, parts: list[int], first: int = 1) -> VectorPage:
    return VectorPage(np.arange(first, first + len(parts), dtype=np.int64), np.asarray(parts, np.int64), vectors)


def test_marks_do_not_depend_on_how_pages_are_cut() -> None:
    vectors = uniform(40)
    whole = page(vectors, [1, 3, 2, 1, 5, 1, 1, 10, 1, 15])
    marks = []
    for most in (1, 4, 7, 100):
        prefix = Prefix()
        cuts = list(pieces(iter([whole]), most))
        assert all(len(cut_.matrix) <= most or len(cut_.seqs) == 1 for cut_ in cuts)
        assert np.array_equal(np.concatenate([cut_.matrix for cut_ in cuts]), vectors)
        for cut_ in cuts:
            prefix.extend(cut_)
        marks.append(prefix.mark())
        mean, deviation = prefix.spread(vectors[3])
        assert np.isclose(mean, (vectors @ vectors[3]).mean(), atol=1e-5) and np.isclose(deviation, (vectors @ vectors[3]).std(), atol=1e-5)
    assert len(set(marks)) == 1 and marks[0].vectors == 40 and marks[0].seq == 10


def test_marks_tell_vectors_places_and_parts_apart() -> None:
    vectors = uniform(6)
    pages = [page(vectors, [1] * 6), page(vectors, [2, 4]), page(vectors, [4, 2]), page(vectors, [1] * 6, first=2), page(-vectors, [1] * 6)]
    marks = set()
    for one in pages:
        prefix = Prefix()
        prefix.extend(one)
        marks.add(prefix.mark())
    assert len(marks) == len(pages)


@pytest.mark.parametrize("seq", [0, 1, 2, 3, 9])
def test_a_page_is_cut_between_events(seq: int) -> None:
    before, after = cut(page(uniform(6), [1, 3, 2]), seq)
    assert (before.seqs <= seq).all() and (after.seqs > seq).all()
    assert len(before.matrix) == before.parts.sum() and len(after.matrix) == after.parts.sum() and len(before.seqs) + len(after.seqs) == 3
