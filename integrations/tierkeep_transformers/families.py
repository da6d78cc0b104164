"""What has to be known of a model: where its attention layers are, which of them keep everything, and how large they are."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

from tierkeep.errors import SettingsError

__all__ = ["Layout", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """The attention layers of a decoder.

    Attributes:
        decoder: The part of the model that has the layers.
        attention: The attention module of each layer that keeps all tokens, by its index.
        hidden: Numbers in a hidden state.
        kv_heads: KV heads of a layer.
        heads: Query heads of a layer.
        head_dim: Numbers in a key.
        depth: Layers of the decoder, all kinds.
        activation: The activation of the model's own networks.
    """

    decoder: PreTrainedModel
    attention: dict[int, nn.Module]
    hidden: int
    kv_heads: int
    heads: int
    head_dim: int
    depth: int
    activation: str

    @property
    def config(self) -> Any:
        """The decoder's configuration."""
        return self.decoder.config

    @cached_property
    def cache_argument(self) -> str:
        """What the model calls its cache: `cache`, and before transformers 5.24 `past_key_values`."""
        return "cache" if "cache" in inspect.signature(type(self.decoder).forward).parameters else "past_key_values"

    def stock_layers(self) -> list[CacheLayerMixin]:
        """Return the cache layers that transformers would use, one for each layer of the decoder."""
        return list(DynamicCache(config=self.config).layers)


def layout_of(model: PreTrainedModel) -> Layout:
    """Return the attention layers of a model.

    Layers with a sliding window of their own hold few tokens anyway, and are left as they are.

    Raises:
        SettingsError: It is no decoder whose layers can be bounded.
    """
    _refuse_compiled(model)
    if not isinstance(model, PreTrainedModel):
        raise SettingsError(f"hand over a decoder such as AutoModelForCausalLM.from_pretrained(…), not a {type(model).__name__}")
    if model.config.is_encoder_decoder:
        raise SettingsError(f"{type(model).__name__} has an encoder; only decoders can be bounded")
    decoder = model.get_decoder()
    config = decoder.config.get_text_config(decoder=True)
    plain = {index for index, layer in enumerate(DynamicCache(config=config).layers) if type(layer) is DynamicLayer}
    found = {int(module.layer_idx): module for module in decoder.modules() if _is_attention(module)}
    attention = {index: found[index] for index in sorted(plain & set(found))}
    if not attention:
        raise SettingsError(f"{type(model).__name__} has no attention layer that keeps all tokens: there is nothing to bound")
    heads = config.num_attention_heads
    return Layout(
        decoder=decoder,
        attention=attention,
        hidden=config.hidden_size,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        heads=heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        depth=config.num_hidden_layers,
        activation=str(getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", "silu")),
    )


def _refuse_compiled(model: Any) -> None:
    """Refuse what torch.compile made, in each of its forms: the graph would not run our hooks, or run those of one moment for ever."""
    parts = [model, *model.modules()] if isinstance(model, nn.Module) else []
    if hasattr(model, "_orig_mod") or any(
        part._compiled_call_impl is not None or hasattr(part.forward, "_torchdynamo_orig_callable") for part in parts
    ):
        raise SettingsError("a compiled model cannot be bounded, because hooks do not run in its graph: hand over the model itself")


def _is_attention(module: nn.Module) -> bool:
    """Return whether a module is the attention of a layer: they all know their layer and project keys, alone or with the queries."""
    return getattr(module, "layer_idx", None) is not None and any(hasattr(module, name) for name in ("k_proj", "qkv_proj"))
