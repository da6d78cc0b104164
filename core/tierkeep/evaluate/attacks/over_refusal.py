"""Over-refusal: what share of benign and of harmful requests a risk signal blocks (guard spec 9.1 ORR, 9.4 B1).

The sets are read from a folder as their authors publish them: AgentHarm's `test_public`, XSTest, NotInject and AgentDojo's user prompts.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tierkeep.errors import InputError
from tierkeep.evaluate.resampling import wilson
from tierkeep.protocols import RiskSignal

Progress = Callable[[int, int], None]
_BINS = 10


class Suite(NamedTuple):
    """A set of requests: its name, whether they are harmful, and their texts."""

    name: str
    harmful: bool
    texts: tuple[str, ...]


class OverRefusalRow(NamedTuple):
    """What a signal made of one suite.

    Attributes:
        suite: Its name.
        harmful: Whether blocking is right.
        n: Requests.
        blocked: Of them.
        judged: Of them: neither blocked nor let through at once.
        fast: Of them.
        low: Lower end of the Wilson 95 % interval of blocked / n.
        high: Its upper end.
        s_harm: Histogram of s_harm in ten bins from 0 to 1.
    """

    suite: str
    harmful: bool
    n: int
    blocked: int
    judged: int
    fast: int
    low: float
    high: float
    s_harm: tuple[int, ...]


def suites(folder: Path) -> list[Suite]:
    """Return the suites that a folder has, in a fixed order.

    Raises:
        InputError: It has none, or one that is not as its authors publish it.
    """
    found = [suite for pattern, read in _READERS for path in sorted(folder.glob(pattern)) for suite in _read(path, read)]
    if not found:
        raise InputError(f"{folder} has none of {', '.join(pattern for pattern, _ in _READERS)}", field="data")
    return found


def run(folder: str | Path, signal: RiskSignal, progress: Progress | None = None) -> list[OverRefusalRow]:
    """Return a row for each suite in a folder.

    Args:
        folder: Where the sets lie.
        signal: What is measured.
        progress: Is told (requests done, requests in all).

    Raises:
        InputError: The folder has no set.
        ModelError: The signal's embedder is down.
    """
    every = suites(Path(folder))
    total, done = sum(len(suite.texts) for suite in every), 0
    rows = []
    for suite in every:
        counts = {"block": 0, "judge": 0, "fast": 0}
        harms = []
        for text in suite.texts:
            risk = signal.assess(text)
            counts[risk.branch] += 1
            harms.append(risk.s_harm)
            done += 1
            if progress is not None:
                progress(done, total)
        low, high = wilson(counts["block"], len(suite.texts))
        bins = tuple(np.histogram(harms, bins=_BINS, range=(0, 1))[0].tolist())
        rows.append(
            OverRefusalRow(
                suite.name, suite.harmful, len(suite.texts), counts["block"], counts["judge"], counts["fast"], low, high, bins
            )
        )
    return rows


def _read(path: Path, read: Callable[[Path], Iterator[Suite]]) -> list[Suite]:
    try:
        return [suite for suite in read(path) if suite.texts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not as its authors publish it: {type(error).__name__}: {error}", field="data") from error


def _agent_harm(path: Path) -> Iterator[Suite]:
    harmful = "harmful" in path.name
    yield Suite("agentharm-harmful" if harmful else "agentharm-benign", harmful, _prompts(json.loads(path.read_text(encoding="utf-8"))))


def _xstest(path: Path) -> Iterator[Suite]:
    with path.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    yield Suite("xstest-safe", False, tuple(row["prompt"] for row in rows if row["label"] == "safe"))
    yield Suite("xstest-unsafe", True, tuple(row["prompt"] for row in rows if row["label"] == "unsafe"))


def _not_inject(path: Path) -> Iterator[Suite]:
    yield Suite("notinject", False, _prompts(json.loads(path.read_text(encoding="utf-8"))))


def _agent_dojo(path: Path) -> Iterator[Suite]:
    yield Suite("agentdojo-user", False, _prompts(json.loads(path.read_text(encoding="utf-8"))))


def _prompts(rows: Any) -> tuple[str, ...]:
    rows = rows["behaviors"] if isinstance(rows, dict) else rows
    return tuple(str(row["prompt"]) for row in rows)


_READERS: tuple[tuple[str, Callable[[Path], Iterator[Suite]]], ...] = (
    ("agentharm*benign*.json", _agent_harm),
    ("agentharm*harmful*.json", _agent_harm),
    ("xstest*.csv", _xstest),
    ("notinject*.json", _not_inject),
    ("agentdojo_user*.json", _agent_dojo),
)
