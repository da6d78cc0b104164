"""A bounded cache can be put away and taken up again, says how full it is, and takes the memory that the formula says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from tierkeep.errors import InputError  # noqa: E402
from tierkeep_transformers import (  # noqa: E402
    SPKV,
    FullCache,
    GateSet,
    HeadMix,
    Policy,
    RandomEviction,
    StreamingLLM,
    TrimKV,
    attach,
)
from tierkeep_transformers.families import layout_of  # noqa: E402

Factory = Callable[..., Any]
HEADS, DIM = 2, 16  # of the tiny models


def gates(model: Any, seed: int = 5) -> GateSet:
    torch.manual_seed(seed)
    made = GateSet.fresh(layout_of(model), hidden=16, bias=2.0)
    torch.nn.init.normal_(made.gate(next(iter(layout_of(model).attention))).w2.weight, std=0.4)
    return made


@torch.no_grad()
def said(model: Any, ids: Any, past: dict[str, Any], mask: Any = None) -> Any:
    more = {} if mask is None else {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]}
    return model(input_ids=ids, **more, **past).logits


# ---------------------------------------------------------------------------------------------------------------- snapshots


@pytest.mark.parametrize("padded", [False, True], ids=["even", "left-padded"])
@pytest.mark.parametrize("name", ["trimkv", "streaming", "random", "full"])
@pytest.mark.parametrize("family", ["llama", "gemma3", "gemma2"])
def test_a_snapshot_goes_on(family: str, name: str, padded: bool, tiny: Factory, tokens: Factory, tmp_path: Path) -> None:
    model, ids = tiny(family, attention="eager"), tokens(2, 50)
    mask = torch.ones(2, 50, dtype=torch.long)
    mask[1, : 6 if padded else 0] = 0
    policy: Policy = {
        "trimkv": TrimKV(budget=12, buffer=4, gates=gates(model)), "streaming": StreamingLLM(budget=12, buffer=4),
        "random": RandomEviction(budget=12, buffer=4), "full": FullCache(),
    }[name]  # fmt: skip
    with attach(model, policy) as bounded:
        cache = bounded.new_cache()
        said(model, ids[:, :30], bounded.past(cache), mask[:, :30])
        cache.save(tmp_path / "kept" / "talk.safetensors")
        expected = [said(model, ids[:, a:b], bounded.past(cache), mask[:, :b]) for a, b in ((30, 31), (31, 45), (45, 50))]
    with attach(model, policy) as bounded:  # in another process it would be the same
        again = bounded.new_cache().load(tmp_path / "kept" / "talk.safetensors")
        assert again.seen == 30
        for expect, (a, b) in zip(expected, ((30, 31), (31, 45), (45, 50)), strict=True):
            assert torch.equal(said(model, ids[:, a:b], bounded.past(again), mask[:, :b]), expect)
    assert again.stats().layers[0].evicted == cache.stats().layers[0].evicted
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["talk.safetensors"]


def test_the_snapshot_of_a_mix(tiny: Factory, tokens: Factory, tmp_path: Path) -> None:
    model, ids = tiny("llama"), tokens(2, 30)

    def mix(made: GateSet, budget: int = 12) -> HeadMix:
        return HeadMix(dynamic=TrimKV(budget=budget, buffer=2, gates=made), static={0: (True, False)}, sinks=2, static_recent=6)

    path = tmp_path / "talk.safetensors"
    policy = mix(gates(model))
    with attach(model, policy) as bounded:
        cache = bounded.new_cache()
        said(model, ids, bounded.past(cache))
        cache.save(path)
        again = bounded.new_cache().load(path)
        assert torch.equal(said(model, ids[:, :1], bounded.past(again)), said(model, ids[:, :1], bounded.past(cache)))
    for other, match in ((mix(gates(model, seed=6)), "another gates"), (mix(gates(model), budget=13), "another policy")):
        with attach(model, other) as bounded, pytest.raises(InputError, match=match):
            bounded.new_cache().load(path)


def test_the_snapshot_of_an_empty_cache(tiny: Factory, tokens: Factory, tmp_path: Path) -> None:
    model, ids = tiny("gemma3"), tokens(1, 20)
    with attach(model, StreamingLLM(budget=12)) as bounded:
        bounded.new_cache().save(tmp_path / "empty.safetensors")
        cache = bounded.new_cache().load(tmp_path / "empty.safetensors")
        assert torch.equal(said(model, ids, bounded.past(cache)), said(model, ids, bounded.past(bounded.new_cache())))


def test_a_snapshot_of_something_else_is_refused(build_tiny: Factory, tokens: Factory, tmp_path: Path) -> None:
    model = build_tiny("llama")
    path, ids = tmp_path / "talk.safetensors", tokens(1, 20)
    own = gates(model)
    policy = TrimKV(budget=12, buffer=4, gates=own)
    with attach(model, policy) as bounded:
        cache = bounded.new_cache()
        said(model, ids, bounded.past(cache))
        cache.save(path)
        with pytest.raises(InputError, match="empty cache"):
            cache.load(path)
    others = {
        "another model": (build_tiny("llama", seed=1), policy),
        "another dtype: it has torch.float32, here is torch.bfloat16": (build_tiny("llama").to(torch.bfloat16), policy),
        "another policy": (model, TrimKV(budget=13, buffer=4, gates=own)),
        "another policy: .*StreamingLLM": (model, StreamingLLM(budget=12, buffer=4)),
        "another gates": (model, TrimKV(budget=12, buffer=4, gates=gates(model, 6))),
    }
    for match, (other, settings) in others.items():
        with attach(other, settings) as bounded, pytest.raises(InputError, match=f"(?s){match}"):
            bounded.new_cache().load(path)
    tuned = build_tiny("llama")
    with torch.no_grad():
        tuned.model.layers[0].self_attn.k_proj.weight += 1e-4
    with attach(tuned, policy) as bounded, pytest.raises(InputError, match="another model"):
        bounded.new_cache().load(path)


def test_the_same_gates_read_again_are_the_same(build_tiny: Factory, tokens: Factory, tmp_path: Path) -> None:
    model, path = build_tiny("llama"), tmp_path / "talk.safetensors"
    for number in range(2):
        with attach(model, TrimKV(budget=12, gates=gates(model))) as bounded:
            if number:
                assert bounded.new_cache().load(path).seen == 20
            else:
                said(model, tokens(1, 20), bounded.past(cache := bounded.new_cache()))
                cache.save(path)


def test_damaged_snapshots_are_refused(tiny: Factory, tokens: Factory, tmp_path: Path) -> None:
    model, path = tiny("llama"), tmp_path / "talk.safetensors"
    with attach(model, StreamingLLM(budget=12)) as bounded:
        said(model, tokens(1, 20), bounded.past(cache := bounded.new_cache()))
        cache.save(path)
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata()
        tensors = load_file(path)

        def refused(change: Callable[[dict[str, Any], dict[str, str]], Any], match: str) -> None:
            copy, about = dict(tensors), dict(header)
            change(copy, about)
            save_file(copy, tmp_path / "other.safetensors", metadata=about)
            with pytest.raises(InputError, match=match):
                bounded.new_cache().load(tmp_path / "other.safetensors")

        refused(lambda t, h: t.pop("0.slot.key"), "has not the tensors")
        refused(lambda t, h: t.update({"0.slot.key": t["0.slot.key"][:, :, 1:].contiguous()}), "do not fit together")
        refused(lambda t, h: t.update({"0.slot.position": t["0.slot.position"] + 30}), "do not fit together")
        refused(lambda t, h: h.update(layers=json.dumps({"0": {}, "1": {}})), "damaged")
        refused(lambda t, h: h.update(format="something"), "no snapshot")
        refused(lambda t, h: h.pop("layers"), "damaged")
        (tmp_path / "short.safetensors").write_bytes(path.read_bytes()[:-100])
        for name in ("short.safetensors", "absent.safetensors"):
            with pytest.raises(InputError, match="cannot be read"):
                bounded.new_cache().load(tmp_path / name)


# ---------------------------------------------------------------------------------------------------- statistics and memory


def test_statistics(tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(2, 40)
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[1, :8] = 0
    with attach(model, StreamingLLM(budget=[10, 16], buffer=4, sinks=2)) as bounded:
        cache = bounded.new_cache()
        empty = cache.stats()
        said(model, ids, bounded.past(cache), mask)
        stats = cache.stats()
    assert (empty.seen, empty.held, empty.bytes, empty.full_bytes, empty.oldest, empty.density) == (0, 0, 0, 0, None, 1.0)
    assert (stats.policy, stats.codec, stats.seen) == ("StreamingLLM", "none", 40)
    assert [(layer.held, layer.peak, layer.evicted, layer.oldest) for layer in stats.layers] == [(10, 40, 30, 0), (16, 40, 24, 0)]
    assert [layer.density for layer in stats.layers] == [20 / 72, 32 / 72]  # of 40 + 32 real tokens
    assert (stats.held, stats.peak, stats.evicted, stats.oldest) == (16, 40, 30, 0)
    assert stats.full_bytes == 2 * 2 * 40 * 2 * HEADS * DIM * 4  # layers, rows, tokens, key and value, heads, numbers, bytes
    assert stats.bytes == stats.formula_bytes == cache.bytes()
    summary = stats.summary()
    assert (summary["tokens"], summary["slots"], summary["bytes"]) == (40, 16, stats.bytes)


def test_padding_is_not_lost(tiny: Factory, tokens: Factory) -> None:
    """Neither that of the beginning nor that between two turns."""
    model, ids = tiny("llama"), tokens(2, 40)
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[:, :10] = 0
    mask[1, 20:25] = 0
    with attach(model, StreamingLLM(budget=26, buffer=0)) as bounded:
        cache = bounded.new_cache()
        for start, stop in ((0, 20), (20, 40)):
            said(model, ids[:, start:stop], bounded.past(cache), mask[:, :stop])
        stats = cache.stats()
    assert (stats.evicted, stats.held, stats.oldest) == (4, 26, 10)
    assert stats.density == (26 + 25) / (30 + 25)


def test_a_head_that_lost_most_is_told_of(tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(2, 30)
    with attach(model, SPKV(budget=20, buffer=0, window=3, threshold=0.9, gates=gates(model))) as bounded:
        cache = bounded.new_cache()
        said(model, ids, bounded.past(cache))
    held = {index: layer.slots.held() for index, layer in cache.bounded.items()}
    assert any(one.min() < one.max() for one in held.values())  # ragged
    assert [layer.evicted for layer in cache.stats().layers] == [30 - int(one.min()) for one in held.values()]


def test_the_oldest_token_that_is_left(tiny: Factory, tokens: Factory) -> None:
    model = tiny("llama")
    with attach(model, StreamingLLM(budget=10, buffer=0, sinks=0)) as bounded:
        said(model, tokens(1, 40), bounded.past(cache := bounded.new_cache()))
        assert [layer.oldest for layer in cache.stats().layers] == [30, 30]


@pytest.mark.parametrize(("name", "metadata"), [("streaming", 4), ("trimkv", 8)])
def test_memory_stays_what_the_formula_says(name: str, metadata: int, build_tiny: Factory, tokens: Factory) -> None:
    """A few thousand tokens after a prompt of several chunks: bytes stop growing, and are 2 H D bytes a slot, and what is known of it."""
    model = build_tiny("llama", num_hidden_layers=1)
    budget, buffer, spare = 64, 32, 64
    policy: Policy = StreamingLLM(budget=budget, buffer=buffer)
    if name == "trimkv":
        policy = TrimKV(budget=budget, buffer=buffer, gates=gates(model))
    sizes = []
    with attach(model, policy) as bounded:
        cache = bounded.new_cache()
        for seed in range(5):
            said(model, tokens(1, 500, seed), bounded.past(cache))
        for step in range(700):
            said(model, tokens(1, 1, step), bounded.past(cache))
            if step % 100 == 99:
                sizes.append(cache.bytes())
        stats = cache.stats()
    room = budget + buffer - 1 + spare
    assert set(sizes) == {room * HEADS * (2 * DIM * 4 + metadata)}
    assert stats.bytes == stats.formula_bytes == sizes[-1]
    assert (stats.seen, stats.full_bytes) == (3200, 3200 * 2 * HEADS * DIM * 4)
    assert budget <= stats.held < budget + buffer
    assert stats.peak == budget + 500  # the prompt's chunks are the peak
