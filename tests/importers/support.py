"""Short ways to write an import test."""

from __future__ import annotations

from typing import Any

from tierkeep.importers import READERS, ImportedMessage, ImportFile, ReadOptions, Tally, detect, read


def load(
    name: str, data: str | bytes, *, encoding: str = "utf-8", **options: Any
) -> tuple[list[ImportedMessage], Tally]:
    """Return the messages of a file with that name and content, and what was met on the way."""
    raw = data.encode() if isinstance(data, str) else data
    source = ImportFile(name, data=raw, encoding=encoding)
    tally = Tally()
    return list(read(source, detect(source, READERS), ReadOptions(**options), tally)), tally


def spoken(name: str, data: str | bytes, **options: Any) -> list[tuple[str, str]]:
    """Return (speaker or role, text) of every message."""
    return [(m.speaker or m.role, m.text) for _, m in load(name, data, **options)[0]]
