"""No pattern of the guard takes more than its text's length: ratios of two lengths, never milliseconds (guard spec S5.2)."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
import time
from collections.abc import Callable

import pytest

import tierkeep.guard
from tierkeep.guard.orders import orders
from tierkeep.guard.redaction import Redactor
from tierkeep.guard.screening import signals

HOSTILE = (
    "a", " ", "\n ", "1", "1 ", "1-", "a.", "a@", "a@a.", "password ", "password: ", "token=", "eyJ", "sk-", "AKIA", "://", "a://a:", "-",
    "-----BEGIN ", "ignore all ", "system ", "send to ", "_", "[", "(", "ab12", "+1", "SG.", "curl ", "mark ", "remember ", "never tell ",
    "\u5ffd\u7565", "A1-", "0x",
)  # fmt: skip
SHORT, LONG = 2_000, 8_000
#: Times below this are noise; a quadratic pattern takes longer for `LONG` characters even where few of them begin a match.
_NOISE_S = 0.005


def patterns() -> list[tuple[str, re.Pattern[str]]]:
    found: dict[str, re.Pattern[str]] = {}
    for info in pkgutil.walk_packages(tierkeep.guard.__path__, "tierkeep.guard."):
        for name, value in vars(importlib.import_module(info.name)).items():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            for place, one in enumerate(held):
                own = getattr(one, "pattern", one)
                if isinstance(own if isinstance(own, re.Pattern) else one, re.Pattern):
                    found[f"{info.name}.{name}.{place}"] = own if isinstance(own, re.Pattern) else one
    return list(found.items())


def fastest(work: Callable[[str], object], text: str) -> float:
    """Return the seconds of this thread alone, the best of three tries; one is enough where it is noise, or so long that little is."""
    best = math.inf
    for _ in range(3):
        began = time.thread_time()
        work(text)
        best = min(best, time.thread_time() - began)
        if not _NOISE_S <= best <= 10 * _NOISE_S:
            break
    return best


def slope(work: Callable[[str], object], piece: str) -> float:
    """Return the exponent with which time grows with length; 0 where the longer text takes too short to tell."""
    short, long = (piece * (size // len(piece)) for size in (SHORT, LONG))
    took = fastest(work, long)
    return 0.0 if took < _NOISE_S else math.log(took / max(fastest(work, short), 1e-9)) / math.log(LONG / SHORT)


def test_there_are_patterns_to_try() -> None:
    assert len(patterns()) > 50


def test_every_pattern_is_linear() -> None:
    steep = []
    for name, pattern in patterns():
        for piece in HOSTILE:
            work = lambda text, pattern=pattern: sum(1 for _ in pattern.finditer(text))  # noqa: E731
            if slope(work, piece) > 1.4 and slope(work, piece) > 1.4:  # twice: another process may have had the first
                steep.append((name, piece))
    assert steep == []


@pytest.mark.parametrize("work", [Redactor().find, signals, orders], ids=["redaction", "screening", "orders"])
def test_the_whole_is_linear(work: Callable[[str], object]) -> None:
    assert [piece for piece in HOSTILE if slope(work, piece) > 1.4 and slope(work, piece) > 1.4] == []


def test_the_measure_can_fail() -> None:
    quadratic = re.compile(r"\s+x")
    assert slope(lambda text: quadratic.search(text), " ") > 1.6
