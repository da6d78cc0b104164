"""Cross-encoders by the real loading code: a tiny one that is trained here, and an exported graph that is written here."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tierkeep
from tierkeep import Memory, Settings
from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.errors import ModelError, SettingsError
from tierkeep.models.cross_encoder import CrossEncoderReranker
from tierkeep.models.onnx_cross_encoder import OnnxCrossEncoder
from tierkeep.models.pair_scoring import score_in_batches
from tierkeep.presets import Parts, Preset, auto
from tierkeep.protocols import Reranker
from tierkeep.retrieve.rerank import Reranking
from tierkeep.settings import RerankSettings
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.reranker import RerankerContract
from tierkeep.tiers.reranked import RerankedTier

WORDS = (
    "boat harbour ferry island garden violin dentist tractor kettle bicycle train ticket summer winter doctor letter market bridge river "
    "mountain coffee lemon window carpet engine pencil camera rabbit button saddle basket hammer mirror pillow rocket teapot wallet zipper"
).split()
QUESTION = "kettle violin bridge"
TEXTS = ["boat harbour ferry island", "kettle garden summer bridge", "violin bridge kettle market", "winter kettle doctor lemon"]
BY_OVERLAP = [2, 1, 3, 0]


def forever() -> Allowance:
    return Allowance(SystemClock())


def write_vocabulary(folder: Path) -> int:
    """Write a WordPiece vocabulary and its tokenizer file; return how many pieces it has."""
    from tokenizers.implementations import BertWordPieceTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    BertWordPieceTokenizer(str(folder / "vocab.txt")).save(str(folder / "tokenizer.json"))
    return len(pieces)


def example(draw: random.Random) -> tuple[str, str, float]:
    """Return a question, a text, and the share of the question's words that the text has."""
    asked = draw.sample(WORDS, 3)
    shared = draw.randrange(4)
    text = draw.sample(asked, shared) + draw.sample([word for word in WORDS if word not in asked], draw.choice([4, 6]) - shared)
    draw.shuffle(text)
    return " ".join(asked), " ".join(text), shared / 3


def train(folder: Path) -> None:
    """Save a BERT of two layers that has learnt, in a few seconds, to tell how many words two texts share."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(0)
    draw = random.Random(0)
    width, pieces = 32, write_vocabulary(folder)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=pieces, hidden_size=width, num_hidden_layers=2, num_attention_heads=1, intermediate_size=64,
            max_position_embeddings=128, num_labels=1, initializer_range=0.1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip
    with torch.no_grad():  # begin near the solution: the first layer looks for the same word, the second takes the mean
        base, same = model.bert, torch.eye(width)
        same[-1, -1] = 0
        base.embeddings.position_embeddings.weight.zero_()
        base.embeddings.word_embeddings.weight.normal_()[:, -1] = 0
        base.embeddings.token_type_embeddings.weight.zero_()[:, -1] = torch.tensor([-4.0, 4.0])
        first, second = (layer.attention for layer in base.encoder.layer)
        first.self.query.weight.copy_(same)
        first.self.key.weight.copy_(2 * same)
        second.self.query.weight.zero_()
        for attention in (first, second):
            attention.self.value.weight.copy_(torch.eye(width))
            attention.output.dense.weight.copy_(torch.eye(width))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        questions, texts, shares = zip(*(example(draw) for _ in range(64)), strict=True)
        inputs = tokenizer(list(questions), list(texts), return_tensors="pt", padding=True)
        loss = ((model(**inputs).logits[:, 0] - torch.tensor(shares)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_graph(folder: Path, *, inputs: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids"), outputs: int = 1) -> None:
    """Write an ONNX graph that counts the pieces which question and text share."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    pieces = write_vocabulary(folder)
    which = np.eye(pieces, dtype=np.float32)
    which[:5] = 0  # what is special counts for nothing
    constants = {
        "which": which, "one": np.array(1, np.float32), "last": np.array([2]), "tokens": np.array([1]),
        "wide": np.ones((1, outputs), np.float32),
    }  # fmt: skip
    nodes = [
        ("Gather", ["which", inputs[0]], "x"), ("Unsqueeze", ["token_type_ids", "last"], "types"), ("Mul", ["x", "side"], "text"),
        ("Sub", ["one", "side"], "other"), ("Mul", ["x", "other"], "asked"), ("ReduceMax", ["text", "tokens"], "in_text"),
        ("ReduceMax", ["asked", "tokens"], "in_question"), ("Mul", ["in_text", "in_question"], "both"),
        ("ReduceSum", ["both", "last"], "shared"), ("ReduceSum", ["shared", "tokens"], "flat"), ("Mul", ["flat", "wide"], "logits"),
    ]  # fmt: skip
    made = [
        helper.make_node(kind, ins, [out], **({"keepdims": 1 - (out == "flat")} if kind.startswith("Reduce") else {}))
        for kind, ins, out in nodes
    ]
    made.insert(2, helper.make_node("Cast", ["types"], ["side"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        made, "overlap", [helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "tokens"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pairs", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(folder / "model.onnx"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cross-encoder that ranks by shared words."""
    import torch

    folder = tmp_path_factory.mktemp("models") / "overlap"
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is slower on several
    try:
        train(folder)
    finally:
        torch.set_num_threads(before)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs") / "overlap"
    write_graph(folder)
    return folder


@pytest.fixture(params=["torch", "onnx"])
def make(request: pytest.FixtureRequest) -> Callable[..., Reranker]:
    """A function that loads the tiny cross-encoder, by either backend."""
    if request.param == "torch":
        folder = request.getfixturevalue("trained")
        return lambda **more: CrossEncoderReranker(folder, **{"device": "cpu", "max_length": 64, **more})
    folder = request.getfixturevalue("exported")
    return lambda **more: OnnxCrossEncoder(folder, **{"max_length": 64, **more})


class TestTrained(RerankerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, trained: Path) -> None:
        self.reranker = CrossEncoderReranker(trained, device="cpu", max_length=64)

    def make_reranker(self) -> Reranker:
        return self.reranker


class TestExported(RerankerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, exported: Path) -> None:
        self.reranker = OnnxCrossEncoder(exported, max_length=64)

    def make_reranker(self) -> Reranker:
        return self.reranker


def test_it_ranks(make: Callable[..., Reranker]) -> None:
    scores = make().rerank(QUESTION, TEXTS, forever())
    assert np.argsort(-scores).tolist() == BY_OVERLAP


def test_it_learnt_to_rank_pairs_that_it_never_saw(trained: Path) -> None:
    draw = random.Random(1)
    reranker = CrossEncoderReranker(trained, device="cpu", max_length=64)
    right = 0
    for _ in range(20):
        asked = draw.sample(WORDS, 3)
        others = [word for word in WORDS if word not in asked]
        scores = reranker.rerank(" ".join(asked), [" ".join([*asked[:n], *draw.sample(others, 5 - n)]) for n in (3, 0)], forever())
        right += bool(scores[0] > scores[1])
    assert right == 20


def test_batches_do_not_change_the_scores_nor_their_order(make: Callable[..., Reranker]) -> None:
    draw = random.Random(2)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(23)]
    one, many = (make(batch_size=size).rerank(QUESTION, texts, forever()) for size in (64, 3))
    assert one == pytest.approx(many, abs=1e-4)
    assert make().rerank(QUESTION, texts[::-1], forever()) == pytest.approx(one[::-1], abs=1e-4)


def test_a_long_text_is_cut_and_not_refused(make: Callable[..., Reranker]) -> None:
    assert np.isfinite(make().rerank(QUESTION, ["kettle " * 10_000, "x"], forever())).all()


def test_threads_share_one(make: Callable[..., Reranker]) -> None:
    reranker, found = make(batch_size=2), {}
    expected = make().rerank(QUESTION, TEXTS, forever())

    def work(number: int) -> None:
        found[number] = reranker.rerank(QUESTION, TEXTS, forever())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and all(scores == pytest.approx(expected, abs=1e-4) for scores in found.values())


def test_it_brings_the_right_memory_to_the_front(trained: Path, tmp_path: Path) -> None:
    """The whole way: stored, searched, re-ranked, blended, packed."""
    reranker = CrossEncoderReranker(trained, device="cpu", max_length=64)

    def reranked(parts: Parts) -> Preset:
        built = auto(parts)
        reranking = Reranking(reranker, parts.settings.rerank, shown=lambda hit: hit.item.text)
        tiers = {**built.read.tiers, "targeted": RerankedTier(built.read.tiers["targeted"], reranking, parts.guard.release)}
        return Preset("re-ranked", built.write, replace(built.read, tiers=tiers))

    best = {}
    common = [f"{word} {other}" for word in ("kettle", "bridge") for other in WORDS[:20]]
    for name, preset in (("plain", auto), ("re-ranked", reranked)):
        settings = Settings(rerank=RerankSettings(weight=0.8))
        with Memory.open(tmp_path / name, preset=preset, clock=FixedClock(), settings=settings) as memory:
            ana = memory.scope(user="ana")
            for text in (*common, "rocket", "kettle bridge lemon pencil"):
                ana.add(text, at="2026-03-09", speaker="Ana", session=text)
            evidence = ana.recall("kettle bridge rocket")
            best[name] = max(evidence.items, key=lambda item: item.score).text
    assert best == {"plain": "rocket", "re-ranked": "kettle bridge lemon pencil"}


# ------------------------------------------------------------------------------------------------------------- deadlines


def test_no_time_left_is_an_error_before_any_work(make: Callable[..., Reranker]) -> None:
    with pytest.raises(ModelError, match=r"0 were done|until the deadline"):
        make().rerank(QUESTION, TEXTS, Allowance(FixedClock(), seconds=0))


def test_what_cannot_be_finished_in_time_is_given_up_early() -> None:
    clock = FixedClock()
    batches: list[int] = []

    def slow(texts: list[str]) -> Any:
        clock.advance(1.0)
        batches.append(len(texts))
        return np.zeros(len(texts))

    with pytest.raises(ModelError, match="cannot score 100 texts in the time that is left: 10 were done"):
        score_in_batches(["x"] * 100, slow, Allowance(clock, seconds=15), batch_size=10, name="slow")
    assert batches == [10]  # ten seconds are needed, and half of fifteen may be taken
    assert score_in_batches(["x"] * 100, slow, Allowance(clock, seconds=25), batch_size=10, name="slow").shape == (100,)


def test_the_longest_come_first_so_that_the_estimate_is_no_hope() -> None:
    seen: list[list[str]] = []

    def score(texts: list[str]) -> Any:
        seen.append(texts)
        return np.array([len(text) for text in texts])

    assert score_in_batches(["a", "aaa", "", "aa"], score, forever(), batch_size=2, name="x").tolist() == [1, 3, 0, 2]
    assert seen == [["aaa", "aa"], ["a", ""]]


def test_a_model_that_another_thread_holds_is_waited_for_until_the_deadline(trained: Path) -> None:
    reranker = CrossEncoderReranker(trained, device="cpu")
    with reranker._held(forever()), pytest.raises(ModelError, match="busy with other questions"):
        reranker.rerank(QUESTION, TEXTS, Allowance(SystemClock(), seconds=0.05))
    assert reranker.rerank(QUESTION, TEXTS, forever()).shape == (4,)


# --------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("give", "match"),
    [
        (lambda texts: np.zeros((len(texts), 2)), "shape"),
        (lambda texts: np.zeros(len(texts) + 1), "shape"),
        (lambda texts: np.full(len(texts), np.nan), "finite"),
        (lambda texts: np.full(len(texts), np.inf), "finite"),
    ],
)
def test_scores_that_cannot_be_used_are_an_error(give: Callable[[list[str]], Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        score_in_batches(TEXTS, give, forever(), batch_size=8, name="odd")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def holding(name: str, data: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        without("model.safetensors"),
        without("config.json"),
        holding("model.safetensors", b"junk"),
        holding("config.json", b"{"),
        holding("tokenizer.json", b"{}"),
    ],
)
def test_a_damaged_folder_is_an_error_that_names_the_model(trained: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(trained, folder)
    damage(folder)
    reranker = CrossEncoderReranker(folder, device="cpu")
    with pytest.raises(ModelError, match="cross-encoder/broken cannot be loaded"):
        reranker.rerank(QUESTION, TEXTS, forever())
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    assert reranker.rerank(QUESTION, TEXTS, forever()).shape == (4,)  # mended, it works without a restart


def test_a_classifier_with_several_classes_is_no_reranker(trained: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path / "classes"
    shutil.copytree(trained, folder)
    own = json.loads((trained / "config.json").read_text())
    sizes = {key: own[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    config = BertConfig(**sizes, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(folder)
    with pytest.raises(ModelError, match="one score a text"):
        CrossEncoderReranker(folder, device="cpu").rerank(QUESTION, TEXTS, forever())


def test_a_device_that_is_not_here_is_an_error(trained: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        CrossEncoderReranker(trained, device="abacus").rerank(QUESTION, TEXTS, forever())


def test_a_name_that_is_not_on_this_machine_is_not_fetched() -> None:
    with pytest.raises(ModelError, match="download=True"):
        CrossEncoderReranker("nobody/has-this-cross-encoder").rerank(QUESTION, TEXTS, forever())


def test_a_loaded_model_may_be_given(trained: Path) -> None:
    from sentence_transformers import CrossEncoder

    given = CrossEncoderReranker(CrossEncoder(str(trained), device="cpu", max_length=64))
    assert np.argsort(-given.rerank(QUESTION, TEXTS, forever())).tolist() == BY_OVERLAP and given.name == "cross-encoder/given"


@pytest.mark.parametrize(
    ("model", "more", "match"),
    [
        (Path("no", "such", "folder"), {}, "there is no folder"),
        (3, {}, "must be a folder"),
        ("name", {"batch_size": 0}, "batch_size"),
        ("name", {"max_length": 1}, "max_length"),
    ],
)
def test_what_cannot_be_a_model_is_refused_at_once(model: Any, more: dict[str, Any], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        CrossEncoderReranker(model, **more)


def test_an_exported_folder_that_lacks_a_file_is_refused_at_once(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has no model\.onnx or onnx/model\.onnx"):
        OnnxCrossEncoder(tmp_path)
    shutil.copy(exported / "model.onnx", tmp_path)
    with pytest.raises(SettingsError, match=r"has no tokenizer\.json"):
        OnnxCrossEncoder(tmp_path)
    with pytest.raises(SettingsError, match="threads"):
        OnnxCrossEncoder(exported, threads=-1)


@pytest.mark.parametrize(("name", "match"), [("model.onnx", "cannot be loaded"), ("tokenizer.json", "cannot be read")])
@pytest.mark.parametrize("data", [b"junk", b"{}", b""])
def test_a_damaged_export_is_an_error(exported: Path, tmp_path: Path, name: str, match: str, data: bytes) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(exported, folder)
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=match):
        OnnxCrossEncoder(folder).rerank(QUESTION, TEXTS, forever())


def test_a_graph_that_is_no_cross_encoder_is_an_error(tmp_path: Path) -> None:
    write_graph(tmp_path / "inputs", inputs=("pixels", "attention_mask", "token_type_ids"))
    with pytest.raises(ModelError, match="wants the inputs pixels"):
        OnnxCrossEncoder(tmp_path / "inputs").rerank(QUESTION, TEXTS, forever())
    write_graph(tmp_path / "outputs", outputs=2)
    with pytest.raises(ModelError, match="one score a text"):
        OnnxCrossEncoder(tmp_path / "outputs").rerank(QUESTION, TEXTS, forever())


def test_a_graph_in_the_folder_onnx_is_found(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    shutil.copy(exported / "model.onnx", tmp_path / "onnx")
    shutil.copy(exported / "tokenizer.json", tmp_path)
    assert np.argsort(-OnnxCrossEncoder(tmp_path).rerank(QUESTION, TEXTS, forever())).tolist() == BY_OVERLAP


# ------------------------------------------------------------------------------------------------------ other processes

_FORK = """
import os, sys, warnings
import numpy as np
from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.models.cross_encoder import CrossEncoderReranker
from tierkeep.models.onnx_cross_encoder import OnnxCrossEncoder

kind, folder = sys.argv[1:]
if kind == "torch":
    import torch
    torch.set_num_threads(2)
    torch.randn(800, 800) @ torch.randn(800, 800)  # the pool of threads is running
reranker = CrossEncoderReranker(folder, device="cpu", max_length=128) if kind == "torch" else OnnxCrossEncoder(folder)
texts = [" ".join(["kettle violin harbour"] * 40)] * 32
before = reranker.rerank("kettle bridge", texts, Allowance(SystemClock()))
warnings.simplefilter("ignore")
child = os.fork()
if not child:
    same = np.allclose(reranker.rerank("kettle bridge", texts, Allowance(SystemClock())), before, atol=1e-4)
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_it_works_in_a_forked_child(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("trained" if kind == "torch" else "exported")
    done = python(_FORK, kind, str(folder))
    assert done.returncode == 0, done.stderr[-2000:]


_HIDING = """
import sys

class Hiding:
    def __init__(self, hidden, real):
        self.hidden, self.real = hidden, real

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.hidden:
            return None
        return next((spec for finder in self.real if (spec := finder.find_spec(name, path, target)) is not None), None)

sys.meta_path[:] = [Hiding(sys.argv[1], list(sys.meta_path))]
from tierkeep.errors import MissingExtraError
from tierkeep.models.cross_encoder import CrossEncoderReranker
from tierkeep.models.onnx_cross_encoder import OnnxCrossEncoder

try:
    (CrossEncoderReranker if sys.argv[1] == "sentence_transformers" else OnnxCrossEncoder)(sys.argv[2])
except MissingExtraError as error:
    sys.stdout.write(str(error))
"""


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own that finds the same tierkeep."""
    path = os.pathsep.join(filter(None, (str(Path(tierkeep.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    command, environment = [sys.executable, "-c", program, *arguments], {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


@pytest.mark.parametrize(
    ("package", "extra"), [("sentence_transformers", "sentence-transformers"), ("onnxruntime", "minilm"), ("tokenizers", "minilm")]
)
def test_an_absent_package_is_named_with_its_command(exported: Path, package: str, extra: str) -> None:
    done = python(_HIDING, package, str(exported))
    assert f'pip install "tierkeep[{extra}]"' in done.stdout, done.stderr


def test_importing_loads_no_framework() -> None:
    modules = "tierkeep.models.cross_encoder, tierkeep.models.onnx_cross_encoder"
    done = python(f"import {modules}, sys; print(sorted({{'torch', 'onnxruntime'}} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr
