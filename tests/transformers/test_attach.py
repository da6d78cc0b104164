"""Attaching is a matter of a block: nothing before it, nothing after it, and whatever a bounded cache cannot do is refused in it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers import DynamicCache  # noqa: E402

from tierkeep.errors import InputError, SettingsError  # noqa: E402
from tierkeep_transformers import BoundedCache, FullCache, GateSet, StreamingLLM, TrimKV, attach  # noqa: E402
from tierkeep_transformers.families import layout_of  # noqa: E402

ROOT = Path(__file__).parents[2]
Factory = Callable[..., Any]
SMALL = StreamingLLM(budget=10, buffer=3, sinks=2)


@torch.no_grad()
def logits(model: Any, ids: Any, **more: Any) -> Any:
    return model(input_ids=ids, **more).logits


def hooks_of(model: Any) -> int:
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


# -------------------------------------------------------------------------------------------------------- before and after


def in_a_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": ":".join(str(ROOT / part) for part in ("core", "integrations")), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_patches_nothing() -> None:
    code = (
        "from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as found\n"
        "from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS as masks\n"
        "before = dict(found.items()), dict(masks.items())\n"
        "import tierkeep_transformers\n"
        "print(before == (dict(found.items()), dict(masks.items())), len(before[0]) > 2)"
    )
    assert in_a_new_process(code) == "True True"


def test_the_core_needs_no_torch() -> None:
    assert in_a_new_process("import sys, tierkeep; print({'torch', 'transformers'} & set(sys.modules))") == "set()"


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_afterwards_the_model_is_what_it_was(family: str, attention: str, build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny(family, attention=attention), tokens(2, 40)
    before = logits(model, ids)
    with attach(model, SMALL) as bounded:
        bounded.generate(input_ids=ids, max_new_tokens=3)
        assert model.config.get_text_config()._attn_implementation == "tierkeep_bounded"
    assert torch.equal(logits(model, ids), before)
    assert (model.config._attn_implementation, hooks_of(model)) == (attention, 0)


def test_afterwards_means_after_an_error_too(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(2, 40)
    before = logits(model, ids)
    with pytest.raises(KeyError, match="mine"), attach(model, SMALL) as bounded:
        bounded.generate(input_ids=ids, max_new_tokens=2)
        raise KeyError("mine")
    assert torch.equal(logits(model, ids), before)
    assert (model.config._attn_implementation, hooks_of(model)) == ("sdpa", 0)
    with attach(model, SMALL):
        pass


def test_one_policy_at_a_time(build_tiny: Factory, tokens: Factory) -> None:
    model = build_tiny("llama")
    with attach(model, SMALL):
        for again in (model, model.model):
            with pytest.raises(SettingsError, match=r"attached to this Llama.* already"), attach(again, FullCache()):
                pass
        assert model.config._attn_implementation == "tierkeep_bounded"
    assert model.config._attn_implementation == "sdpa"


def test_two_models_at_once(build_tiny: Factory, tokens: Factory) -> None:
    one, two, ids = build_tiny("llama"), build_tiny("qwen3", seed=1), tokens(1, 30)
    alone = []
    for model in (one, two):
        with attach(model, SMALL) as bounded:
            alone.append(bounded.generate(input_ids=ids, max_new_tokens=8))
    with attach(one, SMALL) as first, attach(two, SMALL) as second:
        assert torch.equal(first.generate(input_ids=ids, max_new_tokens=8), alone[0])
        assert torch.equal(second.generate(input_ids=ids, max_new_tokens=8), alone[1])
    assert logits(one, ids).shape == logits(two, ids).shape


def test_the_decoder_alone_can_be_attached_to(tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama").model, tokens(2, 20)
    with torch.no_grad():
        before = model(input_ids=ids).last_hidden_state
        with attach(model, FullCache()) as bounded:
            assert torch.equal(model(ids, **bounded.past(bounded.new_cache())).last_hidden_state, before)


# --------------------------------------------------------------------------------------------------------- inside the block


@pytest.mark.parametrize(("family", "attention"), [("llama", "sdpa"), ("llama", "eager"), ("gemma2", "eager"), ("gemma3", "sdpa")])
def test_calls_without_a_bounded_cache_are_as_ever(family: str, attention: str, tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny(family, attention=attention), tokens(2, 24)
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    # Nobody reads what padding says: sdpa and eager attention of transformers differ there.
    before, padded = logits(model, ids), logits(model, ids, attention_mask=mask)[mask.bool()]
    with attach(model, SMALL) as bounded:
        assert (logits(model, ids) - before).abs().max() <= 1e-5
        assert (logits(model, ids, attention_mask=mask)[mask.bool()] - padded).abs().max() <= 1e-5
        stock = bounded.past(DynamicCache(config=model.config))  # type: ignore[arg-type]
        pieces = [logits(model, ids[:, start : start + 8], **stock) for start in (0, 8, 16)]
        assert (torch.cat(pieces, 1) - before).abs().max() <= 1e-5


def test_training_goes_on_as_ever(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(2, 24)
    model.train()

    def gradient() -> Any:
        model.zero_grad()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return model.model.layers[0].self_attn.k_proj.weight.grad.clone()

    before = gradient()
    with attach(model, SMALL):
        assert model.training
        assert torch.allclose(gradient(), before, atol=1e-6)
    assert torch.equal(gradient(), before)


def test_two_threads_on_one_model(build_tiny: Factory, tokens: Factory) -> None:
    """Each has a cache of its own, and hears what it would hear alone: the threads change as often as Python lets them."""
    model = build_tiny("llama", num_hidden_layers=4)
    torch.manual_seed(3)
    policy = TrimKV(budget=12, buffer=2, gates=GateSet.fresh(layout_of(model), hidden=8, bias=1.0))
    prompts = [tokens(1, 20, seed) for seed in range(3)]
    said: dict[int, Any] = {}
    interval = sys.getswitchinterval()
    with attach(model, policy) as bounded:
        alone = [bounded.generate(input_ids=prompt, max_new_tokens=25, eos_token_id=-1) for prompt in prompts]

        def generate(number: int) -> None:
            said[number] = bounded.generate(input_ids=prompts[number], max_new_tokens=25, eos_token_id=-1)

        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=generate, args=(number,)) for number in range(len(prompts))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
    for number, expected in enumerate(alone):
        assert torch.equal(said[number], expected)


# ----------------------------------------------------------------------------------------------------------------- refusals


def test_a_cache_outlives_its_block_but_is_not_read(build_tiny: Factory, tokens: Factory) -> None:
    """The attention of transformers would read its slots as the last tokens, and say nothing."""
    model, ids = build_tiny("llama"), tokens(1, 30)
    with attach(model, SMALL) as bounded:
        cache = bounded.new_cache()
        past = bounded.past(cache)
        logits(model, ids, **past)
    with pytest.raises(InputError, match="no policy is attached"):
        logits(model, ids[:, :1], **past)
    with pytest.raises(InputError, match="no policy is attached"):
        bounded.generate(input_ids=ids, max_new_tokens=1)
    assert cache.stats().seen == 30
    with attach(model, StreamingLLM(budget=10, buffer=3, sinks=2)) as again:  # the same model and settings: it may go on
        logits(model, ids[:, :1], **again.past(cache))


def test_a_cache_of_another_policy_or_model(build_tiny: Factory, tokens: Factory) -> None:
    one, two, ids = build_tiny("llama"), build_tiny("llama", seed=1), tokens(1, 12)
    with attach(one, SMALL) as first, attach(two, SMALL) as second:
        with pytest.raises(InputError, match="another model"):
            logits(one, ids, **first.past(second.new_cache()))
        other = BoundedCache(first.layout, StreamingLLM(budget=11, buffer=3, sinks=2))
        with pytest.raises(InputError, match="StreamingLLM with other settings"):
            logits(one, ids, **first.past(other))


def test_a_call_that_broke_off_leaves_no_cache_behind(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(1, 12)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with attach(model, SMALL) as bounded:
        cache = bounded.new_cache()
        handle = model.model.layers[1].register_forward_pre_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            logits(model, ids, **bounded.past(cache))
        handle.remove()
        with pytest.raises(InputError, match="broke off"):
            logits(model, ids, **bounded.past(cache))
        cache.reset()
        logits(model, ids, **bounded.past(cache))


def test_a_call_that_broke_off_in_a_layer_with_a_window(build_tiny: Factory, tokens: Factory) -> None:
    """The one bounded layer of this model is its last: it has seen nothing, and those before it everything."""
    model, ids = build_tiny("gemma3"), tokens(1, 12)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with attach(model, SMALL) as bounded:
        cache = bounded.new_cache()
        for _ in range(2):  # of a new cache, and of one that was reset
            handle = model.model.layers[3].register_forward_pre_hook(stop)
            with pytest.raises(KeyboardInterrupt):
                logits(model, ids, **bounded.past(cache))
            handle.remove()
            with pytest.raises(InputError, match="broke off"):
                logits(model, ids, **bounded.past(cache))
            cache.reset()
            logits(model, ids, **bounded.past(cache))
            cache.reset()


def test_arguments_without_their_names(build_tiny: Factory, tokens: Factory) -> None:
    """A mask is heeded, and a cache is known, wherever in the call they stand."""
    model, ids = build_tiny("llama"), tokens(2, 12)
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    with attach(model, SMALL) as bounded, torch.no_grad():
        named = model.model(input_ids=ids, attention_mask=mask, **bounded.past(bounded.new_cache())).last_hidden_state
        for called in (model, model.model):
            said = called(ids, mask, None, bounded.new_cache())
            assert torch.equal(said.last_hidden_state if called is model.model else said.logits, named if called is model.model else
                               model.lm_head(named))  # fmt: skip
        with pytest.raises(InputError, match="2-D"):
            model.model(ids, mask[None], None, bounded.new_cache())


def test_a_cache_is_used_whatever_the_configuration_says(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(1, 12)
    said = model.generate(input_ids=ids, max_new_tokens=6)
    model.generation_config.use_cache = False  # as it is after training
    with attach(model, FullCache()) as bounded:
        cache = bounded.new_cache()
        assert torch.equal(bounded.generate(input_ids=ids, cache=cache, max_new_tokens=6), said)
        assert cache.seen == said.shape[1] - 1
        with pytest.raises(InputError, match="use_cache=False"):
            bounded.generate(input_ids=ids, max_new_tokens=6, use_cache=False)


def test_a_prompt_of_embeddings(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(1, 12)
    embedded = model.get_input_embeddings()(ids)
    with attach(model, FullCache()) as bounded:
        ours = bounded.generate(inputs_embeds=embedded, max_new_tokens=6)
    assert torch.equal(ours, model.generate(inputs_embeds=embedded, max_new_tokens=6))


def test_a_cache_that_was_filled_in_inference_mode_goes_on_outside_of_it(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(2, 24)
    with attach(model, SMALL) as bounded:
        one, two = bounded.new_cache(), bounded.new_cache()
        expected = [logits(model, part, **bounded.past(one)) for part in ids.split(12, dim=1)]
        with torch.inference_mode():
            logits(model, ids[:, :12], **bounded.past(two))
        assert torch.equal(logits(model, ids[:, 12:], **bounded.past(two)), expected[1])


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_copy_goes_on_by_itself(family: str, build_tiny: Factory, tokens: Factory) -> None:
    """As it is done with a prompt that many questions share; gates, model and policy are not copied."""
    model, ids = build_tiny(family), tokens(2, 36)
    policy = TrimKV(budget=12, buffer=2, gates=GateSet.fresh(layout_of(model), hidden=8, bias=1.0))
    with attach(model, policy) as bounded:
        cache = bounded.new_cache()
        logits(model, ids[:, :20], **bounded.past(cache))
        copied = deepcopy(cache)
        assert copied.policy is policy
        assert copied.layout is cache.layout
        assert all(copied.layers[index] is layer and layer is not cache.bounded[index] for index, layer in copied.bounded.items())
        first = logits(model, ids[:, 20:], **bounded.past(cache))
        assert torch.equal(logits(model, ids[:, 20:], **bounded.past(copied)), first)


def test_to_main_memory_and_back(build_tiny: Factory, tokens: Factory) -> None:
    model, ids = build_tiny("llama"), tokens(2, 24)
    with attach(model, SMALL) as bounded:
        cache = bounded.new_cache()
        logits(model, ids[:, :12], **bounded.past(cache))
        before = cache.bounded[0].slots["key"].clone()
        for layer in cache.bounded.values():
            layer.offload()
            layer.prefetch()
        assert torch.equal(cache.bounded[0].slots["key"], before)


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (torch.ones(1, 1, 12, 12), "2-D"), ({"full_attention": None}, "2-D"), (torch.ones(1, 11), "11 columns.*seen 0.*12 are new"),
        (torch.ones(1, 13), "13 columns"), ("causal", "2-D"),
    ],
    ids=["4-D", "dict-of-a-wrapper", "short", "long", "text"],
)  # fmt: skip
def test_masks(mask: Any, match: str, tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(1, 12)
    with attach(model, SMALL) as bounded, torch.no_grad():
        past = bounded.past(bounded.new_cache())
        with pytest.raises(InputError, match=match):
            model(input_ids=ids, attention_mask=mask, **past)


def test_packed_sequences_and_other_rows(tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(2, 12)
    with attach(model, SMALL) as bounded:
        with pytest.raises(InputError, match="packed"):
            logits(model, ids, cu_seq_lens_q=torch.tensor([0, 6, 12]), **bounded.past(bounded.new_cache()))
        cache = bounded.new_cache()
        logits(model, ids[:1], **bounded.past(cache))
        with pytest.raises(InputError, match="holds 1 rows, and 2 come"):
            logits(model, ids, **bounded.past(cache))


@pytest.mark.parametrize(
    "options",
    [{"prompt_lookup_num_tokens": 3}, {"assistant_model": object()}, {"cache_implementation": "static"}],
    ids=lambda options: next(iter(options)),
)
def test_what_generate_may_not_be_asked(options: dict[str, Any], tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(1, 12)
    with attach(model, SMALL) as bounded, pytest.raises(InputError, match=next(iter(options))):
        bounded.generate(input_ids=ids, max_new_tokens=4, **options)


@pytest.mark.parametrize("settings", [{"prompt_lookup_num_tokens": 3}, {"cache_implementation": "static"}], ids=["lookup", "static"])
def test_nor_by_way_of_its_configuration(settings: dict[str, Any], tiny: Factory, tokens: Factory) -> None:
    config = transformers.GenerationConfig(max_new_tokens=4, **settings)
    with attach(tiny("llama"), SMALL) as bounded, pytest.raises(InputError, match=next(iter(settings))):
        bounded.generate(input_ids=tokens(1, 12), generation_config=config)


def test_taking_tokens_back_is_refused_by_the_cache_itself(tiny: Factory, tokens: Factory) -> None:
    model, ids = tiny("llama"), tokens(1, 12)
    with attach(model, SMALL) as bounded:
        cache = bounded.new_cache()
        with pytest.raises((InputError, ValueError), match="crop"):
            model.generate(input_ids=ids, max_new_tokens=4, prompt_lookup_num_tokens=3, **bounded.past(cache))
        with pytest.raises(InputError, match="cannot be cropped"):
            cache.crop(-1)
        assert not cache.is_compileable


def test_compiled_models(build_tiny: Factory) -> None:
    in_place, by_forward = build_tiny("llama"), build_tiny("llama")
    in_place.compile(backend="eager")
    by_forward.forward = torch.compile(by_forward.forward, backend="eager")
    for compiled in (torch.compile(build_tiny("llama"), backend="eager"), in_place, by_forward):
        with pytest.raises(SettingsError, match="compiled model"), attach(compiled, SMALL):
            pass


def test_models_that_are_no_decoders() -> None:
    config = transformers.T5Config(
        vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0
    )
    with pytest.raises(SettingsError, match="has an encoder"), attach(transformers.T5ForConditionalGeneration(config), SMALL):
        pass
    with pytest.raises(SettingsError, match="not a Linear"), attach(torch.nn.Linear(2, 2), SMALL):
        pass


def test_policies_that_do_not_fit(tiny: Factory) -> None:
    model = tiny("llama")
    gates = GateSet.fresh(layout_of(tiny("gemma3")), hidden=8)
    for policy, match in (
        (StreamingLLM(budget=[10, 10, 10]), "3 numbers; the model has 2 layers"), (TrimKV(budget=8, gates=gates), "gate for layer 5, which")
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=match), attach(model, policy):
            pass
        assert hooks_of(model) == 0


@pytest.mark.parametrize(
    ("policy", "codec", "why"),
    [("snapkv", None, "such as SnapKV"), (None, None, "such as SnapKV"), (StreamingLLM, None, "the class StreamingLLM"),
     (StreamingLLM(budget=8), "int8", "such as Int8")],
    ids=["name", "none", "class", "codec"],
)  # fmt: skip
def test_what_is_no_policy_and_no_codec_is_refused(policy: Any, codec: Any, why: str, tiny: Factory) -> None:
    with pytest.raises(SettingsError, match=why), attach(tiny("llama"), policy, codec=codec):
        pass


def test_images_are_refused(tiny: Factory, tokens: Factory) -> None:
    model = tiny("gemma3-multimodal")
    with attach(model, FullCache()) as bounded, pytest.raises(InputError, match="pixel_values"):
        logits(model, tokens(1, 12), pixel_values=torch.zeros(1, 3, 28, 28), **bounded.past(bounded.new_cache()))


def test_attention_weights_are_not_given(tiny: Factory, tokens: Factory) -> None:
    model = tiny("llama")
    with attach(model, FullCache()) as bounded, torch.no_grad():
        said = model(input_ids=tokens(1, 12), output_attentions=True, **bounded.past(bounded.new_cache()))
    assert all(weights is None for weights in said.attentions or (None,))
