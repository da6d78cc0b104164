"""What a model holds on to: read from the real cache, by token, by turn, as a picture and as a re-ranker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tierkeep import Memory, Message, Settings  # noqa: E402
from tierkeep.allowance import Allowance  # noqa: E402
from tierkeep.errors import InputError, ModelError  # noqa: E402
from tierkeep.protocols import Reranker  # noqa: E402
from tierkeep.testing.clock import FixedClock  # noqa: E402
from tierkeep_transformers import FullCache, GateSet, Policy, RandomEviction, StreamingLLM, attach  # noqa: E402
from tierkeep_transformers.families import layout_of  # noqa: E402
from tierkeep_transformers.retention import read_text, retention_of, turns_held  # noqa: E402
from tierkeep_transformers.retention_picture import draw, main  # noqa: E402
from tierkeep_transformers.retention_reranker import RetentionReranker  # noqa: E402

TEXT = "The plumber who fixed the boiler is called Anselmo."
SINKS = StreamingLLM(budget=16, buffer=0, sinks=4)
TURNS = [Message(text="My boiler is broken.", speaker="Ana"), Message(text="Call Anselmo, he is good.", speaker="Ben"),
         Message(text="Thank you!", speaker="Ana")]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class KeepsHead(Policy):
    """Keeps the oldest tokens in the first head and the newest in the others: heads that differ can be told apart."""

    def score(self, slots: Any) -> Any:
        sign = torch.ones(slots.heads)
        sign[0] = -1
        return slots.position.float() * sign[None, :, None]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_kept_tokens_are_those_of_the_policy(tiny: Callable[..., Any], tokenizer: Any, family: str) -> None:
    model = tiny(family)
    found = read_text(model, tokenizer, TEXT, SINKS)
    count = len(tokenizer(TEXT)["input_ids"])
    expected = [place for place in range(count) if place < 4 or place >= count - 12]
    assert found.layers == ((0, 1) if family == "llama" else (5,))
    assert found.kept.shape == (len(found.layers), 2, count)
    assert all(np.flatnonzero(head).tolist() == expected for layer in found.kept for head in layer)
    assert np.array_equal(~np.isnan(found.score), found.kept)
    assert np.isposinf(found.score[:, :, :4]).all() and np.isfinite(found.score[:, :, -12:]).all()
    assert found.share().tolist() == [float(place in expected) for place in range(count)]
    assert "".join(found.tokens) == TEXT and found.policy == "StreamingLLM"


def test_heads_are_not_mixed_up(tiny: Callable[..., Any], tokenizer: Any) -> None:
    kept = read_text(tiny("llama"), tokenizer, TEXT, KeepsHead(budget=10, buffer=0)).kept
    count = kept.shape[-1]
    assert np.flatnonzero(kept[1, 0]).tolist() == list(range(10))
    assert np.flatnonzero(kept[1, 1]).tolist() == list(range(count - 10, count))


def test_a_live_cache_is_read_by_row_without_its_padding(tiny: Callable[..., Any], tokenizer: Any) -> None:
    model = tiny("llama")
    short, long = tokenizer("The plumber who fixed")["input_ids"], tokenizer(TEXT)["input_ids"]
    gap = len(long) - len(short)
    ids = torch.tensor([[0] * gap + short, long])
    mask = torch.tensor([[0] * gap + [1] * len(short), [1] * len(long)])
    with attach(model, SINKS) as bounded, torch.no_grad():
        cache = bounded.new_cache()
        model(input_ids=ids, attention_mask=mask, **bounded.past(cache))
    alone = read_text(model, tokenizer, "The plumber who fixed", SINKS)
    assert np.array_equal(retention_of(cache, alone.tokens, row=0).kept, alone.kept)
    assert np.array_equal(retention_of(cache, list(TEXT), row=1).kept, read_text(model, tokenizer, TEXT, SINKS).kept)
    with pytest.raises(InputError, match="are named"):
        retention_of(cache, ["a"], row=1)


def test_turns_hold_what_their_tokens_hold(tiny: Callable[..., Any], tokenizer: Any) -> None:
    turns = turns_held(tiny("llama"), tokenizer, TURNS, StreamingLLM(budget=20, buffer=0, sinks=4))
    sizes = [len(f"{turn.speaker}: {turn.text}\n") for turn in TURNS]
    assert [turn.tokens for turn in turns] == sizes
    assert [turn.held for turn in turns] == pytest.approx([4 / sizes[0], 0.0, 16 / sizes[2]])
    assert [turn.share for turn in turns] == pytest.approx([0.2, 0.0, 0.8])
    everything = turns_held(tiny("llama"), tokenizer, TURNS, FullCache())
    assert [turn.held for turn in everything] == [1.0] * 3
    assert sum(turn.share for turn in everything) == pytest.approx(1.0)


def test_long_texts_are_read_in_chunks_like_short_ones(tiny: Callable[..., Any], tokenizer: Any) -> None:
    found = read_text(tiny("llama"), tokenizer, TEXT * 14, SINKS)  # more than two chunks of 256
    assert found.kept.sum(-1).tolist() == [[16, 16], [16, 16]]
    assert found.kept[:, :, :4].all() and found.kept[:, :, -12:].all()


@pytest.mark.parametrize(("text", "words"), [("", "nothing to read"), ("word " * 20, "knows 64 positions")], ids=["empty", "long"])
def test_texts_that_cannot_be_read(build_tiny: Callable[..., Any], tokenizer: Any, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_text(build_tiny("llama", max_position_embeddings=64), tokenizer, text, SINKS)


# ------------------------------------------------------------------------------------------------------------ the picture


def _size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_the_picture_grows_with_the_text_up_to_a_bound(tiny: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    sizes = []
    for number, text in enumerate(("It costs $5 or $6,\n東京 \x07.", TEXT, TEXT * 8)):
        draw(read_text(tiny("llama"), tokenizer, text, RandomEviction(budget=12, buffer=0)), tmp_path / f"{number}.png")
        sizes.append(_size(tmp_path / f"{number}.png"))
    assert sizes[0][0] < sizes[1][0] < sizes[2][0] <= 22 * 110
    assert len({height for _, height in sizes}) == 1


def test_kept_and_lost_tokens_differ_in_the_picture(tiny: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    from matplotlib.image import imread

    for name, policy in (("full", FullCache()), ("few", SINKS)):
        draw(read_text(tiny("llama"), tokenizer, TEXT, policy), tmp_path / f"{name}.png", title="same")
    grey = [(np.abs(imread(tmp_path / f"{name}.png")[..., :3] - 0xE4 / 255).max(-1) < 0.01).mean() for name in ("full", "few")]
    assert grey[0] < 0.02 and grey[1] > 0.3


def test_the_script_draws_a_model_of_a_folder(
    build_tiny: Callable[..., Any], tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_tiny("llama").save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    arguments = ["--model", str(tmp_path / "tiny"), "--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "heads.png")]
    assert main([*arguments, "--budget", "16"]) == 0
    assert capsys.readouterr().out.strip().endswith("heads.png") and _size(tmp_path / "heads.png")[0] > 300


def test_the_script_draws_what_gates_keep(
    build_tiny: Callable[..., Any], tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, other = build_tiny("llama"), build_tiny("llama", num_hidden_layers=1)
    for name, made in (("tiny", model), ("other", other)):
        made.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    GateSet.fresh(layout_of(model), hidden=8, bias=1.0).save(tmp_path / "gates.safetensors")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    asked = ["--gates", str(tmp_path / "gates.safetensors"), "--text", str(tmp_path / "text.txt"), "--budget", "16"]
    assert main([*asked, "--model", str(tmp_path / "tiny"), "--out", str(tmp_path / "heads.png")]) == 0
    assert _size(tmp_path / "heads.png")[0] > 300
    assert main([*asked, "--model", str(tmp_path / "other"), "--out", str(tmp_path / "none.png")]) == 1
    assert "a gate for layer 1" in capsys.readouterr().err and not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("change", [{"--policy": "TrimKV"}, {"--policy": "os"}, {"--model": "nowhere"}], ids=["gates", "unknown", "model"])
def test_the_script_says_what_is_wrong(
    build_tiny: Callable[..., Any], tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str]
) -> None:
    build_tiny("llama").save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    options = {"--model": str(tmp_path / "tiny"), "--text": str(tmp_path / "missing.txt"), "--out": str(tmp_path / "heads.png"), **change}
    assert main([word for pair in options.items() for word in pair]) == 1
    said = capsys.readouterr().err
    assert ("there is no folder 'nowhere'" if "--model" in change else "no policy without gates") in said
    assert not (tmp_path / "heads.png").exists()


# --------------------------------------------------------------------------------------------------------- as a re-ranker


def test_a_reranker_ranks_by_what_is_held(tiny: Callable[..., Any], tokenizer: Any) -> None:
    reranker = RetentionReranker(tiny("llama"), tokenizer, StreamingLLM(budget=41, buffer=0, sinks=4))
    assert isinstance(reranker, Reranker)
    scores = reranker.rerank("Who?", ["one text", "another text", "the last text"], Allowance(FixedClock()))
    assert scores.dtype == np.float32 and scores.shape == (3,)
    assert scores[2] == 1.0 > scores[0] > 0.0  # sinks keep a bit of the first, the window all of the last
    assert reranker.rerank("Who?", [], Allowance(FixedClock())).shape == (0,)


def test_a_reranker_that_fails_leaves_the_search_s_order(build_tiny: Callable[..., Any], tokenizer: Any) -> None:
    reranker = RetentionReranker(build_tiny("llama", max_position_embeddings=32), tokenizer, SINKS)
    with pytest.raises(ModelError, match="32 positions"):
        reranker.rerank("Who?", [TEXT], Allowance(FixedClock()))
    with Memory.open(":memory:", reranker=reranker, settings=Settings()) as memory:
        ana = memory.scope(user="ana")
        ana.add(TEXT, at="2026-03-09")
        ana.add("The plumber was late.", at="2026-03-10")
        evidence = ana.recall("Who is the plumber?")
    assert "Anselmo" in evidence.text and "positions" in evidence.note
