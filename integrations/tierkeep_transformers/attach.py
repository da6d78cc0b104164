"""Attaches a policy to a model for as long as a `with` block lasts. Nothing is patched: hooks and an attention function come and go."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import __version__ as transformers_version

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers.attention import NAME, bind, register
from tierkeep_transformers.cache import BoundedCache
from tierkeep_transformers.codecs import Codec
from tierkeep_transformers.families import Layout, layout_of
from tierkeep_transformers.going_on import expect_continuation, history_of
from tierkeep_transformers.policies.policy import Need, Policy

__all__ = ["Bounded", "attach", "check_parts"]

_attached: WeakSet[PreTrainedModel] = WeakSet()

#: Older versions feed a prompt that is read in chunks from its beginning, although the cache has seen a part of it. There, what follows
#: is read at once. 5.24 is the oldest one in which chunks were seen to go on.
_CHUNKS_GO_ON = tuple(int(part) for part in transformers_version.split(".")[:2]) >= (5, 24)
#: What `generate` may not be asked for with a bounded cache, and why.
_REFUSED = {
    "assistant_model": "assisted decoding takes tokens back, and eviction is final",
    "assistant_early_exit": "assisted decoding takes tokens back, and eviction is final",
    "prompt_lookup_num_tokens": "prompt lookup takes tokens back, and eviction is final",
    "cache_implementation": "the bounded cache is the implementation",
}


class Bounded:
    """A model with a policy attached. Made by `attach`.

    Args:
        model: The model.
        layout: Its layers.
        policy: What they keep.
        codec: How keys and values are stored.
    """

    def __init__(self, model: PreTrainedModel, layout: Layout, policy: Policy, codec: Codec | None) -> None:
        self.model = model
        self.layout = layout
        self.policy = policy
        self.codec = codec
        self._over = False

    def end(self) -> None:
        """Say that the block is over: from now on nothing is generated here."""
        self._over = True

    def new_cache(self) -> BoundedCache:
        """Return an empty cache, for one call of `generate` or one conversation."""
        return BoundedCache(self.layout, self.policy, self.codec)

    def past(self, cache: BoundedCache) -> dict[str, Any]:
        """Return a cache under the name that the model has for it: `model(**inputs, **bounded.past(cache))`."""
        return {self.layout.cache_argument: cache}

    def generate(self, *args: Any, cache: BoundedCache | None = None, **options: Any) -> Any:
        """Return what `model.generate` returns, with a bounded cache.

        The prompt is read in chunks, so that it is never in memory as a whole; `prefill_chunk_size=` says how long they are. Before
        transformers 5.24 the later turns of a conversation are read at once, and so is a prompt of `inputs_embeds=`.

        Args:
            args: As `model.generate` takes them.
            cache: The cache of the conversation so far, whose tokens `input_ids=` begins with; a new one by default.
            options: As `model.generate` takes them.

        Raises:
            InputError: Something is asked for that a bounded cache cannot do: assisted decoding, a cache of another kind, or none; or a
                conversation does not go on where its cache stands.
        """
        if self._over:
            raise InputError("no policy is attached any more: call generate inside of its `with attach(…)` block")
        config = options.get("generation_config") or self.model.generation_config
        for name, why in _REFUSED.items():
            if options.get(name) is not None or getattr(config, name, None) is not None:
                raise InputError(f"{name}= does not go with a bounded cache: {why}. Leave it out, or call generate outside of the block")
        if options.get("use_cache") is False:
            raise InputError("use_cache=False does not go with a bounded cache, which would be given all tokens again with each new one")
        options["use_cache"] = True  # whatever the configuration says: those of models in training say no
        cache = self.new_cache() if cache is None else cache
        # transformers cuts ids alone into chunks: embeddings are read at once.
        if options.get("inputs_embeds") is None and (not cache.seen or _CHUNKS_GO_ON):
            options.setdefault("prefill_chunk_size", self.chunk)
        given = options.get("input_ids", options.get("inputs", args[0] if args else None))
        if isinstance(given, Tensor):
            expect_continuation(cache, given)
        made = self.model.generate(*args, **options, **self.past(cache))
        cache.history = history_of(cache, getattr(made, "sequences", made)) if isinstance(given, Tensor) else None
        return made

    @property
    def chunk(self) -> int:
        """Tokens of a prompt that are read at once: half a budget, and no fewer than 256 or more than 2,048."""
        return min(max(256, min(self.policy.budgets) // 2), 2048)


@contextmanager
def attach(model: PreTrainedModel, policy: Policy, *, codec: Codec | None = None) -> Iterator[Bounded]:
    """Run a model in bounded memory.

    Inside the block, `Bounded.generate` and calls with a cache of `Bounded.new_cache` are bounded; calls with any other cache, or none,
    run as ever. At the end the model is what it was.

    Args:
        model: A decoder of transformers.
        policy: Which slots are kept. Its gates, if it has any, are moved to where the model's layers are.
        codec: How keys and values are stored; as they are by default.

    Raises:
        SettingsError: The model has no layer that can be bounded, the policy does not fit it, or one is attached already.
    """
    check_parts(policy, codec)
    layout = layout_of(model)
    _fit(layout, policy)
    if layout.decoder in _attached:
        raise SettingsError(f"a policy is attached to this {type(model).__name__} already: leave that block first")
    register()
    before = layout.config._attn_implementation
    with ExitStack() as stack:
        _attached.add(layout.decoder)
        stack.callback(_attached.discard, layout.decoder)
        stack.callback(bind, None, None)
        stack.callback(layout.decoder.set_attn_implementation, before)
        layout.decoder.set_attn_implementation(NAME)
        if model is not layout.decoder:
            stack.callback(model.register_forward_pre_hook(_note_mask, with_kwargs=True).remove)
        stack.callback(layout.decoder.register_forward_pre_hook(_beginner(layout, policy), with_kwargs=True).remove)
        for index, module in layout.attention.items():
            stack.callback(module.register_forward_pre_hook(_teller(index, policy), with_kwargs=True).remove)
        bounded = Bounded(model, layout, policy, codec)
        stack.callback(bounded.end)
        yield bounded


def check_parts(policy: object, codec: object) -> None:
    """Check what `attach` is given, as far as it can be told without a model.

    Raises:
        SettingsError: It is no policy, or no codec.
    """
    if not isinstance(policy, Policy):
        raise SettingsError(f"policy= is an object such as SnapKV(budget=1024), not {_kind(policy)}")
    if codec is not None and not isinstance(codec, Codec):
        raise SettingsError(f"codec= is an object such as Int8(), not {_kind(codec)}")


def _fit(layout: Layout, policy: Policy) -> None:
    if len(policy.budgets) not in (1, layout.depth):
        raise SettingsError(f"budget= has {len(policy.budgets)} numbers; the model has {layout.depth} layers")
    gates = getattr(policy, "gates", None)
    if gates is not None:
        gates.check(layout)
        gates.place(layout)


def _kind(value: object) -> str:
    return f"the class {value.__name__}: make an object of it" if isinstance(value, type) else f"a {type(value).__name__}"


# -------------------------------------------------------------------------------------------------------------------- hooks


def _note_mask(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run before the whole model: a multimodal one hands its decoder masks of its own making, and only here the padding is still known."""
    kwargs = _named(model, args, kwargs)
    cache = _cache_of(kwargs)
    if cache is not None:
        if kwargs.get("pixel_values") is not None:
            raise InputError("images attend to one another in both directions, which a bounded cache does not do: leave pixel_values= out")
        cache.note_mask(kwargs.get("attention_mask"))


def _beginner(layout: Layout, policy: Policy) -> Any:
    """Return the hook that runs before the decoder: it prepares the cache of the call."""

    def begin(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kwargs = _named(decoder, args, kwargs)
        cache = _cache_of(kwargs)
        if cache is None:
            return
        if cache.layout.decoder is not layout.decoder:
            raise InputError("this cache was made for another model: take one of this block's new_cache()")
        if cache.policy is not policy and cache.policy != policy:
            raise InputError(f"this cache was made for {cache.policy.name} with other settings: take one of this block's new_cache()")
        if any(name.startswith("cu_seq_lens") for name in kwargs):
            raise InputError("sequences that are packed into one row cannot be told apart in a bounded cache: pad them instead")
        embedded = kwargs.get("inputs_embeds")
        given: Tensor = embedded if embedded is not None else kwargs["input_ids"]
        cache.begin(kwargs.get("attention_mask"), given.shape[1])

    return begin


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments of a call by name: a mask without its name is a mask too."""
    return {**dict(zip(_parameters(type(module).forward), args, strict=False)), **kwargs} if args else kwargs


@lru_cache(maxsize=64)
def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(forward).parameters)[1:]  # without self


def _cache_of(kwargs: dict[str, Any]) -> BoundedCache | None:
    """Return the bounded cache of a call, whatever the model's version calls it."""
    for value in kwargs.values():
        if isinstance(value, BoundedCache):
            return value
    return None


def _teller(index: int, policy: Policy) -> Any:
    """Return the hook that runs before a layer's attention: it says which cache is meant, and what the gates say of the new tokens."""

    def tell(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cache = _cache_of(kwargs)
        bind(module, cache)
        if cache is None:
            return
        layer = cache.bounded[index]
        layer.open()
        if Need.GATE in policy.needs:
            hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
            with torch.no_grad():
                layer.tell(Need.GATE, policy.gates.of(index, hidden))  # type: ignore[attr-defined]

    return tell
