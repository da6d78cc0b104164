"""`python -m tierkeep.cli`: the same as `tierkeep`."""

from __future__ import annotations

import sys

from tierkeep.cli import main

if __name__ == "__main__":
    sys.exit(main())
