"""A row of a padded batch loses the slots that it would lose alone, under every policy and codec."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tierkeep_transformers import (  # noqa: E402 - only where the extra is installed
    H2O,
    SPKV,
    Codec,
    DBTrimKV,
    GateSet,
    HeadMix,
    Int4,
    Int8,
    LazyEviction,
    Plain,
    Policy,
    RandomEviction,
    ResidualInt4,
    RotatedInt4,
    SnapKV,
    StreamingLLM,
    TrimKV,
    attach,
)
from tierkeep_transformers.families import layout_of  # noqa: E402

HEADS, DIM, NEW = 2, 16, 8
#: Prompts that are cut at once, after some tokens, and at the end.
LENGTHS = (24, 14, 9)


@pytest.fixture(scope="module", params=["Qwen3", "Gemma2"])
def model(request: pytest.FixtureRequest) -> Any:
    settings = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": HEADS, "head_dim": DIM, "max_position_embeddings": 512, "initializer_range": 0.2,
    }  # fmt: skip
    if request.param == "Gemma2":
        settings |= {"sliding_window": 8, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": DIM}
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(**settings)
    # In fp64, so that no number is rounded to another code because a padded batch is summed in another order.
    return getattr(transformers, f"{request.param}ForCausalLM")(config).double().eval()


@pytest.fixture(scope="module")
def policies(model: Any) -> dict[str, Policy]:
    torch.manual_seed(1)
    gates = GateSet.fresh(layout_of(model), hidden=8, bias=3.0)
    for parameter in gates.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    common: dict[str, Any] = {"budget": 12, "buffer": 4}
    static = {0: (True, False), 1: (False, True)}
    return {
        "streaming": StreamingLLM(**common),
        "random": RandomEviction(**common),
        "trimkv": TrimKV(gates=gates, **common),
        "h2o": H2O(**common),
        "h2o-normalised": H2O(recent_frac=0, normalise=True, **common),
        "snapkv": SnapKV(window=6, **common),
        "snapkv-max": SnapKV(window=6, pool="max", **common),
        "lazy": LazyEviction(budget=12, window=4, alpha=0.05),
        "spkv": SPKV(budget=12, buffer=2, window=5, threshold=0.97, gates=gates),
        "dbtrimkv": DBTrimKV(gates=gates, floor=2, ceiling=20, **common),
        "mix": HeadMix(dynamic=SnapKV(window=6, **common), static=static, sinks=2, static_recent=6),
    }


def run(model: Any, policy: Policy, codec: Codec, rows: list[Any], prompt: int) -> tuple[Any, Any]:
    """Read left-padded prompts of `prompt` tokens, and then one token after another: the logits of the prompt's end and of each token."""
    ids = torch.zeros(len(rows), prompt + NEW, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, -len(row) :], mask[index, -len(row) :] = row, 1
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = []
    with torch.no_grad(), attach(model, policy, codec=codec) as bounded:
        cache = bounded.new_cache()
        start = 0
        for stop in range(prompt, prompt + NEW + 1):
            part = slice(start, stop)
            out = model(ids[:, part], attention_mask=mask[:, :stop], position_ids=places[:, part], **bounded.past(cache))
            logits.append(out.logits[:, -1])
            assert all(layer.slots.length <= policy.most(index) for index, layer in cache.bounded.items())
            start = stop
    return torch.stack(logits, 1), cache


def check(model: Any, policy: Policy, codec: Codec) -> None:
    """Compare rows of a batch with the same rows alone: logits, and which slots each head kept."""
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randint(1, 64, (length + NEW,), generator=generator) for length in LENGTHS]
    together, batch = run(model, policy, codec, rows, max(LENGTHS))
    assert any(layer.slots.evicted for layer in batch.bounded.values())
    for row, (ids, length) in enumerate(zip(rows, LENGTHS, strict=True)):
        alone, cache = run(model, policy, codec, [ids], length)
        for index, layer in cache.bounded.items():
            assert kept(batch.bounded[index].slots, row) == kept(layer.slots, 0)
        torch.testing.assert_close(together[row], alone[0], atol=1e-4, rtol=0)


def kept(slots: Any, row: int) -> list[list[int]]:
    """Return the places of the slots that count, by head."""
    valid = torch.ones_like(slots.position, dtype=torch.bool) if slots.valid is None else slots.valid
    return [slots.place()[row, head][valid[row, head]].tolist() for head in range(HEADS)]


@pytest.mark.parametrize(
    "name",
    ["streaming", "random", "trimkv", "h2o", "h2o-normalised", "snapkv", "snapkv-max", "lazy", "spkv", "dbtrimkv", "mix"],
)
def test_a_padded_row_is_the_row_alone(model: Any, policies: dict[str, Policy], name: str) -> None:
    check(model, policies[name], Plain())


@pytest.mark.parametrize("codec", [Int8(), Int4(), RotatedInt4(group=4), ResidualInt4(group=8)], ids=lambda codec: codec.name)
def test_a_padded_row_is_the_row_alone_in_fewer_bits(model: Any, policies: dict[str, Policy], codec: Codec) -> None:
    check(model, policies["snapkv"], codec)  # which reads stored keys a second time, to count votes


@pytest.mark.parametrize("name", ["snapkv", "spkv", "dbtrimkv", "mix"])  # with a state of their own, or ragged heads
def test_slots_and_state_follow_the_rows(model: Any, policies: dict[str, Policy], name: str) -> None:
    """Rows that are repeated, picked and put in another order go on as they would have."""
    if model.config.model_type != "qwen3":
        pytest.skip("rows are followed alike in every family")
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 64, (2, 32), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, :9] = 0
    with torch.no_grad(), attach(model, policies[name]) as bounded:

        def read(cache: Any, rows: list[int], start: int, stop: int) -> Any:
            places = (mask[rows].cumsum(1) - 1).clamp(min=0)[:, start:stop]
            return model(ids[rows, start:stop], attention_mask=mask[rows, :stop], position_ids=places, **bounded.past(cache)).logits

        cache = bounded.new_cache()
        read(cache, [0, 1], 0, 24)
        repeated, picked, turned = (deepcopy(cache) for _ in range(3))
        repeated.batch_repeat_interleave(2)
        picked.batch_select_indices(torch.tensor([1]))
        turned.reorder_cache(torch.tensor([1, 0]))
        # In pieces, so that the window of the last queries is from before, and slots leave by it.
        expected = torch.cat([read(cache, [0, 1], start, start + 2) for start in range(24, 32, 2)], 1)
        for other, rows in ((repeated, [0, 0, 1, 1]), (picked, [1]), (turned, [1, 0])):
            said = torch.cat([read(other, rows, start, start + 2) for start in range(24, 32, 2)], 1)
            torch.testing.assert_close(said, expected[rows], atol=1e-9, rtol=0)
