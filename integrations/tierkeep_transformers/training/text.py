"""Text as training has it: files in, windows of tokens out, in an order that only the seed decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tierkeep.errors import InputError

__all__ = ["TextWindows", "read_text"]

#: What is taken from a folder.
SUFFIXES = (".txt", ".md", ".rst", ".text")


class TextWindows:
    """The tokens of some text, cut into windows of one length.

    Documents stand one behind the other with the tokeniser's end mark between them, and a window may begin in one and end in the next. Each
    window begins with the tokeniser's first mark, where it has one: models that were trained with it need it.

    Args:
        tokens: All of them, (tokens,).
        length: Tokens of a window.
        first: The mark that each window begins with, or None.
        documents: How many there were.

    Raises:
        InputError: There is not enough for two windows.

    Attributes:
        sha256: Of the tokens, so that a gate file can say what it was trained on.
    """

    def __init__(self, tokens: Tensor, length: int, first: int | None = None, documents: int = 1) -> None:
        step = length - (first is not None)
        count = len(tokens) // step if step > 0 else 0
        if length < 2 or count < 2:
            raise InputError(
                f"the text has {len(tokens):,} tokens; windows of {length:,} need at least {2 * step:,}, one to train on and one to "
                f"validate: add text, or choose a smaller length",
                field="text",
            )
        self.length = length
        self.first = first
        self.documents = documents
        self.windows = tokens[: count * step].reshape(count, step).to(torch.int32)
        self.sha256 = hashlib.sha256(self.windows.numpy().tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, rows: Tensor) -> Tensor:
        """Return windows by their numbers: token ids, (rows, length)."""
        ids = self.windows[rows].long()
        return ids if self.first is None else torch.cat([torch.full((len(ids), 1), self.first), ids], dim=1)

    def batches(self, size: int, seed: int, held_out: int) -> Iterator[Tensor]:
        """Yield batches for ever: all windows but the last `held_out`, in a new order each time round."""
        count = len(self) - held_out
        turn = 0
        left = torch.empty(0, dtype=torch.long)
        while True:
            while len(left) < size:
                order = torch.Generator().manual_seed(seed * 1_000_003 + turn)
                left = torch.cat([left, torch.randperm(count, generator=order)])
                turn += 1
            yield self.batch(left[:size])
            left = left[size:]

    def validation(self, size: int, held_out: int) -> list[Tensor]:
        """Return the last windows, in batches."""
        rows = torch.arange(len(self) - held_out, len(self))
        return [self.batch(rows[start : start + size]) for start in range(0, held_out, size)]


def read_text(paths: Sequence[str | Path], tokenizer: Any, length: int) -> TextWindows:
    """Return the windows of text files, and of all text files in folders.

    Args:
        paths: Files, and folders that are searched for .txt, .md and .rst.
        tokenizer: A tokeniser of transformers.
        length: Tokens of a window.

    Raises:
        InputError: A path does not exist, a file is not UTF-8, or there is too little text.
    """
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise InputError(f"no text in {', '.join(map(str, paths))}: name files, or folders with {', '.join(SUFFIXES)}", field="text")
    mark = tokenizer.bos_token_id
    marks = mark is not None and tokenizer("a", verbose=False)["input_ids"][:1] == [mark]
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    parts = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read as UTF-8 text: {error}", field="text") from error
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        parts.append(torch.tensor([*ids, *end], dtype=torch.int32))
    return TextWindows(torch.cat(parts), length, mark if marks else None, len(files))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
    raise InputError(f"there is no text file or folder {path}", field="text")
