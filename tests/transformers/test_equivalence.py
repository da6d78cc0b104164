"""With room for everything a bounded model says what the model says: each family, each way of attending, each way of generating."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import TextStreamer  # noqa: E402

from tierkeep.errors import InputError, SettingsError  # noqa: E402
from tierkeep_transformers import FullCache, GateSet, Policy, RandomEviction, StreamingLLM, TrimKV, attach  # noqa: E402
from tierkeep_transformers.families import layout_of  # noqa: E402

TOLERANCE = 1e-5
SPLITS = {"whole": (40,), "pieces": (17, 9, 1, 1, 12)}
MODELS = [
    (family, attention)
    for family in ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "gemma3-multimodal", "mixtral", "qwen3-moe", "phi3")
    for attention in ("eager", "sdpa")
    if (family, attention) != ("gemma2", "sdpa")  # its class refuses it
]
Factory = Callable[..., Any]


def gated(model: Any, **settings: Any) -> TrimKV:
    """Return TRIM-KV with gates that tell tokens apart, as untrained ones hardly do."""
    torch.manual_seed(5)
    gates = GateSet.fresh(layout_of(model), hidden=16, bias=2.0)
    for parameter in gates.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return TrimKV(gates=gates, **settings)


@torch.no_grad()
def fed(model: Any, ids: Any, split: tuple[int, ...], past: dict[str, Any], mask: Any = None) -> Any:
    """Return the logits of all tokens, read in pieces."""
    logits, start = [], 0
    places = None if mask is None else (mask.cumsum(-1) - 1).clamp(min=0)
    for count in split:
        stop = start + count
        more = {} if mask is None else {"attention_mask": mask[:, :stop], "position_ids": places[:, start:stop]}
        logits.append(model(input_ids=ids[:, start:stop], use_cache=True, **more, **past).logits)
        start = stop
    return torch.cat(logits, dim=1)


def left_padded(batch: int, length: int, pads: int) -> Any:
    """Return a mask whose second row begins with padding."""
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[1, :pads] = 0
    return mask


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize(("family", "attention"), MODELS, ids=lambda value: value)
def test_logits_are_those_of_the_whole_cache(
    family: str, attention: str, split: tuple[int, ...], tiny: Factory, tokens: Factory
) -> None:
    model, ids = tiny(family, attention=attention), tokens(2, 40)
    stock = fed(model, ids, (40,), {})
    with attach(model, FullCache()) as bounded:
        cache = bounded.new_cache()
        assert (fed(model, ids, split, bounded.past(cache)) - stock).abs().max() <= TOLERANCE
    assert cache.get_seq_length() == 40
    assert stock.std() > 0.1  # that is not what a model says which says nothing


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize(("family", "attention"), MODELS, ids=lambda value: value)
def test_padding_changes_no_real_token(family: str, attention: str, split: tuple[int, ...], tiny: Factory, tokens: Factory) -> None:
    model, ids, mask = tiny(family, attention=attention), tokens(2, 40), left_padded(2, 40, 7)
    stock = fed(model, ids, (40,), {}, mask)
    with attach(model, FullCache()) as bounded:
        ours = fed(model, ids, split, bounded.past(bounded.new_cache()), mask)
    assert torch.isfinite(ours).all()
    assert (ours - stock)[mask.bool()].abs().max() <= TOLERANCE


@pytest.mark.parametrize("name", ["trimkv", "streaming", "random", "unequal"])
def test_each_policy_with_room_for_everything(name: str, tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(2, 40)
    policies = {
        "trimkv": gated(model, budget=40), "streaming": StreamingLLM(budget=40), "random": RandomEviction(budget=40),
        "unequal": StreamingLLM(budget=[40, 60]),
    }  # fmt: skip
    stock = fed(model, ids, (40,), {})
    with attach(model, policies[name]) as bounded:
        assert (fed(model, ids, SPLITS["pieces"], bounded.past(bounded.new_cache())) - stock).abs().max() <= TOLERANCE


def test_a_slot_that_is_missing_shows(tiny: Factory, tokens: Factory) -> None:
    """The tolerance is small enough: one token fewer gives logits that are far away."""
    model, ids = tiny("llama"), tokens(2, 40)
    stock = fed(model, ids, (40,), {})
    with attach(model, StreamingLLM(budget=38, buffer=0)) as bounded:
        ours = fed(model, ids, (39, 1), bounded.past(bounded.new_cache()))
    assert (ours[:, :39] - stock[:, :39]).abs().max() <= TOLERANCE
    assert (ours[:, 39] - stock[:, 39]).abs().max() > 100 * TOLERANCE


def test_layers_with_a_window_leave_nothing_to_bound(tiny: Factory) -> None:
    with pytest.raises(SettingsError, match="nothing to bound"), attach(tiny("mistral-window"), FullCache()):
        pass


def test_only_layers_without_a_window_are_bounded(tiny: Factory) -> None:
    for family, bounded in (("gemma2", [1]), ("gemma3", [5]), ("gemma3-multimodal", [5]), ("llama", [0, 1])):
        assert list(layout_of(tiny(family, attention="eager")).attention) == bounded


def test_sixteen_bits(build_tiny: Factory, tokens: Factory) -> None:
    """bfloat16 has 8 bits: sums in another order differ by some of 1/256 of logits of size 1 to 3."""
    model, ids = build_tiny("llama").to(torch.bfloat16), tokens(2, 40)
    stock = fed(model, ids, (40,), {})
    with attach(model, FullCache()) as bounded:
        ours = fed(model, ids, SPLITS["pieces"], bounded.past(bounded.new_cache()))
    assert ours.dtype == torch.bfloat16
    assert (ours - stock).abs().max() <= 0.06


# --------------------------------------------------------------------------------------------------------------- generation

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "chunks": {"prefill_chunk_size": 5},
    "sampling": {"do_sample": True, "temperature": 0.9, "top_k": 20},
    "beams": {"num_beams": 3},
    "sampled-beams": {"num_beams": 2, "do_sample": True, "num_return_sequences": 2},
    "several": {"do_sample": True, "num_return_sequences": 3},
    "penalty": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
}
GENERATING = [("llama", "sdpa"), ("qwen3", "eager"), ("gemma2", "eager"), ("gemma3", "sdpa"), ("gemma3-multimodal", "sdpa")]


@pytest.mark.parametrize("padded", [False, True], ids=["even", "left-padded"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("family", "attention"), GENERATING, ids=lambda value: value)
def test_generate_says_the_same(family: str, attention: str, way: str, padded: bool, tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny(family, attention=attention), tokens(2, 15)
    options = {"attention_mask": left_padded(2, 15, 6 if padded else 0), "max_new_tokens": 8, "pad_token_id": 0, **WAYS[way]}
    torch.manual_seed(11)
    stock = model.generate(input_ids=ids, **options)
    with attach(model, FullCache()) as bounded:
        torch.manual_seed(11)
        assert torch.equal(bounded.generate(input_ids=ids, **{"prefill_chunk_size": None, **options}), stock)


def test_a_conversation_goes_on(tiny: Factory, tokens: Factory) -> None:
    model, first = tiny("llama"), tokens(1, 12)
    with attach(model, FullCache()) as bounded:
        cache = bounded.new_cache()
        said = bounded.generate(input_ids=first, cache=cache, max_new_tokens=6)
        assert cache.get_seq_length() == said.shape[1] - 1  # the last token has not been fed yet
        turn = torch.cat([said, tokens(1, 9, 1)], dim=1)
        ours = bounded.generate(input_ids=turn, attention_mask=torch.ones_like(turn), cache=cache, max_new_tokens=6)
    assert torch.equal(ours, model.generate(input_ids=turn, attention_mask=torch.ones_like(turn), max_new_tokens=6))


def test_a_conversation_that_does_not_go_on_is_refused(tiny: Factory, tokens: Factory) -> None:
    model, first = tiny("llama"), tokens(1, 12)
    with attach(model, FullCache()) as bounded:
        cache = bounded.new_cache()
        said = bounded.generate(input_ids=first, cache=cache, max_new_tokens=6)
        for ids, why in ((tokens(1, 9, 1), "has 9: hand over the whole"), (said[:, :-1], "has 17: hand over the whole"),
                         (torch.cat([said.flip(1), first], dim=1), "first 17 of input_ids= are not those")):  # fmt: skip
            with pytest.raises(InputError, match=why):
                bounded.generate(input_ids=ids, cache=cache, max_new_tokens=2)
        assert cache.seen == 17  # and nothing of it was read
        more = torch.cat([said, first], dim=1)
        with torch.no_grad():  # a loop of one's own may go on in between
            model(input_ids=more[:, 17:20], **bounded.past(cache))
        assert bounded.generate(input_ids=more, cache=cache, max_new_tokens=2).shape == (1, 32)
        cache.reset()
        assert bounded.generate(input_ids=first.flip(1), cache=cache, max_new_tokens=2).shape == (1, 14)
    with pytest.raises(InputError, match="no policy is attached any more"):
        bounded.generate(input_ids=first, max_new_tokens=2)


def test_rows_and_beams_that_changed_places_are_not_mistaken(tiny: Factory, tokens: Factory) -> None:
    model, first = tiny("llama"), tokens(2, 12)
    with attach(model, FullCache()) as bounded:
        cache = bounded.new_cache()
        said = bounded.generate(input_ids=first, cache=cache, max_new_tokens=4)
        cache.batch_select_indices(torch.tensor([1, 0]))
        turn = torch.cat([said.flip(0), first], dim=1)
        assert bounded.generate(input_ids=turn, cache=cache, max_new_tokens=2).shape == (2, 30)
        beams = bounded.new_cache()
        bounded.generate(input_ids=first, cache=beams, max_new_tokens=4, num_beams=2)
        assert beams.history is None


def test_a_streamer_hears_every_token(tiny: Factory, tokens: Factory, tokenizer: Any) -> None:
    class Listener(TextStreamer):
        heard: list[int] = []  # noqa: RUF012 - one listener, one test

        def put(self, value: Any) -> None:
            self.heard += value.flatten().tolist()

    model, ids = tiny("llama"), tokens(1, 12)
    with attach(model, FullCache()) as bounded:
        said = bounded.generate(input_ids=ids, max_new_tokens=6, streamer=Listener(tokenizer))
    assert Listener.heard == said[0].tolist()


# ------------------------------------------------------------------------------------------------------------------ padding


@pytest.mark.parametrize("name", ["trimkv", "streaming", "random", "full"])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_padded_row_is_the_row_alone(family: str, name: str, tiny: Factory, tokens: Factory) -> None:
    model, ids, mask = tiny(family), tokens(2, 40), left_padded(2, 40, 7)
    policy: Policy = {
        "trimkv": gated(model, budget=10, buffer=3), "streaming": StreamingLLM(budget=10, buffer=3, sinks=2),
        "random": RandomEviction(budget=10, buffer=3, recent=2), "full": FullCache(),
    }[name]  # fmt: skip
    with attach(model, policy) as bounded:
        cache, lone = bounded.new_cache(), bounded.new_cache()
        together = fed(model, ids, (17, 9, 1, 1, 12), bounded.past(cache), mask)
        alone = fed(model, ids[1:, 7:], (10, 9, 1, 1, 12), bounded.past(lone))
    assert (together[1, 7:] - alone[0]).abs().max() <= TOLERANCE
    if name != "full":
        assert lone.stats().evicted > 0


def test_a_row_does_not_know_its_batch(tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(3, 40)
    policy = gated(model, budget=10, buffer=3)
    with attach(model, policy) as bounded:
        together = fed(model, ids, SPLITS["pieces"], bounded.past(bounded.new_cache()))
        alone = fed(model, ids[1:2], SPLITS["pieces"], bounded.past(bounded.new_cache()))
    assert (together[1] - alone[0]).abs().max() <= TOLERANCE
