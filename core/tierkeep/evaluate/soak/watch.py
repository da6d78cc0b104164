"""What processes hold while they run, and when that counts as a leak.

The rule: of each process that lived through the second half of the run, the slope of every figure over that half is estimated with
Theil and Sen's estimator (the median of the slopes of all pairs), which a few outliers cannot move. The slope times the length of the half
is what the process has grown by. More than the allowance is a leak: descriptors and threads may not grow by more than a few, memory, less
what the bounded indexes say that they hold, by no more than 16 MiB and a tenth, and the log by no more than 16 MiB.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIB", "allocated", "growth", "leaks", "process", "sizes"]

MIB = 1024 * 1024
_LEAST = 8  # samples without which nothing is said
_MOST_PAIRS = 400  # samples of which all pairs are looked at
_FEW = {"descriptors": 6.0, "threads": 4.0, "connections": 4.0}
_MEMORY_MIB, _MEMORY_SHARE = 16.0, 0.1
_LOG_MIB = 16.0


def process(pid: int) -> dict[str, float] | None:
    """Return what a process holds now: memory in MiB, descriptors, threads, connections to a store; None when it cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        names = [_target(f"/proc/{pid}/fd/{entry}") for entry in os.listdir(f"/proc/{pid}/fd")]
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None
    found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmRSS" not in found:
        return None
    return {
        "rss_mib": int(found["VmRSS"].split()[0]) / 1024, "threads": float(found["Threads"]), "descriptors": float(len(names)),
        "connections": float(sum(name.endswith(".db") for name in names)),
    }  # fmt: skip


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed meanwhile
        return ""


class _Mallinfo(ctypes.Structure):
    # glibc's `struct mallinfo2`
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def allocated() -> dict[str, float]:
    """Return what this process has allocated: Python's own blocks; and where the C library is glibc 2.33 or newer, MiB in use and kept.

    What it keeps was given back to it and not to the machine: fragments, and the free ends of its arenas, eight for each processor at most.
    A resident size that grows while what is in use does not is no leak of the program's.
    """
    found = {"python_blocks": float(sys.getallocatedblocks())}
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # another C library, or an older one
        return found
    ask.restype = _Mallinfo
    said = ask()
    return {**found, "in_use_mib": (said.uordblks + said.hblkhd) / MIB, "kept_mib": said.fordblks / MIB}


def sizes(store: Path) -> dict[str, float]:
    """Return the sizes of a store's files in MiB."""
    file = store / "tierkeep.db" if store.is_dir() else store
    return {name: _size(Path(f"{file}{suffix}")) / MIB for name, suffix in (("store_mib", ""), ("log_mib", "-wal"))}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def growth(at: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much a figure has grown over its samples: Theil and Sen's slope times their length; 0 for too few.

    Args:
        at: Seconds, ascending.
        values: The figure at each.
    """
    if len(at) < _LEAST:
        return 0.0
    step = -(-len(at) // _MOST_PAIRS)
    x: NDArray[np.float64] = np.asarray(at, np.float64)[::step]
    y: NDArray[np.float64] = np.asarray(values, np.float64)[::step]
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    slopes = (y[second] - y[first])[apart > 0] / apart[apart > 0]
    return float(np.median(slopes) * (x[-1] - x[0])) if slopes.size else 0.0


def leaks(samples: Mapping[str, Sequence[Mapping[str, float]]], half: float) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return what each process, and the store, has grown by in the second half, and what of it is a leak.

    Args:
        samples: By process, what `process` returned, with "at" and, where known, "held_mib"; of "store" what `sizes` did.
        half: When the second half begins.
    """
    grown: dict[str, dict[str, float]] = {}
    found: list[str] = []
    for name, own in samples.items():
        late = [one for one in own if one["at"] >= half]
        if len(late) < _LEAST or own[0]["at"] > half:
            continue
        at = [one["at"] for one in late]
        figures: dict[str, list[float]] = {key: [one.get(key, 0.0) for one in late] for key in late[0] if key != "at"}
        if "rss_mib" in figures:
            held = figures.get("held_mib", [0.0] * len(late))
            figures["unexplained_mib"] = [rss - of for rss, of in zip(figures["rss_mib"], held, strict=True)]
        grown[name] = {key: round(growth(at, values), 3) for key, values in figures.items()}
        found += [f"{name}: {said}" for said in _too_much(grown[name], figures)]
    return grown, found


def _too_much(grown: Mapping[str, float], figures: Mapping[str, Any]) -> list[str]:
    said = [f"{key} grew by {grown[key]:.1f}, and {most:g} are allowed" for key, most in _FEW.items() if grown.get(key, 0.0) > most]
    if "unexplained_mib" in grown:
        most = _MEMORY_MIB + _MEMORY_SHARE * float(np.median(figures["rss_mib"]))
        if grown["unexplained_mib"] > most:
            said.append(f"memory grew by {grown['unexplained_mib']:.1f} MiB beyond the indexes, and {most:.1f} are allowed")
    if grown.get("log_mib", 0.0) > _LOG_MIB:
        said.append(f"the log grew by {grown['log_mib']:.1f} MiB, and {_LOG_MIB:g} are allowed")
    return said
