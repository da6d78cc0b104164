"""Which heads look at sinks and recent tokens only, measured on a sample."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tierkeep.errors import InputError, SettingsError  # noqa: E402
from tierkeep_transformers import H2O, HeadMix, attach, profile_heads  # noqa: E402 - only where the extra is installed

SINKS, RECENT = 2, 5


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=512, initializer_range=0.2,
    )  # fmt: skip
    return transformers.Qwen3ForCausalLM(config).eval()


def ids(rows: int, count: int) -> Any:
    return torch.randint(1, 64, (rows, count), generator=torch.Generator().manual_seed(1))


def test_shares_are_those_of_the_attention_matrix(model: Any) -> None:
    sample = ids(2, 40)
    profile = profile_heads(model, sample, sinks=SINKS, recent=RECENT)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = model(sample, output_attentions=True).attentions
    model.set_attn_implementation("sdpa")
    for layer, weights in enumerate(attentions):
        for head in range(2):
            mean = weights[:, 2 * head : 2 * head + 2].mean(1)
            shares = [
                mean[row, query, slot].item()
                for row in range(2) for query in range(SINKS + RECENT, 40) for slot in range(query + 1)
                if slot < SINKS or query - slot < RECENT
            ]  # fmt: skip
            assert profile.share[layer][head] == pytest.approx(sum(shares) / 2 / (40 - SINKS - RECENT), abs=1e-5)


def test_padding_does_not_count(model: Any) -> None:
    sample = ids(1, 30)
    padded = torch.cat([torch.zeros(1, 9, dtype=torch.long), sample], 1)
    mask = (torch.arange(39) >= 9).long()[None]
    alone = profile_heads(model, sample, sinks=SINKS, recent=RECENT)
    with_padding = profile_heads(model, padded, attention_mask=mask, sinks=SINKS, recent=RECENT)
    for layer, shares in alone.share.items():
        assert with_padding.share[layer] == pytest.approx(shares, abs=1e-5)


def test_heads_above_the_threshold_are_static_and_a_mix_takes_them(model: Any) -> None:
    profile = profile_heads(model, ids(1, 40), sinks=SINKS, recent=RECENT)
    shares = sorted(share for layer in profile.share.values() for share in layer)
    static = profile.static(shares[2])
    assert sum(flag for flags in static.values() for flag in flags) == 2
    assert profile.static(0.0) == {0: (True, True), 1: (True, True)}
    policy = HeadMix(dynamic=H2O(budget=20, buffer=0), static=static, sinks=SINKS, static_recent=RECENT)
    with torch.no_grad(), attach(model, policy) as bounded:
        cache = bounded.new_cache()
        model(ids(1, 40), **bounded.past(cache))
    for layer, flags in static.items():
        assert cache.bounded[layer].slots.held()[0].tolist() == [SINKS + RECENT if flag else 20 for flag in flags]
    with pytest.raises(SettingsError):
        profile.static(1.5)


def test_a_sample_that_is_too_short_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match="too short"):
        profile_heads(model, ids(1, 7), sinks=SINKS, recent=RECENT)
