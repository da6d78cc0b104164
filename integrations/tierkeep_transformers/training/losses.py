"""The three losses of TRIM-KV (section 1.5): likeness to the model without gates, the next token, and the size of what is kept.

All of them work in pieces that are computed anew in the backward pass, so memory grows with the length and not with its square.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tierkeep.errors import InputError, SettingsError

__all__ = ["CapNorm", "Head", "TokenLosses", "capacity_loss", "soft_sizes", "sparsity_loss", "supervised", "token_losses"]

#: How the hinge of the capacity loss is averaged: `(1/T) sum_t max(0, S - M) / t` as in the paper, or `max(0, S - M) / max(t - M, 1)` over
#: the places where it is above 0, as in the authors' code.
CapNorm = Literal["paper", "active"]
#: Positions whose logits over the vocabulary are held at once.
CHUNK = 256
#: Rows of the table of retentions that are held at once.
BLOCK = 256


class Head:
    """The last step of a language model, from hidden states to logits, so that logits of a whole sequence need never exist.

    Args:
        model: A causal language model of transformers.

    Raises:
        SettingsError: The model has no output layer.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        projection = model.get_output_embeddings()
        if projection is None:
            raise SettingsError(f"{type(model).__name__} has no output layer: load it with AutoModelForCausalLM")
        self._project: nn.Module = projection
        self._softcap = getattr(model.config.get_text_config(decoder=True), "final_logit_softcapping", None)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits in fp32, (…, vocabulary), of hidden states (…, width)."""
        logits: Tensor = self._project(hidden).float()
        return logits if self._softcap is None else torch.tanh(logits / self._softcap) * self._softcap

    def check(self, model: PreTrainedModel, tokens: Tensor) -> None:
        """Check on a few tokens, (batch, tokens), that it says what the model says.

        Raises:
            SettingsError: The model does something else between its hidden states and its logits.
        """
        with torch.no_grad():
            known = model(input_ids=tokens, use_cache=False).logits.float()
            ours = self(model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state)
        if not torch.allclose(known, ours, rtol=1e-2, atol=1e-2 * float(known.abs().max())):
            raise SettingsError(f"{type(model).__name__} changes its logits after its output layer in a way that is not known here")


class TokenLosses(NamedTuple):
    """Means over the supervised positions. `accuracy` carries no gradient."""

    kl: Tensor
    ntp: Tensor
    accuracy: Tensor


def supervised(batch: Mapping[str, Any], only_labels: bool) -> tuple[Tensor, Tensor]:
    """Return what each position should say next, and where that counts.

    Args:
        batch: `input_ids` (batch, tokens); optionally `attention_mask`, 0 for padding, and `labels`, -100 where a token is not to be
            learned. All as transformers has them: a label stands at its own token, not one before.
        only_labels: Whether only labelled tokens count, or every token that is not padding.

    Returns:
        Targets and a mask, both (batch, tokens - 1).

    Raises:
        InputError: Nothing is left to learn from.
    """
    ids: Tensor = batch["input_ids"]
    labels = batch.get("labels")
    if only_labels and labels is None:
        raise InputError('supervise="labels" needs batches with labels; use supervise="all", or add labels, -100 where nothing is asked')
    counts = torch.ones_like(ids[:, 1:], dtype=torch.bool)
    real = batch.get("attention_mask")
    if real is not None:
        counts &= real[:, 1:].bool() & real[:, :-1].bool()
    if only_labels and labels is not None:
        counts &= labels[:, 1:] != -100
    if not bool(counts.any()):
        raise InputError("a batch has no position to learn from: rows of at least two tokens that are no padding, with a label, are needed")
    return ids[:, 1:], counts


def token_losses(head: Head, student: Tensor, teacher: Tensor, targets: Tensor, counts: Tensor, *, chunk: int = CHUNK) -> TokenLosses:
    """Return forward KL from the teacher over the whole vocabulary, and the loss of the next token.

    Args:
        head: From hidden states to logits.
        student: Last hidden states with gates, (batch, tokens, width).
        teacher: Without, the same shape; no gradient flows into it.
        targets: The next tokens, (batch, tokens - 1).
        counts: Where they count, the same shape.
        chunk: Positions whose logits are held at once.
    """
    student, teacher, wanted = student[:, :-1][counts], teacher[:, :-1][counts].detach(), targets[counts]
    total = [torch.zeros((), device=student.device) for _ in TokenLosses._fields]
    replay = torch.is_grad_enabled() and len(wanted) > chunk
    for start in range(0, len(wanted), chunk):
        part = slice(start, start + chunk)
        given = (head, student[part], teacher[part], wanted[part])
        sums = checkpoint(_sums, *given, use_reentrant=False, preserve_rng_state=False) if replay else _sums(*given)
        total = [before + one for before, one in zip(total, sums, strict=True)]
    return TokenLosses(*(one / len(wanted) for one in total))


def _sums(head: Head, student: Tensor, teacher: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    said = head(student).log_softmax(-1)
    with torch.no_grad():
        known = head(teacher).log_softmax(-1)
    kl = nn.functional.kl_div(said, known, log_target=True, reduction="sum")
    ntp = nn.functional.nll_loss(said, wanted, reduction="sum")
    return kl, ntp, (said.argmax(-1) == wanted).float().sum()


# ---------------------------------------------------------------------------------------------------------------- capacity


def soft_sizes(log_beta: Tensor, real: Tensor | None = None, *, block: int = BLOCK) -> Tensor:
    """Return how much each head holds after each token: `S_t = sum of beta_i^(t - i) over i <= t`.

    Args:
        log_beta: (batch, KV heads, tokens), fp32.
        real: False for padding, which is never held: (batch, tokens).
        block: Rows of the table of retentions that are held at once.

    Returns:
        (batch, KV heads, tokens), fp32.
    """
    tokens = log_beta.shape[-1]
    replay = torch.is_grad_enabled() and tokens > block
    rows = []
    for start in range(0, tokens, block):
        given = (log_beta, real, start, min(start + block, tokens))
        rows.append(checkpoint(_held, *given, use_reentrant=False, preserve_rng_state=False) if replay else _held(*given))
    return torch.cat(rows, dim=-1)


def _held(log_beta: Tensor, real: Tensor | None, start: int, stop: int) -> Tensor:
    past = torch.arange(stop, device=log_beta.device)
    age = (past[start:, None] - past).float()
    retention = (log_beta[:, :, None, :stop] * age.clamp(min=0)).exp()
    counts = age >= 0
    if real is not None:
        counts = counts & real[:, None, None, :stop].bool()
    return torch.where(counts, retention, 0.0).sum(-1)


def capacity_loss(
    log_beta: Mapping[int, Tensor], budget: float, *, norm: CapNorm = "paper", joint: bool = False, real: Tensor | None = None,
    block: int = BLOCK,
) -> tuple[Tensor, dict[int, float]]:  # fmt: skip
    """Return the hinge on the soft size above the budget, and the soft size of each layer after the last token.

    Args:
        log_beta: By layer: (batch, KV heads, tokens).
        budget: Slots per layer and KV head (M).
        norm: How the hinge is averaged.
        joint: One hinge on what all layers and heads hold together, with the budgets of all (DBTrimKV). It is divided by their number, so
            that its weight means the same.
        real: False for padding, (batch, tokens); a row's time begins with its first token.
        block: Rows of the table of retentions that are held at once.
    """
    device = next(iter(log_beta.values())).device
    sizes = {layer: soft_sizes(said, real, block=block).to(device) for layer, said in log_beta.items()}
    batch, tokens = next(iter(sizes.values())).shape[::2]
    counts = torch.ones(batch, tokens, dtype=torch.bool, device=device) if real is None else real.bool().to(device)
    held = [torch.stack(list(sizes.values())).mean(dim=(0, 2))[:, None]] if joint else list(sizes.values())
    loss = torch.stack([_hinge(one, budget, counts, norm) for one in held]).mean()
    last = counts.long().mul(torch.arange(1, tokens + 1, device=device)).argmax(-1)
    rows = torch.arange(batch, device=device)
    return loss, {layer: float(one.detach()[rows, :, last].mean()) for layer, one in sizes.items()}


def _hinge(sizes: Tensor, budget: float, counts: Tensor, norm: CapNorm) -> Tensor:
    """Return the mean hinge of a layer: sizes (batch, heads, tokens), counts (batch, tokens)."""
    time = counts.cumsum(-1).clamp(min=1)[:, None].float()
    excess = torch.where(counts[:, None], (sizes - budget).clamp(min=0), 0.0)
    if norm == "paper":
        return ((excess / time).sum(-1) / counts.sum(-1, keepdim=True).clamp(min=1)).mean()
    active = excess > 0
    return (excess / (time - budget).clamp(min=1)).sum() / active.sum().clamp(min=1)


def sparsity_loss(log_u: Mapping[int, Tensor], window: int, *, real: Tensor | None = None) -> tuple[Tensor, dict[int, float]]:
    """Return the mean of u, and how many slots of each layer count after the last token: the window, and the sum of u before it.

    With a frozen model the loss of the next token alone makes nothing sparse, so this term does it. It is not in SP-KV's paper.

    Args:
        log_u: By layer: (batch, KV heads, tokens).
        window: The newest tokens, which always count.
        real: False for padding, (batch, tokens).
    """
    means, held = [], {}
    device = next(iter(log_u.values())).device
    for layer, said in log_u.items():
        u = said.exp().to(device)
        counts = torch.ones_like(u) if real is None else real[:, None].to(device=device, dtype=u.dtype).expand_as(u)
        means.append((u * counts).sum() / counts.sum().clamp(min=1))
        within = torch.arange(u.shape[-1], device=device) >= u.shape[-1] - window
        held[layer] = float((torch.where(within, 1.0, u.detach()) * counts).sum(-1).mean())
    return torch.stack(means).mean(), held
