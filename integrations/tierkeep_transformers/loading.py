"""A local model by the name of its folder: loaded when it is first needed, from files that are here, and never from pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tierkeep.errors import ModelError

__all__ = ["check_source", "check_tokenizer", "display_name", "load"]

#: One of these a folder has that has a tokenizer.
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "tekken.json")
_NO_TOKENIZER = "{!r} has no tokenizer files (tokenizer.json): save the model's tokenizer into the same folder"


def load(source: str | Path, *, dtype: str = "auto", device: str | None = None, download: bool = False) -> tuple[PreTrainedModel, Any]:
    """Return the causal language model of a folder, ready to answer, and its tokenizer.

    Args:
        source: A folder, or the name of a model in the local cache of transformers.
        dtype: Such as "bfloat16"; "auto" for that of the file.
        device: Such as "cuda:0"; None for a GPU where there is one.
        download: Whether a model that is not here may be fetched.

    Raises:
        ModelError: There is no such model, or its files cannot be used.
    """
    check_source(source)
    here = {"local_files_only": not download}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **here)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, **here)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if not download and not Path(source).exists():
            raise ModelError(f"there is no folder {str(source)!r}, and no model of that name in the local cache of transformers") from error
        raise ModelError(f"no model could be loaded from {str(source)!r}: {_first_line(error)}") from error
    check_tokenizer(tokenizer, source)
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval(), tokenizer


def check_source(source: str | Path) -> None:
    """Check a folder before transformers is asked for it, whose errors speak of the internet.

    Raises:
        ModelError: It is written like a folder and there is none, or it has no model or no tokenizer in it.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{str(source)!r} has no config.json: name the folder of a model")
        if not any((path / name).exists() for name in _TOKENIZERS):
            raise ModelError(_NO_TOKENIZER.format(str(source)))
    elif path.exists() or path.is_absolute() or str(source).startswith("."):
        raise ModelError(f"there is no folder {str(source)!r} with a model")


def check_tokenizer(tokenizer: Any, source: str | Path) -> None:
    """Check that a folder had a tokenizer: of a folder without one transformers makes an empty one.

    Raises:
        ModelError: It had none.
    """
    if len(tokenizer) < 8:
        raise ModelError(_NO_TOKENIZER.format(str(source)))


def display_name(model: PreTrainedModel | str | Path) -> str:
    """Return what a trace calls a model: its folder's or its own name, without the way to it."""
    source = model if isinstance(model, (str, Path)) else getattr(model.config, "name_or_path", "") or type(model).__name__
    return Path(source).name if Path(source).exists() else str(source)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
