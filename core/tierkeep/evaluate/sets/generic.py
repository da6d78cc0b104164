"""The generic format `tierkeep-bench/1`, which users write their own data in."""

from __future__ import annotations

import re

from tierkeep.evaluate.sets.model import Dataset
from tierkeep.evaluate.sets.source import Source

_SAYS_SO = re.compile(r'"format"\s*:\s*"tierkeep-bench/1"')


class Generic:
    """Reads a file that says that it is in this format."""

    name = "tierkeep-bench/1"
    about = "the generic format, for your own data"

    def fits(self, source: Source) -> bool:
        """Return whether the file says so."""
        return _SAYS_SO.search(source.head()) is not None

    def read(self, source: Source) -> Dataset:
        """Return the set as it stands.

        Raises:
            ImportFormatError: It is not in this format.
        """
        return source.fit(Dataset, source.json())
