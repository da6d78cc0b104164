from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AttentionInterface,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)  # fmt: skip

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers import GateSet, StreamingLLM, attach
from tierkeep_transformers.families import layout_of
from tierkeep_transformers.training import gated
from tierkeep_transformers.training.gated import NAME, Form, gated_attention

SMALL: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 4096, "pad_token_id": 0,
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, {"sliding_window": 6, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, {
        "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8,
    }),
}  # fmt: skip


def made(family: str = "qwen3", **more: Any) -> PreTrainedModel:
    kind, config, own = FAMILIES[family]
    torch.manual_seed(1)
    return kind(config(**{**SMALL, **own, **more})).eval()


def gates_of(model: PreTrainedModel, bias: float, scale: float = 1.0) -> GateSet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        gates = GateSet.fresh(layout_of(model), hidden=16, bias=bias)
        for name, parameter in gates.named_parameters():
            if name.endswith("weight"):
                parameter.data.mul_(scale)
    return gates


def tokens(rows: int, count: int) -> Tensor:
    return torch.randint(1, 61, (rows, count), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gates_that_forget_nothing_change_nothing(family: str, implementation: str, padded: bool) -> None:
    if (family, implementation) == ("gemma2", "sdpa"):
        implementation = "eager"  # the class has no other
    model = made(family, attn_implementation=implementation)
    ids, mask = tokens(2, 23), torch.ones(2, 23, dtype=torch.long)
    if padded:
        mask[0, :9] = 0
    with torch.no_grad():
        stock = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        with gated(model, gates_of(model, bias=40.0), block=7) as state:
            ours = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            assert set(state.log_beta) == set(layout_of(model).attention)
            with state.off():
                teacher = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        after = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    real = mask.bool()
    torch.testing.assert_close(ours[real], stock[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(teacher[real], stock[real], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(ours).all()
    assert torch.equal(after, stock)


def naive(query: Tensor, key: Tensor, value: Tensor, log_beta: Tensor, form: str, scale: float, window: int) -> Tensor:
    """The formula, dense and head by head: (batch, heads, tokens, head dim)."""
    rows = []
    for b in range(query.shape[0]):
        for h in range(query.shape[1]):
            group = h // (query.shape[1] // key.shape[1])
            count = query.shape[2]
            logits = torch.full((count, count), -math.inf)
            for t in range(count):
                for i in range(t + 1):
                    logit = query[b, h, t] @ key[b, group, i] * scale
                    said = log_beta[b, group, i]
                    if form == "log_bias":
                        logits[t, i] = logit + (t - i) * said
                    elif form == "logit_mul":
                        logits[t, i] = logit * said.exp() ** (t - i)
                    else:
                        logits[t, i] = logit + (0 if t - i < window else torch.log(said.exp() + 1e-6))
            rows.append(logits.softmax(-1) @ value[b, group])
    return torch.stack(rows).view(*query.shape)


@pytest.mark.parametrize("form", ["log_bias", "logit_mul", "window"])
def test_blocks_are_the_dense_formula(form: Form) -> None:
    model = made()
    seen: list[tuple[Tensor, Tensor, Tensor, float, Tensor]] = []

    def watch(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float, **more: Any) -> tuple[Tensor, None]:
        output, weights = gated_attention(module, query, key, value, mask, scaling=scaling, **more)
        seen.append((query, key, value, scaling, output))
        return output, weights

    with torch.no_grad(), gated(model, gates_of(model, bias=1.0, scale=20.0), form=form, block=5, window=4) as state:
        AttentionInterface.register(NAME, watch)  # the next `gated` registers its own again
        model(input_ids=tokens(2, 13), use_cache=False)
    assert len(seen) == 2
    for layer, (query, key, value, scale, output) in enumerate(seen):
        log_beta = state.log_beta[layer]
        assert float(log_beta.min()) < -0.5  # far from forgetting nothing
        torch.testing.assert_close(output.transpose(1, 2), naive(query, key, value, log_beta, form, scale, window=4), atol=1e-5, rtol=1e-5)


def test_padding_to_the_left_changes_nothing_for_the_rest() -> None:
    model, ids = made(), tokens(1, 12)
    padded = torch.cat([torch.zeros(1, 7, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(19) >= 7).long()[None]
    with torch.no_grad(), gated(model, gates_of(model, 1.0, 20.0), block=4):
        alone = model(input_ids=ids, use_cache=False).logits
        together = model(input_ids=padded, attention_mask=mask, use_cache=False).logits
    torch.testing.assert_close(together[:, 7:], alone, atol=1e-5, rtol=1e-5)


def saved_bytes(count: int) -> int:
    """Bytes that a forward pass keeps for its backward pass; each storage once."""
    model = made()
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.requires_grad_(False)
    with gated(model, gates_of(model, 4.0)), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model.get_decoder()(input_ids=tokens(1, count), use_cache=False).last_hidden_state
        del output
    return sum(sizes.values())


def test_memory_is_linear_in_the_length() -> None:
    """Four times the tokens may keep four times the bytes, and no sixteen."""
    short, long = saved_bytes(512), saved_bytes(2048)
    assert 3 * short < long < 4.4 * short
    assert long < 2048 * 2048 * 4 * 4  # one layer's table of logits alone


def test_bfloat16_runs_with_gates_in_fp32() -> None:
    model = made().to(torch.bfloat16)
    with gated(model, gates_of(model, 2.0)) as state:
        output = model(input_ids=tokens(1, 9), use_cache=False).logits
    assert output.dtype == torch.bfloat16
    assert {said.dtype for said in state.log_beta.values()} == {torch.float32}


def test_what_is_refused() -> None:
    model = made()
    gates = gates_of(model, 4.0)
    with gated(model, gates), pytest.raises(SettingsError, match="already"), gated(model, gates):
        pass
    with attach(model, StreamingLLM(budget=8)), pytest.raises(SettingsError, match="already"), gated(model, gates):
        pass
    with pytest.raises(SettingsError, match="form="), gated(model, gates, form="other"):  # type: ignore[arg-type]
        pass
    with pytest.raises(SettingsError, match="layer 1"), gated(model, GateSet({0: gates.gate(0)})):
        pass
    with gated(model, gates), pytest.raises(InputError, match="one document a row"):
        model(input_ids=tokens(1, 6), position_ids=torch.tensor([[0, 1, 2, 0, 1, 2]]), use_cache=False)
    with gated(model, gates), torch.no_grad():
        past = model(input_ids=tokens(1, 6), use_cache=True)
        cache = next(value for name, value in past.items() if name != "logits")
        name = layout_of(model).cache_argument
        with pytest.raises(InputError, match="whole sequences"):
            model(input_ids=tokens(1, 2), **{name: cache})


def test_nothing_is_left_behind_after_an_error() -> None:
    model = made()
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="on purpose"), gated(model, gates_of(model, 4.0)):
        raise RuntimeError("on purpose")
    assert model.config._attn_implementation == before
    assert all(not module._forward_pre_hooks for module in model.modules())
