"""The data sets that `tierkeep bench` reads, each from the files that its authors publish; one module, one set.

A format is told by a file's content, or named with `--format`. Every set becomes the same plain model (`model.py`), so that one runner
measures them all. Nothing of any set is shipped: `fetch.py` knows where their authors keep them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tierkeep.errors import ImportFormatError, SettingsError
from tierkeep.evaluate.sets.beam import Beam
from tierkeep.evaluate.sets.generic import Generic
from tierkeep.evaluate.sets.lifebench import LifeBench
from tierkeep.evaluate.sets.locomo import LoCoMo
from tierkeep.evaluate.sets.longmemeval import LongMemEval
from tierkeep.evaluate.sets.memdaily import MemDaily
from tierkeep.evaluate.sets.model import Dataset
from tierkeep.evaluate.sets.personamem import PersonaMem
from tierkeep.evaluate.sets.realmem import RealMem
from tierkeep.evaluate.sets.realtalk import RealTalk
from tierkeep.evaluate.sets.source import Source

__all__ = ["FORMATS", "SetFormat", "read"]


class SetFormat(Protocol):
    """Reads one data set's own files.

    Attributes:
        name: What `--format` calls it.
        about: What it is, in a few words.
    """

    name: str
    about: str

    def fits(self, source: Source) -> bool:
        """Return whether the file or folder looks like this set. Never raises; looks at names and at the beginning only."""
        ...

    def read(self, source: Source) -> Dataset:
        """Return the set.

        Raises:
            ImportFormatError: The file is broken, or is not this set.
        """
        ...


#: Every format, in the order in which they are tried.
FORMATS: tuple[SetFormat, ...] = (
    Generic(), LongMemEval(), RealTalk(), LoCoMo(), RealMem(), MemDaily(), Beam(), LifeBench(), PersonaMem(),
)  # fmt: skip


def read(path: Path, format: str | None = None) -> Dataset:
    """Return the data set in a file or folder.

    Args:
        path: Where it is.
        format: Name of its format; found out from the content otherwise.

    Raises:
        SettingsError: There is no such format.
        ImportFormatError: It cannot be read, is of no known format, or breaks half-way.
    """
    names = ", ".join(one.name for one in FORMATS)
    if format is not None and format not in {one.name for one in FORMATS}:
        raise SettingsError(f"there is no data format {format!r}; there are: {names}")
    source = Source(path)
    chosen = next((one for one in FORMATS if (one.name == format if format else one.fits(source))), None)
    if chosen is None:
        raise ImportFormatError(f"{path} is of no known data format; name one with --format: {names}", path=str(path))
    data = chosen.read(source)
    if not data.conversations:
        raise ImportFormatError(f"{path} holds no conversation in the format {chosen.name}", path=str(path))
    return data.model_copy(update={"source": chosen.name, "sha256": source.sha256()})
