"""Tiny decoders of each family, made from configurations, and a tokenizer that knows bytes: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402 - only where the extra is installed
from torch import Tensor, nn  # noqa: E402

#: Tokens of the tokenizer that are no bytes, in the order of their ids.
SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>")
#: Bytes and special tokens. All tiny models have so many.
VOCABULARY = 256 + len(SPECIAL)

CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

_SHARED: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 32768, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": False,
}  # fmt: skip
_WINDOW = 12
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2}
_GEMMA3: dict[str, Any] = {"num_hidden_layers": 6, "sliding_window": _WINDOW, "query_pre_attn_scalar": 16}

#: What each family adds: the configuration's class, and its own settings.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "mistral-window": ("MistralConfig", {"sliding_window": _WINDOW}),  # each layer has a window: there is nothing to bound
    "gemma2": ("Gemma2Config", {"sliding_window": _WINDOW, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 5.0}),
    "gemma3": ("Gemma3TextConfig", _GEMMA3),  # five layers with a window, and one without
    "mixtral": ("MixtralConfig", {"sliding_window": None, "num_local_experts": 4, **_EXPERTS}),
    "qwen3-moe": ("Qwen3MoeConfig", {"num_experts": 4, "moe_intermediate_size": 48, **_EXPERTS}),
    "phi3": ("Phi3Config", {}),
}


def _initialise(model: Any, seed: int) -> None:
    """Draw weights large enough that attention is far from uniform: a cache with a wrong slot then gives other logits."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            spread = 0.3 if any(part in name for part in ("q_proj", "k_proj", "qkv_proj")) else 0.08
            nn.init.normal_(parameter, std=spread, generator=generator)


@cache
def _config(family: str) -> Any:
    name, own = FAMILIES[family]
    settings = {**_SHARED, **own}
    if name == "Phi3Config":
        del settings["head_dim"]
    return getattr(transformers, name)(**settings)


def build(family: str, *, attention: str = "sdpa", seed: int = 0, **changes: Any) -> Any:
    """Return a new tiny causal model in evaluation mode.

    Args:
        family: One of `FAMILIES`, or "gemma3-multimodal".
        attention: The attention implementation.
        seed: Of the weights.
        changes: Settings of the configuration, such as `num_hidden_layers`.
    """
    if family == "gemma3-multimodal":
        vision = transformers.SiglipVisionConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
        )
        text = {**_SHARED, **_GEMMA3, **changes}
        config = transformers.Gemma3Config(
            text_config=text, vision_config=vision.to_dict(), mm_tokens_per_image=4, image_token_index=7, boi_token_index=5,
            eoi_token_index=6, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        model = transformers.Gemma3ForConditionalGeneration._from_config(config, attn_implementation=attention)
    else:
        config = type(_config(family)).from_dict({**_config(family).to_dict(), **changes})
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    _initialise(model, seed)
    return model.eval()


@pytest.fixture(scope="session", autouse=True)
def quiet_threads() -> Iterator[None]:
    """One thread: tiny matrices gain nothing from more, and sums come out the same everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Any]:
    """Return a factory of tiny models, `tiny("llama")`, `tiny("gemma2", attention="eager")`; one model per wish, shared by all tests.

    A test that changes a model makes its own with `build_tiny`.
    """
    return cache(build)


@pytest.fixture(scope="session")
def build_tiny() -> Callable[..., Any]:
    """Return the factory itself: a new model at each call."""
    return build


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A tokenizer with a token for each byte, and a chat template of roles between special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bare.decoder = decoders.ByteLevel()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bare, padding_side="left", additional_special_tokens=list(SPECIAL[3:]),
        **dict(zip(("pad_token", "bos_token", "eos_token"), SPECIAL, strict=False)),
    )  # fmt: skip
    made.chat_template = CHAT_TEMPLATE
    return made


@pytest.fixture(scope="session")
def tokens() -> Callable[..., Tensor]:
    """Return a source of token ids without special ones: `tokens(batch, length, seed)`."""

    def draw(batch: int, length: int, seed: int = 0) -> Tensor:
        return torch.randint(len(SPECIAL), VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))

    return draw
