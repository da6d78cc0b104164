"""The recall task's model: a small Qwen3, trained here from scratch, first to repeat and to copy chunks, then to answer questions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from recall_task_data import VOCABULARY, Sequences, Task, copies, repeats
from torch import Tensor
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

__all__ = ["accuracy", "load", "make", "save", "train"]

#: The learning rate, after 50 steps of warm-up in each lesson.
_RATE = 2e-3
Note = Callable[[str], None]
Draw = Callable[[], tuple[Tensor, Tensor]]


def make(seed: int) -> PreTrainedModel:
    """Return the untrained model, about a million parameters."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=1152, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write the model as safetensors."""
    model.save_pretrained(folder)


def load(folder: Path) -> PreTrainedModel:
    """Read a model that `save` wrote."""
    return Qwen3ForCausalLM.from_pretrained(folder).eval()


@torch.no_grad()
def accuracy(model: PreTrainedModel, data: Sequences, which: Tensor | None = None, rows: int = 16) -> float:
    """Return the share of answers that the model gives with all of a sequence in view; first-asked ones unless `which` says others."""
    which = data.first if which is None else which
    right = 0
    for start in range(0, len(data.tokens), rows):
        part = slice(start, start + rows)
        told = model(data.tokens[part], use_cache=False).logits[:, :-1].argmax(-1)
        right += int(((told == data.tokens[part, 1:]) & which[part, 1:]).sum())
    return right / int(which.sum())


def train(model: PreTrainedModel, seed: int, note: Note, most: int | None = None) -> dict[str, float]:
    """Train the model by warm-up and curriculum.

    Args:
        model: The model, changed in place.
        seed: Of the data.
        note: Told how it goes.
        most: Steps that a lesson may take, for a quick look; as many as it needs by default.

    Returns:
        Steps and seconds.
    """
    generator = torch.Generator().manual_seed(seed)
    wall, cpu = time.perf_counter(), time.process_time()
    steps = {name: _learn(model, draw, enough, most or 2000, name, note) for name, (draw, enough) in _lessons(generator).items()}
    model.eval()
    return {**steps, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def _lessons(generator: torch.Generator) -> dict[str, tuple[Draw, float]]:
    """Return the lessons in their order: what draws a batch, and the accuracy that ends it."""

    def asked(task: Task, batch: int) -> tuple[Tensor, Tensor]:
        drawn = task.draw(batch, generator)
        return drawn.tokens, drawn.answers

    return {
        "repeat 24": (lambda: repeats(24, 8, 48, generator), 0.9),
        "repeat 64": (lambda: repeats(64, 24, 16, generator), 0.9),
        "copy 64": (lambda: copies(64, 16, generator), 0.95),
        "recall 64": (lambda: asked(Task(length=64, facts=4, decoys=4, queries=8), 16), 0.97),
        "recall 128": (lambda: asked(Task(length=128, facts=8, decoys=8, queries=10), 8), 0.98),
        "recall 256": (lambda: asked(Task(), 6), 0.995),
    }


def _learn(model: PreTrainedModel, draw: Draw, enough: float, limit: int, name: str, note: Note) -> int:
    """Train until the last 20 batches were told well enough, each before it was learned from. Return the steps."""
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    recent: list[float] = []
    for step in range(1, limit + 1):
        tokens, known = draw()
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, step / 50)
        target = tokens[:, 1:][known[:, 1:]]
        # Only where an answer is due is the head computed.
        hidden = model.get_decoder()(tokens, use_cache=False).last_hidden_state[:, :-1][known[:, 1:]]
        logits = model.lm_head(hidden)
        loss = torch.nn.functional.cross_entropy(logits, target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent = [*recent[-19:], float((logits.argmax(-1) == target).float().mean())]
        mean = sum(recent) / len(recent)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss of {name} is {loss.item()} at step {step}")
        if step % 25 == 0:
            note(f"{name}: step {step}, loss {loss.item():.3f}, accuracy {mean:.3f}")
        if len(recent) == 20 and mean >= enough:
            break
    note(f"{name}: {step} steps, accuracy {mean:.3f}")
    return step
