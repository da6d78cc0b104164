"""What a local model holds on to: which tokens each head keeps after reading a text, and which turns of a conversation.

Run as a program it draws a picture of it:

    python -m tierkeep_transformers.retention --model FOLDER --gates FILE --text FILE --out PNG
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from tierkeep import Message
from tierkeep.errors import InputError
from tierkeep_transformers.attach import attach
from tierkeep_transformers.cache import BoundedCache
from tierkeep_transformers.codecs import Codec
from tierkeep_transformers.eviction import ranked
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.turn_taking import lock_of

__all__ = ["Retention", "TurnHeld", "read_text", "retention_of", "turns_held"]


@dataclass(frozen=True)
class Retention:
    """What each head keeps of a text.

    Attributes:
        tokens: The text, token by token.
        layers: The bounded layers, by their index in the model.
        kept: True for tokens that are still held, shape (layers, KV heads, tokens).
        score: The policy's score of those, infinite for the ones that always stay, NaN for what is lost: the same shape. Higher stays
            longer; the scale is the policy's own.
        policy: Its name.
    """

    tokens: tuple[str, ...]
    layers: tuple[int, ...]
    kept: NDArray[np.bool_]
    score: NDArray[np.float32]
    policy: str

    def share(self) -> NDArray[np.float32]:
        """Return for each token the share of heads, over all layers, that still hold it: shape (tokens,), 0 to 1."""
        return np.asarray(self.kept.mean(axis=(0, 1)), dtype=np.float32)


class TurnHeld(NamedTuple):
    """How much of one turn a model still holds.

    Attributes:
        message: The turn.
        tokens: Its tokens, the speaker's name included.
        held: The share of them that is still held, the mean over layers and KV heads: 0 to 1.
        share: The share of all held slots that are of this turn. The shares of a conversation sum to 1.
    """

    message: Message
    tokens: int
    held: float
    share: float


def read_text(model: PreTrainedModel, tokenizer: Any, text: str, policy: Policy, *, codec: Codec | None = None) -> Retention:
    """Let a model read a text once, in chunks and in bounded memory, and return what it holds then.

    Args:
        model: A decoder of transformers.
        tokenizer: Its tokenizer.
        text: What is read.
        policy: What is kept.
        codec: How it is stored.

    Raises:
        InputError: The text has no tokens, or more than the model has positions.
        SettingsError: The policy does not fit the model, or one is attached already.
    """
    ids: list[int] = tokenizer(text)["input_ids"]
    return retention_of(_read(model, ids, policy, codec), [tokenizer.decode([one]) for one in ids])


def turns_held(
    model: PreTrainedModel, tokenizer: Any, messages: Sequence[Message], policy: Policy, *, codec: Codec | None = None
) -> tuple[TurnHeld, ...]:
    """Let a model read a conversation once, and return for each turn how much of it the model still holds at the end.

    It is measured on the cache itself. With learned gates it says which turns the model was trained to keep; with a policy that looks at
    attention, which ones the last turns attend to, so a question may stand last.

    Args:
        model: A decoder of transformers.
        tokenizer: Its tokenizer.
        messages: The turns, oldest first.
        policy: What is kept.
        codec: How it is stored.

    Raises:
        InputError: There is no turn, or they have more tokens than the model has positions.
        SettingsError: The policy does not fit the model, or one is attached already.
    """
    parts: list[list[int]] = [
        tokenizer(f"{message.speaker or message.role}: {message.text}\n", add_special_tokens=False)["input_ids"] for message in messages
    ]
    cache = _read(model, [one for part in parts for one in part], policy, codec)
    kept = retention_of(cache, [""] * sum(map(len, parts))).kept
    total = max(int(kept.sum()), 1)
    found, start = [], 0
    for message, part in zip(messages, parts, strict=True):
        own = kept[:, :, start : start + len(part)]
        found.append(TurnHeld(message, len(part), float(own.mean()) if part else 0.0, float(own.sum()) / total))
        start += len(part)
    return tuple(found)


def retention_of(cache: BoundedCache, tokens: Sequence[str], *, row: int = 0) -> Retention:
    """Return what a cache holds now, such as that of a conversation that is under way.

    Args:
        cache: It must have been fed.
        tokens: What it was fed, token by token, padding not counted.
        row: The row of the batch.

    Raises:
        InputError: The tokens are not as many as the cache has seen.
    """
    kept, scores = [], []
    for layer in cache.bounded.values():
        slots = layer.slots
        if not slots.room:
            raise InputError("the cache is empty: call the model with it first")
        place = slots.place()[row].long()
        start = slots.state.get("start")
        if len(tokens) != slots.seen - (0 if start is None else int(start[row])):
            raise InputError(f"the cache has seen {slots.seen} tokens, padding counted, and {len(tokens)} are named", field="tokens")
        counts = torch.ones_like(place, dtype=torch.bool) if slots.valid is None else slots.valid[row]
        where = torch.where(counts, place, len(tokens))  # what does not count falls behind the end
        score = ranked(cache.policy, slots)[row].float()
        kept.append(_spread(torch.ones_like(score), where, len(tokens), 0.0) > 0)
        scores.append(_spread(score, where, len(tokens), torch.nan))
    return Retention(
        tuple(tokens), tuple(cache.bounded), torch.stack(kept).cpu().numpy(), torch.stack(scores).cpu().numpy(), cache.policy.name
    )


def _spread(values: Tensor, where: Tensor, count: int, empty: float) -> Tensor:
    """Return values of slots at their tokens' places: (KV heads, count)."""
    out = torch.full((values.shape[0], count + 1), empty, dtype=torch.float32, device=values.device)
    return out.scatter(1, where, values)[:, :count]


def _read(model: PreTrainedModel, ids: Sequence[int], policy: Policy, codec: Codec | None) -> BoundedCache:
    """Return the cache after reading, without a single word of logits."""
    positions = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if not ids:
        raise InputError("there is nothing to read", field="text")
    if positions is not None and len(ids) > positions:
        raise InputError(f"the text has {len(ids)} tokens and the model knows {positions} positions: read a shorter one", field="text")
    row = torch.tensor([list(ids)], device=model.device)
    with lock_of(model), attach(model, policy, codec=codec) as bounded, torch.no_grad():
        cache = bounded.new_cache()
        for start in range(0, len(ids), bounded.chunk):
            bounded.layout.decoder(input_ids=row[:, start : start + bounded.chunk], use_cache=True, **bounded.past(cache))
    return cache


if __name__ == "__main__":
    from tierkeep_transformers.retention_picture import main

    sys.exit(main(sys.argv[1:]))
