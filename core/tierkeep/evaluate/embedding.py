"""`tierkeep bench embed`: texts a second of the local encoder, of bare onnxruntime with the same model, and of chromadb's default.

All in one process and in turns, so that a machine that is busy for a while is busy for all of them; medians over the rounds. "Bare" is
a loop of `session.run`, with onnxruntime's own settings, over batches that were cut, sorted and padded before the clock started: what
is left when an embedder costs nothing.
"""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import tierkeep
from tierkeep.errors import InputError
from tierkeep.evaluate.datasets import load
from tierkeep.models.chroma_functions import ChromaFunctionEmbedder, default_is_here
from tierkeep.models.minilm import MiniLMEmbedder
from tierkeep.models.minilm_files import Precision

_WORDS = """the a to and of in I you it that was for on my with is we have at but so this be not they all what about just like me your
out up had when time day really good new think work going know home last friend week made want year see long started never weekend
dinner garden brother school painting coffee hiking doctor meeting birthday dog guitar kitchen train yesterday Lisbon Anna 2023 twelve
because remember together favourite appointment volunteering neighbourhood photograph""".split()
_CHROMA_SHARE = 8  # chromadb embeds an eighth of the texts: it is so much slower


def run(
    path: str | Path | None = None,
    *,
    texts: int = 256,
    rounds: int = 5,
    precision: Precision = "int8",
    threads: int | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """Return the figures, ready for JSON.

    Args:
        path: A data set, or a plain text file with one text a line; None for texts that are made up here.
        texts: How many of them, drawn with `seed`.
        rounds: Each way embeds all texts once a round.
        precision: Of the local encoder, and of the bare loop.
        threads: Of both; None for the encoder's own choice.
        seed: Of the draw, and of made-up texts.

    Raises:
        InputError: There is nothing to measure.
        MissingExtraError: onnxruntime or tokenizers is not installed.
        ModelError: The weights are not on this machine.
    """
    if texts < 1 or rounds < 1:
        raise InputError("texts and rounds must be at least 1", field="texts" if texts < 1 else "rounds")
    chosen = _chosen(path, texts, seed)
    ours = MiniLMEmbedder(precision=precision, threads=threads)
    batches = list(ours.batches(chosen))
    session = ours.bare_session()

    def bare() -> None:
        for batch in batches:
            session.run(None, batch.feed)

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "minilm": (lambda: ours.embed(chosen), len(chosen)),
        "bare_onnxruntime": (bare, len(chosen)),
    }
    agreement = None
    if default_is_here():
        chroma, few = ChromaFunctionEmbedder.default(), chosen[:: _CHROMA_SHARE]
        ways["chroma_default"] = (lambda: chroma.embed(few), len(few))
        agreement = round(float((chroma.embed(few) * ours.embed(few)).sum(axis=1).mean()), 5)
    seconds = _in_turns({name: call for name, (call, _) in ways.items()}, rounds)
    rates = {name: ways[name][1] / median(seconds[name]) for name in ways}
    tokens = sum(int(batch.feed["attention_mask"].sum()) for batch in batches)
    return {
        "texts_per_s": {name: round(rate, 2) for name, rate in rates.items()},
        "of_bare": round(median(bare_s / our_s for our_s, bare_s in zip(seconds["minilm"], seconds["bare_onnxruntime"], strict=True)), 4),
        "one_text_ms": round(1000 * median(_singly(ours, chosen[:20])), 2),
        "cosine_with_chroma_default": agreement,
        "texts": len(chosen),
        "rounds": rounds,
        "tokens_per_text": round(tokens / len(chosen), 1),
        "padding": round(1 - tokens / sum(batch.feed["attention_mask"].size for batch in batches), 4),
        "identity": ours.identity,
        "threads": ours.threads,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "version": tierkeep.__version__,
    }


def _chosen(path: str | Path | None, count: int, seed: int) -> list[str]:
    draw = random.Random(seed)  # noqa: S311  a sample, not a secret
    if path is None:
        return [" ".join(draw.choices(_WORDS, k=max(2, int(draw.lognormvariate(3.0, 0.7))))) for _ in range(count)]
    found = _read(Path(path))
    if not found:
        raise InputError(f"{path} holds no text", field="path")
    return draw.sample(found, min(count, len(found)))


def _read(path: Path) -> list[str]:
    if path.suffix in (".txt", ".text"):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {path}: {error}", field="path") from error
        return [line for line in lines if line.strip()]
    return [event.text for conversation in load(path).conversations for event in conversation.events if event.text.strip()]


def _in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round. Who goes first changes from round to round; a first run warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    names = list(ways)
    for turn in range(rounds):
        for name in np.roll(names, turn).tolist():
            began = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def _singly(embedder: MiniLMEmbedder, texts: Sequence[str]) -> list[float]:
    seconds = []
    for text in texts:
        began = time.perf_counter()
        embedder.embed([text])
        seconds.append(time.perf_counter() - began)
    return seconds
