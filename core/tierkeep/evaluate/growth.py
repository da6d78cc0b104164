"""`tierkeep bench growth`: what adds, recalls, opening, disk and memory cost as a store grows, on messages made here.

Two stores grow: one of many scopes of equal size, and one that is a single scope. At each size a fresh process opens and asks, so nothing
is in memory that the measurement did not put there. A folder that is kept is gone on with: what is filled and measured is not done again.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import tierkeep
from tierkeep import Memory
from tierkeep.evaluate.growth_probe import shares
from tierkeep.evaluate.made_up import Maker, Vectors, timed
from tierkeep.scoped import ScopedMemory

__all__ = ["BOUND", "run"]

BOUND = 4 * 1024 * 1024
"""Bytes that the indexes may hold in the measurement of the bound."""

_BATCH = 500
_SINGLES = 300
_TOUCHED = 200  # scopes that one process asks, at most
_WARM = 20  # of them those that the ordinary questions go to
_OF_MANY = ("touched", "first_touch_p50_ms", "first_touch_p95_ms", "first_touch_cpu_p50_ms", "rss_opened_mb", "rss_touched_mb")
_COLD = """import sys; from tierkeep import Memory
with Memory.open(sys.argv[1]) as memory: memory.scope(user=sys.argv[2]).recall("What about the boat?", budget=2048)"""

Tick = Callable[[float, float], None]


def run(
    events: Sequence[int] = (1_000, 10_000, 100_000), *, scopes: int = 1_000, one: int = 100_000, dimension: int = 0, seed: int = 1,
    folder: Path | None = None, plot: Path | None = None, repeats: int = 5, progress: Tick = lambda done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the figures at each size, ready for JSON.

    Args:
        events: Sizes of the store of many scopes, ascending.
        scopes: Scopes that the largest of them has; each has the same number of events at every size.
        one: Largest size of the store that is a single scope, measured at the sizes up to it; 0 for no such store.
        dimension: Numbers in a made-up vector of each text; 0 for a memory without vectors.
        seed: Of the made-up texts.
        folder: Where the stores and finished measurements are kept, to go on with; a temporary one otherwise.
        plot: PNG file to draw the figures into.
        repeats: Openings of which the median is taken.
        progress: Is told how many events are stored, and how many will be.

    Raises:
        MissingExtraError: `plot` is given and matplotlib is not installed.
    """
    sizes = sorted(set(events))
    each = max(1, sizes[-1] // scopes)
    total = float(sizes[-1] + one)
    with tempfile.TemporaryDirectory() as temporary:
        growth = _Growth(Path(temporary) if folder is None else folder, each, dimension, seed, repeats)
        stages = [growth.stage("many", size, lambda done: progress(done, total)) for size in sizes]
        single = [growth.stage("one", size, lambda done: progress(sizes[-1] + done, total)) for size in _up_to(sizes, one)]
    report: dict[str, Any] = {
        "events": sizes[-1], "events_in_each_scope": each, "one": one, "dimension": dimension, "many_scopes": stages, "one_scope": single,
        "floors": _floors(stages, single), "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "version": tierkeep.__version__,
    }  # fmt: skip
    if plot is not None:
        from tierkeep.evaluate.growth_plot import draw

        draw(report, plot)
    return report


def _up_to(sizes: Sequence[int], most: int) -> list[int]:
    return sorted({size for size in sizes if size < most} | ({most} if most else set()))


def _floors(many: Sequence[Mapping[str, Any]], one: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what is promised of growth, as measured: the largest store's recall against the 10,000 events', and the opening."""
    found: dict[str, float] = {}
    if small := [stage for stage in many if stage["events"] == 10_000]:
        for name in ("recall_p50_ms", "recall_cpu_p50_ms"):
            found[f"{name}_largest_by_10000"] = round(many[-1][name] / small[0][name], 2)
    for name, stages in (("many", many), ("one", one)):
        found |= {f"{name}_open_to_answer_ms_100000": stage["open_to_answer_ms"] for stage in stages if stage["events"] == 100_000}
    return found


class _Growth:
    """Two stores in a folder, and what was measured of them."""

    def __init__(self, folder: Path, each: int, dimension: int, seed: int, repeats: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._each, self._dimension, self._seed = folder, each, dimension, seed
        self._repeats = repeats
        self._words = Maker(seed)
        self._file = folder / "stages.json"
        self._done: dict[str, dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}

    def stage(self, name: str, size: int, tell: Callable[[float], None]) -> dict[str, Any]:
        """Fill a store up to a size and measure it there; what was measured before is only given back."""
        key = f"{name} {size}"
        if key not in self._done:
            self._fill(name, size, tell)
            self._done[key] = {figure: _rounded(value) for figure, value in self._measured(name, size).items()}
            self._file.write_text(json.dumps(self._done, indent=1), encoding="utf-8")
        return self._done[key]

    def _open(self, name: str) -> Memory:
        return Memory.open(self._folder / name, embedder=Vectors(self._dimension) if self._dimension else None)

    def _owners(self, name: str, size: int) -> list[tuple[str, int]]:
        """Return the users of a store of a size, and how many events each has."""
        if name == "one":
            return [("one", size)]
        return [(f"u{number:04d}", min(self._each, size - number * self._each)) for number in range(-(-size // self._each))]

    def _fill(self, name: str, size: int, tell: Callable[[float], None]) -> None:
        with self._open(name) as memory:
            held = {owner.scope.user: owner.size.events for owner in memory.owners()}
            done = 0
            for number, (user, wanted) in enumerate(self._owners(name, size)):
                maker = Maker(self._seed + 1_000 + number + held.get(user, 0), like=self._words)
                for at in range(held.get(user, 0), wanted, _BATCH):
                    memory.scope(user=user).add(_messages(maker, min(_BATCH, wanted - at)))
                done += wanted
                tell(done)
            memory.settle()

    def _measured(self, name: str, size: int) -> dict[str, Any]:
        users = [user for user, _ in self._owners(name, size)]
        touched = users[:: max(1, len(users) // _TOUCHED)][:_TOUCHED]
        warm = touched[:: max(1, len(touched) // _WARM)][:_WARM]
        store, common = str(self._folder / name), {"seed": self._seed + size, "dimension": self._dimension}
        disk = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file())
        figures: dict[str, Any] = {"events": size, "scopes": len(users), "load_average": os.getloadavg()[0]}
        openings = [_probe("opening", folder=store, user=warm[-1], **common) for _ in range(self._repeats)]
        figures |= {figure: median(one[figure] for one in openings) for figure in openings[0]}
        figures["process_to_answer_ms"] = median(_spent(_COLD, store, warm[-1]) for _ in range(-(-self._repeats // 2)))
        figures |= _probe("reading", folder=store, users=warm, **common)
        many = _probe("reading", folder=store, users=touched, recalls=len(touched), **common)
        bounded = _probe("reading", folder=store, users=touched, recalls=len(touched), index_bytes=BOUND, **common)
        figures |= {figure: many[figure] for figure in _OF_MANY}
        figures |= {"rss_bounded_mb": bounded["rss_touched_mb"], "recall_bounded_p50_ms": bounded["recall_p50_ms"]}
        with self._open(name) as memory:
            figures |= {"disk_mb": disk / 1e6, "disk_bytes_by_event": disk / memory.stats()["events"]}
            figures |= {f"{what}_ms": timed(verb).ms for what, verb in (("owners", memory.owners), ("stats", memory.stats))}
            writer = memory.scope(user="one" if name == "one" else "writer")
            figures |= _writing(writer, Maker(self._seed + 7 * size, like=self._words), size)
            memory.settle()
        return figures


def _writing(mine: ScopedMemory, maker: Maker, size: int) -> dict[str, float]:
    """Measure single adds, and batches that together are no larger than the store."""
    mine.add(maker.text(), at=maker.moment())  # the first write prepares statements
    times = []
    for _ in range(_SINGLES):
        text, at = maker.text(), maker.moment()
        times.append(timed(partial(mine.add, text, at=at)))
    batches = [_messages(maker, _BATCH) for _ in range(max(1, min(size, 5_000) // _BATCH))]
    spent = [timed(partial(mine.add, batch)) for batch in batches]
    rate = 1000 * _BATCH * len(batches)
    return {
        **shares("add_one", times, 0.5, 0.95), "add_batch_per_s": rate / sum(one.ms for one in spent),
        "add_batch_per_cpu_s": rate / sum(one.cpu_ms for one in spent),
    }  # fmt: skip


def _messages(maker: Maker, count: int) -> list[dict[str, str]]:
    """Return messages, seven minutes after one another: each day is a conversation."""
    return [{"role": "user", "content": maker.text(), "at": maker.moment()} for _ in range(count)]


def _probe(what: str, **asked: Any) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "tierkeep.evaluate.growth_probe", json.dumps({"what": what, **asked})]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603  our own interpreter and module
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _spent(code: str, *values: str) -> float:
    """Return the milliseconds of a fresh interpreter that runs this code, from its start to its end."""
    return timed(lambda: subprocess.run([sys.executable, "-c", code, *values], check=True)).ms  # noqa: S603  our own interpreter, constant code


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
