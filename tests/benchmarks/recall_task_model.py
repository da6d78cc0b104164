"""The recall task's model: a small Qwen3, trained here from scratch, first to look back, and then to answer questions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from recall_task_data import VOCABULARY, Sequences, Task, pairs
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

__all__ = ["accuracy", "load", "make", "save", "train"]

#: The learning rate of each lesson: reached after 30 steps, and from the 60th on falling with their number.
_RATE = 2e-3
#: The lesson that induction forms in, the weight of its second loss, and below which that loss is let be.
_FIRST = "pairs 24"
_TELLER_WEIGHT = 0.3
_TOLD = 0.3
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
    model = Qwen3ForCausalLM(config)
    # A token's own embedding must not drown in what the first layer adds to it, or the second cannot tell what is looked for. With the
    # usual 0.02 it does, and no induction forms in a thousand steps; with this and the warm-up's second loss, in a hundred. The last norm
    # keeps the first logits small.
    nn.init.normal_(model.get_input_embeddings().weight, std=0.3)
    nn.init.constant_(model.get_decoder().norm.weight, 0.1)
    return model.eval()


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
        _FIRST: (lambda: pairs(24, 5, 64, generator), 0.9),
        "recall 64": (lambda: asked(Task(length=64, facts=4, decoys=4, queries=8), 16), 0.97),
        "recall 128": (lambda: asked(Task(length=128, facts=8, decoys=8, queries=10), 8), 0.98),
        "recall 256": (lambda: asked(Task(), 6), 0.992),
    }


class _Teller(nn.Module):
    """Tells from what the first layer gives which token stood before: a second loss of the warm-up, whose weights are thrown away.

    A value can be found by its key only if it knows its key. Left alone, the first layer takes far longer to see to that.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, after_first: Tensor, tokens: Tensor) -> Tensor:
        """Return the loss; 0 once it is small, so that no more is made of it than is needed."""
        said = self.head(nn.functional.rms_norm(after_first[:, 1:], after_first.shape[-1:]))
        loss = nn.functional.cross_entropy(said.flatten(0, 1), tokens[:, :-1].flatten())
        return _TELLER_WEIGHT * loss * (loss.detach() > _TOLD)


def _learn(model: PreTrainedModel, draw: Draw, enough: float, limit: int, name: str, note: Note) -> int:
    """Train until the last 20 batches were told well enough, each before it was learned from. Return the steps."""
    model.train()
    teller = _Teller(model.config.hidden_size) if name == _FIRST else None
    weights = [*model.parameters(), *(teller.parameters() if teller is not None else ())]
    optimiser = torch.optim.AdamW(weights, lr=_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    recent: list[float] = []
    for step in range(1, limit + 1):
        tokens, known = draw()
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(step / 30, 1.0, 60 / step)
        target = tokens[:, 1:][known[:, 1:]]
        said = model.get_decoder()(tokens, use_cache=False, output_hidden_states=teller is not None)
        logits = model.lm_head(said.last_hidden_state[:, :-1][known[:, 1:]])  # only where an answer is due
        loss = nn.functional.cross_entropy(logits, target)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss of {name} is {loss.item()} at step {step}")
        optimiser.zero_grad()
        (loss if teller is None else loss + teller(said.hidden_states[1], tokens)).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        recent = [*recent[-19:], float((logits.argmax(-1) == target).float().mean())]
        mean = sum(recent) / len(recent)
        if step % 25 == 0:
            note(f"{name}: step {step}, loss {loss.item():.3f}, accuracy {mean:.3f}")
        if len(recent) == 20 and mean >= enough:
            break
    note(f"{name}: {step} steps, accuracy {mean:.3f}")
    return step
