"""`python -m tierkeep_hermes [HERMES_HOME]`: put the plugin where Hermes looks for memory providers."""

from __future__ import annotations

import sys
from pathlib import Path

from .config import hermes_home, install

if __name__ == "__main__":
    folder = install(Path(sys.argv[1]) if len(sys.argv) > 1 else hermes_home())
    sys.stdout.write(f"{folder} is ready. Choose it with: hermes memory setup\n")
