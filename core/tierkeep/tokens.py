"""Counting tokens: exactly where a tokenizer's files are on this machine, else by a stated estimate.

`tiktoken` fetches its vocabulary from the network on first use. tierkeep never does: it looks for the vocabulary where
tiktoken caches it and inside installed packages that ship it, and otherwise says "estimate".
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tierkeep.errors import MissingExtraError, SettingsError
from tierkeep.protocols import TokenCounter

if TYPE_CHECKING:
    import tiktoken

#: Where tiktoken would download each vocabulary from. Its cache names files by the SHA-1 of this address.
_VOCABULARIES = {
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
}
#: Folders, inside installed packages, that carry vocabularies under tiktoken's cache names.
_CARRIERS = {
    "llama_index": "core/_static/tiktoken_cache",
    "litellm": "litellm_core_utils/tokenizers",
}
#: Texts whose count is remembered, and characters of one that is too long for it: 4 MB of usual lines, 33 MB of the longest in ASCII.
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 2_000
_LOAD_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A fork waits for a load: a child that inherits a half-done one would wait for a thread that it does not have.
    os.register_at_fork(before=_LOAD_LOCK.acquire, after_in_parent=_LOAD_LOCK.release, after_in_child=_LOAD_LOCK.release)


class EstimateCounter:
    """Estimates tokens from UTF-8 bytes and digits, without any vocabulary.

    0.21 tokens a byte and half a token for each digit, bracket, stop or line end. Fitted against `o200k_base` on blocks of
    chat in five corpora: on average 3 to 20 % above it, so that a budget kept by the estimate is usually kept by the real
    tokenizer too, but not always (source code and tables can take up to a fifth more than estimated).
    """

    name = "estimate"

    def count(self, text: str) -> int:
        """Return the estimated number of tokens; 0 for the empty string, else at least 1."""
        if not text:
            return 0
        marks = sum(map(text.count, "0123456789[]():;.,!?'\"-\n"))
        return -(-(len(text.encode("utf-8", "replace")) * 21 + marks * 50) // 100)


class TiktokenCounter:
    """Counts tokens exactly with one of tiktoken's vocabularies, from files on this machine.

    They are read at the first count, which takes a third of a second: who opens a memory and asks nothing does not wait for it.

    Args:
        encoding: `o200k_base` or `cl100k_base`.

    Raises:
        MissingExtraError: tiktoken is not installed.
        SettingsError: The vocabulary is not on this machine; the message says where it is looked for.
    """

    def __init__(self, encoding: str = "o200k_base") -> None:
        self.name = encoding
        self._folder = _folder_of(encoding)
        self._count = lru_cache(maxsize=_MOST_REMEMBERED)(self._count_uncached)

    def count(self, text: str) -> int:
        """Return the number of tokens of `text`; special-token markers inside it count as ordinary text."""
        return self._count(text) if len(text) < _LONGEST_REMEMBERED else self._count_uncached(text)

    def count_lines(self, lines: Sequence[str]) -> int:
        """Return the count of the lines joined by line feeds, from their own counts, which are remembered one by one.

        Both vocabularies cut a text into pieces before they merge bytes. A piece that reaches a line feed ends there, unless more white
        space or a slash follows: so lines that begin with neither count as much together as one by one.
        """
        total, begun = 0, 0
        for place in range(1, len(lines)):
            first = lines[place][:1]
            if first and first != "/" and not first.isspace():
                run = lines[begun] if begun == place - 1 else "\n".join(lines[begun:place])
                total += self.count(f"{run}\n")
                begun = place
        return total + self.count("\n".join(lines[begun:]))

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        return _load(self.name, self._folder)

    def _count_uncached(self, text: str) -> int:
        plain = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        return len(self._encoding.encode_ordinary(plain))


def find_vocabulary(encoding: str) -> Path | None:
    """Return the folder that holds the vocabulary under tiktoken's cache name, or None."""
    url = _VOCABULARIES.get(encoding)
    if url is None:
        return None
    name = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    for folder in _candidate_folders():
        if (folder / name).is_file():
            return folder
    return None


def best_counter() -> TokenCounter:
    """Return an exact counter when tiktoken and a vocabulary are here, else the estimate. Never touches the network."""
    if importlib.util.find_spec("tiktoken") is not None and find_vocabulary("o200k_base") is not None:
        return TiktokenCounter("o200k_base")
    return EstimateCounter()


def _candidate_folders() -> list[Path]:
    folders = [Path(value) for key in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR") if (value := os.environ.get(key))]
    folders.append(Path(tempfile.gettempdir()) / "data-gym-cache")
    for package, inside in _CARRIERS.items():
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec is not None else []:
            folders.append(Path(location) / inside)
    return folders


def _folder_of(encoding: str) -> Path:
    if importlib.util.find_spec("tiktoken") is None:
        raise MissingExtraError("Counting tokens exactly", extra="tokens")
    folder = find_vocabulary(encoding)
    if folder is None:
        raise SettingsError(
            f"no vocabulary of {encoding!r} on this machine: put tiktoken's cached file into a folder and name it in "
            "TIKTOKEN_CACHE_DIR, or install a package that ships it (llama-index-core does), or use EstimateCounter"
        )
    return folder


def _load(encoding: str, folder: Path) -> tiktoken.Encoding:
    import tiktoken

    # tiktoken takes the cache folder from the environment only; the lock keeps two loads from mixing theirs.
    with _LOAD_LOCK:
        before = os.environ.get("TIKTOKEN_CACHE_DIR")
        os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
        try:
            return tiktoken.get_encoding(encoding)
        finally:
            if before is None:
                del os.environ["TIKTOKEN_CACHE_DIR"]
            else:
                os.environ["TIKTOKEN_CACHE_DIR"] = before
