"""The attention of training: everything is kept, and what the gates would forget counts less (TRIM-KV, section 1.4 of the method).

Like `attach` it comes as a context manager, with hooks and an attention function of its own name, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers.attention import NAME as BOUNDED
from tierkeep_transformers.families import Layout, layout_of
from tierkeep_transformers.gates import GateSet

__all__ = ["BLOCK", "NAME", "Form", "Gated", "gated", "gated_attention"]

#: Under what name transformers knows it.
NAME = "tierkeep_gated"
#: Queries that are worked on at once, so that memory stays linear in the length.
BLOCK = 256

#: How the gates' word enters attention: as `(t - i) * log beta` added to the logit (the paper); as beta^(t-i) multiplied with the logit
#: (the eager function of the authors' code, for ablation only); as `log(u + eps)` outside a window (the way of SP-KV).
Form = Literal["log_bias", "logit_mul", "window"]
#: What keeps log(u + eps) finite.
_EPS = 1e-6


class Gated:
    """A model whose attention is gated. Made by `gated`.

    Args:
        layout: The model's layers.
        gates: Its gates.
        form: How their word enters attention.
        block: Queries that are worked on at once.
        window: For the form "window": the newest tokens that are not gated.

    Attributes:
        log_beta: What the gates said in the last call, by layer: (batch, KV heads, tokens), fp32. Each call replaces it, and so does the
            replay of a layer under gradient checkpointing.
    """

    def __init__(self, layout: Layout, gates: GateSet, form: Form, block: int, window: int) -> None:
        self.layout = layout
        self.gates = gates
        self.form = form
        self.block = block
        self.window = window
        self.log_beta: dict[int, Tensor] = {}
        self._on = True

    @property
    def on(self) -> bool:
        """Whether the gates count. Off, the model is what it was."""
        return self._on

    @contextmanager
    def off(self) -> Iterator[None]:
        """Let the model attend as it does without gates: it is its own teacher."""
        before, self._on = self._on, False
        try:
            yield
        finally:
            self._on = before

    def biased(self, logits: Tensor, age: Tensor, log_beta: Tensor) -> Tensor:
        """Return logits with the gates' word in them.

        Args:
            logits: (batch, KV heads, heads of a group, queries, keys), fp32.
            age: How much older each key is than each query, (queries, keys), fp32; below 0 for the future.
            log_beta: Of each key: (batch, KV heads, keys), fp32. For the form "window" it is log u.
        """
        said = log_beta[:, :, None, None, :]
        if self.form == "window":
            return logits + torch.where(age < self.window, 0.0, torch.log(said.exp() + _EPS))
        faded = age.clamp(min=0) * said
        return logits + faded if self.form == "log_bias" else logits * faded.exp()


@contextmanager
def gated(model: PreTrainedModel, gates: GateSet, *, form: Form = "log_bias", block: int = BLOCK, window: int = 128) -> Iterator[Gated]:
    """Run a model with gated attention, for training. It takes whole sequences without a cache; padding is honoured, packing is refused.

    Layers with a sliding window of their own stay as they are. At the end the model is what it was.

    Args:
        model: A decoder of transformers.
        gates: Its retention gates.
        form: How the gates' word enters attention; "log_bias" is the paper's.
        block: Queries that are worked on at once. Memory grows with length x this.
        window: For the form "window": the newest tokens that are not gated.

    Raises:
        SettingsError: The gates do not fit the model, a policy or other gates are attached to it, or a setting cannot hold.
    """
    if form not in get_args(Form):
        raise SettingsError(f"form= is one of {', '.join(get_args(Form))}; it is {form!r}")
    if block < 1 or window < 1:
        raise SettingsError(f"block= and window= are numbers of tokens, at least 1; they are {block} and {window}")
    layout = layout_of(model)
    gates.check(layout)
    before = layout.config._attn_implementation
    if before in (NAME, BOUNDED):
        raise SettingsError(f"gates or a policy are attached to this {type(model).__name__} already: leave that block first")
    AttentionInterface.register(NAME, gated_attention)
    AttentionMaskInterface.register(NAME, _padding)
    state = Gated(layout, gates, form, block, window)
    with ExitStack() as stack:
        stack.callback(layout.decoder.set_attn_implementation, before)
        layout.decoder.set_attn_implementation(NAME)
        stack.callback(layout.decoder.register_forward_pre_hook(_refuse_packing, with_kwargs=True).remove)
        for index, module in layout.attention.items():
            stack.callback(_told.pop, module, None)
            stack.callback(module.register_forward_pre_hook(_asker(index, state), with_kwargs=True).remove)
        yield state


#: The gates' word that each attention module is about to use. An entry lives from the module's start to its attention.
_told: WeakKeyDictionary[nn.Module, tuple[Gated, Tensor]] = WeakKeyDictionary()


def _asker(index: int, state: Gated) -> Any:
    """Return the hook that runs before a layer's attention and asks the layer's gate."""

    def ask(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _told.pop(module, None)
        if state.on:
            hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
            log_beta = state.gates.of(index, hidden)
            state.log_beta[index] = log_beta
            _told[module] = state, log_beta

    return ask


def _refuse_packing(_: nn.Module, __: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse positions that begin anew within a row: ages would be counted over the border of a document."""
    positions = kwargs.get("position_ids")
    if positions is not None and bool((positions.diff(dim=-1) < 0).any()):
        raise InputError("position_ids= begins anew within a row: gates are trained on one document a row", field="position_ids")


def _padding(attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
    """Return the mask of padding as it came, (batch, tokens), or None: what is visible is worked out block by block."""
    return None if attention_mask is None or bool(attention_mask.all()) else attention_mask


# ---------------------------------------------------------------------------------------------------------------- attention


def gated_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
    dropout: float = 0.0, sliding_window: int | None = None, softcap: float | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Return (batch, tokens, heads, head dim): attention over the whole sequence, gated when the module's gate has spoken.

    Args:
        module: The attention module.
        query: (batch, heads, tokens, head dim).
        key: (batch, KV heads, tokens, head dim).
        value: The same shape.
        attention_mask: False for padding, (batch, tokens), or None.
        scaling: What logits are multiplied with.
        dropout: Not used: the model is frozen.
        sliding_window: How far back the layer looks.
        softcap: Logits are squeezed into ± this.
        kwargs: Not used.

    Raises:
        InputError: There are more keys than queries, so a cache is in use.
    """
    tokens = query.shape[2]
    if key.shape[2] != tokens:
        raise InputError("gated attention reads whole sequences: call the model with use_cache=False and without a cache")
    state, log_beta = _told.pop(module, (None, None))
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if state is None and attention_mask is None and sliding_window is None and softcap is None:
        plain = nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
        )
        return plain.transpose(1, 2).contiguous(), None
    size = state.block if state is not None else BLOCK
    work = _Block(state, scale, sliding_window, softcap)
    replay = torch.is_grad_enabled() and tokens > size  # one block alone is small enough to be kept
    blocks = []
    for start in range(0, tokens, size):
        given = (query, key, value, log_beta, attention_mask, start, min(start + size, tokens))
        blocks.append(checkpoint(work, *given, use_reentrant=False, preserve_rng_state=False) if replay else work(*given))
    return torch.cat(blocks, dim=1), None


class _Block:
    """Attention of a block of queries, written out: nothing of it outlives the block but its result.

    Args:
        state: The gates' form; None for plain attention.
        scale: What logits are multiplied with.
        window: How far back the layer looks, or None.
        softcap: Logits are squeezed into ± this, or None.
    """

    def __init__(self, state: Gated | None, scale: float, window: int | None, softcap: float | None) -> None:
        self.state = state
        self.scale = scale
        self.window = window
        self.softcap = softcap

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, log_beta: Tensor | None, real: Tensor | None, start: int, stop: int
    ) -> Tensor:
        """Return (batch, queries of the block, heads, head dim)."""
        first = 0 if self.window is None else max(0, start - self.window + 1)
        query, key, value = query[:, :, start:stop], key[:, :, first:stop], value[:, :, first:stop]
        batch, heads, count, dim = query.shape
        # The heads of a group stand as further rows, so that keys need no copies.
        packed = query.reshape(batch, key.shape[1], heads // key.shape[1] * count, dim)
        logits = (packed @ key.transpose(-1, -2)).float().view(batch, key.shape[1], heads // key.shape[1], count, -1) * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        # In fp32, and never as integers times bf16: 1e-5 * 1e5 has to come out right.
        age = (torch.arange(start, stop, device=key.device)[:, None] - torch.arange(first, stop, device=key.device)).float()
        if self.state is not None and log_beta is not None:
            logits = self.state.biased(logits, age, log_beta[:, :, first:stop])
        # Finite, because a row without anything to see would be NaN, and NaN spreads.
        weights = logits.masked_fill(~self._visible(age, real, first, stop), torch.finfo(torch.float32).min).softmax(-1)
        output = weights.to(value.dtype).flatten(2, 3) @ value
        return output.reshape(batch, heads, count, dim).transpose(1, 2)

    def _visible(self, age: Tensor, real: Tensor | None, first: int, stop: int) -> Tensor:
        """Return where queries may look: (batch or 1, 1, 1, queries, keys). Padding sees itself."""
        visible = age >= 0
        if self.window is not None:
            visible = visible & (age < self.window)
        if real is None:
            return visible[None, None, None]
        return ((visible & real[:, None, first:stop]) | (age == 0))[:, None, None]
