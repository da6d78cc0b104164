"""How many times one durable add waits for the disk, counted by strace where that is installed (Linux).

None, and a power cut may take a write that was said to be done; one or more, and it is on the disk, if the system waits before it says so.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

_CALLS = "fsync,fdatasync,sync_file_range,msync"


def counted(command: Callable[[int], list[str]], environ: dict[str, str], folder: Path, more: int = 40) -> float | None:
    """Return the calls of one add: the difference of two runs that differ by `more` adds. None without strace, or where it may not trace.

    Args:
        command: Gives a worker's command line for a number of single adds.
        environ: Its environment variables.
        folder: For strace's summary.
        more: Adds.
    """
    if shutil.which("strace") is None:
        return None
    calls = []
    for singles in (10, 10 + more):
        summary = folder / "strace.txt"
        traced = ["strace", "-f", "-c", "-o", str(summary), "-e", f"trace={_CALLS}", *command(singles)]
        done = subprocess.run(traced, env=environ, capture_output=True, text=True, check=False)
        if done.returncode or not summary.exists():
            return None
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", summary.read_text(), re.MULTILINE)
        calls.append(sum(int(count) for count, name in rows if name in _CALLS.split(",")))
    return round((calls[1] - calls[0]) / more, 2)
