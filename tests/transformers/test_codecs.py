"""Storage codecs: what a round trip costs, what is stored, and that evicting a token never touches another."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tierkeep.errors import SettingsError  # noqa: E402
from tierkeep_transformers import (  # noqa: E402 - only where the extra is installed
    Codec,
    FullCache,
    Int4,
    Int8,
    Plain,
    ResidualInt4,
    RotatedInt4,
    StreamingLLM,
    attach,
)
from tierkeep_transformers.codecs import hadamard  # noqa: E402
from tierkeep_transformers.slots import Slots  # noqa: E402

CODECS = [Plain(), Int8(), Int8(group=16), Int4(), Int4(group=None), RotatedInt4(), ResidualInt4()]


def label(codec: Codec) -> str:
    return f"{codec.name}-{getattr(codec, 'group', None)}"


def filled(codec: Codec, tensor: Any) -> Slots:
    """Return a layer that holds a tensor as keys, and its double as values."""
    slots = Slots(0, codec, 64)
    slots.append(tensor, 2 * tensor, None, {})
    return slots


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("codec", CODECS, ids=label)
def test_a_round_trip_is_off_by_half_a_step_at_most(codec: Codec, dtype: Any) -> None:
    torch.manual_seed(0)
    tensor = torch.randn(2, 2, 50, 32).to(dtype)
    slots = filled(codec, tensor)
    if isinstance(codec, Plain):
        assert torch.equal(slots.read()[0], tensor)
        return
    bits: int = {Int8: 7, Int4: 3, RotatedInt4: 3, ResidualInt4: 3}[type(codec)]  # type: ignore[index]
    group = codec.group or 32  # type: ignore[attr-defined]
    stored = codec.turn(tensor.float()) if isinstance(codec, RotatedInt4) else tensor.float()
    largest = stored.unflatten(-1, (-1, group)).abs().amax(-1, keepdim=True).expand(*stored.shape[:-1], -1, group).flatten(-2)
    steps = 2 * (2**bits - 1)
    bound = largest / steps / (14 if isinstance(codec, ResidualInt4) else 1) * 1.01
    slack = {torch.float32: 1e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]  # what the model's own dtype rounds
    for decoded, times in zip(slots.read(), (1, 2), strict=True):
        assert decoded.dtype == dtype
        assert ((decoded.float() - times * stored).abs() <= times * (bound + slack)).all()
    error = (codec.turn_back(slots.read()[0].float()) - tensor.float()).pow(2).mean().sqrt()
    assert error > 0  # it does round
    assert error < {7: 0.02, 3: 0.03 if isinstance(codec, ResidualInt4) else 0.15}[bits]


@pytest.mark.parametrize("codec", CODECS, ids=label)
def test_what_is_stored_is_what_the_formula_says(codec: Codec) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.randn(3, 2, 7, 64).to(dtype)
        columns = {**codec.encode("key", tensor), **codec.encode("value", tensor)}
        taken = sum(column.numel() * column.element_size() for column in columns.values())
        assert taken == 3 * 2 * 7 * codec.bytes_per_slot(64, tensor.element_size())


def test_formulas_are_those_of_the_page() -> None:
    """At 128 numbers in bf16: 8 bits and one scale; 4 bits and a scale for 16, which is 5 bits a number; twice that with a residual."""
    assert [codec.bytes_per_slot(128, 2) for codec in (Plain(), Int8(), Int4(), RotatedInt4(), ResidualInt4())] == [512, 260, 160, 160, 320]


@pytest.mark.parametrize("codec", CODECS, ids=label)
def test_evicting_first_or_restoring_first_is_the_same(codec: Codec) -> None:
    torch.manual_seed(1)
    slots = filled(codec, torch.randn(2, 2, 40, 32))
    before = [tensor.clone() for tensor in slots.read()]
    index = torch.rand(2, 2, 40).argsort(-1)[..., :15].sort(-1).values
    slots.keep(index, None)
    for after, whole in zip(slots.read(), before, strict=True):
        assert torch.equal(after, whole.gather(2, index[..., None].expand(-1, -1, -1, 32)))


@pytest.mark.parametrize("size", [1, 2, 16, 128])
def test_the_hadamard_matrix_is_orthogonal_and_its_own_inverse(size: int) -> None:
    matrix = hadamard(size, torch.device("cpu"))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size), atol=1e-6, rtol=0)
    assert torch.equal(matrix, matrix.T)
    torch.testing.assert_close(matrix.abs(), torch.full((size, size), size**-0.5))


@pytest.mark.parametrize("size", [16, 64, 80, 96])
def test_turned_queries_see_turned_keys_as_before(size: int) -> None:
    torch.manual_seed(2)
    codec = RotatedInt4(group=8)
    query, key = torch.randn(1, 4, 3, size), torch.randn(1, 4, 5, size)
    torch.testing.assert_close(codec.turn(query) @ codec.turn(key).mT, query @ key.mT, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(codec.turn_back(codec.turn(query)), query, atol=1e-5, rtol=0)
    assert not torch.allclose(codec.turn(query), query, atol=0.1)


def test_turning_spreads_an_outlier_channel() -> None:
    """One channel that is 20 times as large costs the others their bits, unless it is spread first."""
    torch.manual_seed(3)
    tensor = torch.randn(1, 1, 200, 64)
    tensor[..., 5] *= 20
    errors = []
    for codec in (Int4(group=None), RotatedInt4(group=None)):
        restored = codec.turn_back(filled(codec, tensor).read()[0])
        errors.append((restored - tensor).abs().mean().item())
    assert errors[1] < errors[0] * 0.75


@pytest.mark.parametrize("value", [0.0, 1e-12, 1e6], ids=["zero", "tiny", "huge"])
@pytest.mark.parametrize("codec", CODECS[1:], ids=label)
def test_scales_outside_fp16_stay_numbers(codec: Codec, value: float) -> None:
    decoded, _ = filled(codec, torch.full((1, 1, 3, 32), value)).read()
    assert decoded.isfinite().all()
    if value < 1:
        assert decoded.abs().max() < 1e-6


@pytest.mark.parametrize(("codec", "size"), [(Int4(), 24), (Int8(group=5), 16), (Int4(group=None), 9)], ids=["int4", "int8", "odd"])
def test_head_dims_that_cannot_be_cut_are_refused(codec: Codec, size: int) -> None:
    with pytest.raises(SettingsError, match=f"head dim of {size}"):
        codec.encode("key", torch.randn(1, 1, 1, size))
    with pytest.raises(SettingsError, match=f"head dim of {size}"):
        codec.bytes_per_slot(size, 4)


@pytest.mark.parametrize("group", [0, 1, -4, 2.5])
def test_bad_groups_are_refused(group: Any) -> None:
    with pytest.raises(SettingsError, match="group="):
        Int4(group=group)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(4)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, max_position_embeddings=256, initializer_range=0.1,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def logits(model: Any, codec: Codec, policy: Any) -> tuple[Any, Any]:
    """Return logits of a prompt in two parts and some tokens after it, and the cache."""
    ids = torch.randint(1, 64, (2, 40), generator=torch.Generator().manual_seed(5))
    with torch.no_grad(), attach(model, policy, codec=codec) as bounded:
        cache = bounded.new_cache()
        parts = [model(part, **bounded.past(cache)).logits for part in ids.split([20, 15, 1, 1, 1, 1, 1], dim=1)]
    return torch.cat(parts, 1), cache


def test_fewer_bits_move_the_logits_little_and_more_bits_move_them_less(model: Any) -> None:
    plain, _ = logits(model, Plain(), FullCache())
    error = {}
    for codec in (Int8(), Int4(), RotatedInt4(), ResidualInt4()):
        other, cache = logits(model, codec, FullCache())
        error[codec.name] = ((other - plain).pow(2).mean() / plain.pow(2).mean()).sqrt().item()
        slots = cache.bounded[0].slots
        assert slots.bytes() == slots.batch * slots.heads * slots.room * (codec.bytes_per_slot(32, 4) + 4)  # and the position
    assert 0 < error["int8"] < 0.01
    assert error["residual_int4"] < 0.02
    assert error["int8"] < error["int4"] < 0.2
    assert error["int8"] < error["rotated_int4"] < 0.2


def test_codecs_work_under_eviction(model: Any) -> None:
    plain, _ = logits(model, Plain(), StreamingLLM(budget=12, buffer=2))
    other, cache = logits(model, RotatedInt4(), StreamingLLM(budget=12, buffer=2))
    assert cache.bounded[0].slots.length <= 13
    assert ((other - plain).pow(2).mean() / plain.pow(2).mean()).sqrt() < 0.2
