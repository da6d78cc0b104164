"""The command line: `tierkeep add`, `ask`, `recall`, `forget` and their kin. Needs the extra `cli`.

Importing this package loads neither typer nor rich; `main` does, and says what to install when they are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_LIBRARIES = frozenset({"typer", "rich", "click"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: nothing found, or a check failed. 2: bad input or usage. 3: the store (or a model) failed.
    130: interrupted.

    Args:
        argv: Arguments without the program's name; those of the process when None.
    """
    try:
        from tierkeep.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES:
            raise
        print(
            'The command line needs an optional dependency. Install it with: pip install "tierkeep[cli]"',
            file=sys.stderr,
        )
        return 2
    return run(sys.argv[1:] if argv is None else argv)
