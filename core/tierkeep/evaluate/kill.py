"""Does an acknowledged write survive `kill -9`? A writer process is killed at random moments and its store examined.

The writer appends events, derives a record from each in a second transaction, and forgets one now and then. After each
step it prints what is done; a line that was read is a promise. Before each forget it prints what it is about to do: if it is
killed there, the event and the record derived from it must both be there or both be gone.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tierkeep.clock import SystemClock
from tierkeep.errors import StorageError
from tierkeep.ledger import SqliteLedger
from tierkeep.records import Authority, EventDraft, Op, Origin, Record, Scope

__all__ = ["kill_trials", "main"]

_SCOPE = Scope(user="writer")
_LONGEST_S = 0.25  # a writer lives at most this long after its imports
_FORGET_EVERY = 9


def kill_trials(n: int, folder: Path, seed: int) -> dict[str, int]:
    """Kill a writer `n` times and examine each store.

    Args:
        n: How many writers.
        folder: Where their stores go; one sub-folder each, which must not exist.
        seed: Decides the moments of the kills.

    Returns:
        trials: Writers killed. acknowledged: steps that had been promised. lost: promises broken, half-done forgets included.
        unopenable: stores that could not be opened. verify_failed: stores whose chain or file did not hold.
    """
    moments = random.Random(seed)  # noqa: S311 - reproducible moments, not secrets
    totals = {"trials": n, "acknowledged": 0, "lost": 0, "unopenable": 0, "verify_failed": 0}
    for trial in range(n):
        path = folder / f"trial-{trial}"
        said = _killed_writer(path, moments.uniform(0.0, _LONGEST_S))
        totals["acknowledged"] += sum(line[0] in "ERF" for line in said)
        try:
            ledger = SqliteLedger(path, clock=SystemClock())
        except StorageError:
            totals["unopenable"] += 1
            continue
        with ledger:
            totals["lost"] += _broken_promises(ledger, said)
            totals["verify_failed"] += not ledger.verify().ok
    return totals


def _killed_writer(path: Path, delay_s: float) -> list[str]:
    """Start a writer, kill it that long after its imports; return the whole lines it had printed."""
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "tierkeep.evaluate.kill", "--writer", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:  # noqa: S603 - our own module
        out = writer.stdout
        if out is None or out.readline() != b"ready\n":
            raise RuntimeError("the writer did not start")
        time.sleep(delay_s)
        writer.send_signal(signal.SIGKILL)
        said = out.read().decode()
    return said[: said.rfind("\n") + 1].splitlines()


def _broken_promises(ledger: SqliteLedger, said: Sequence[str]) -> int:
    """How many of a dead writer's lines its store does not keep."""
    view = ledger.view(_SCOPE)
    events = {event.id for event in view.scan()}
    records = {record.id for record in view.records(status=None)}
    kept: dict[str, bool] = {}  # id of each event or record that was promised: must it be there?
    broken = 0
    for line in said:
        step, id_ = line.split(" ")
        if step in "ER":
            kept[id_] = True
        elif step == "F":
            kept[id_] = kept[f"r{id_}"] = False
        else:  # about to forget: an "F" follows unless it was killed in between
            kept.pop(id_), kept.pop(f"r{id_}")
            broken += (id_ in events) != (f"r{id_}" in records)
    return broken + sum((id_ in events or id_ in records) != must for id_, must in kept.items())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _write_for_ever(path: Path) -> None:
    """Write until killed, saying what is done."""
    _say("ready")
    ledger = SqliteLedger(path, clock=SystemClock())
    origin = Origin.user()
    for number in count():
        id_ = f"e{number}"
        text = f"message {number} " + "x" * (number % 13) * 300
        draft = EventDraft(
            id=id_, session="s", role="user", speaker="w", text=text, at="2026-01-01", ts=0.0, origin=origin, authority=Authority.ADVISE
        )
        with ledger.transaction(_SCOPE) as transaction:
            transaction.append([draft])
            transaction.advance("records", number)
        _say(f"E {id_}")
        derived = Record(
            id=f"r{id_}", scope=_SCOPE, kind="fact", text=text, sources=(id_,), origin=origin, authority=Authority.ADVISE
        )
        with ledger.transaction(_SCOPE) as transaction:
            transaction.apply([Op(op="add", record=derived), Op(op="stat", target=derived.id, patch={"n": number})])
        _say(f"R {derived.id}")
        if number % _FORGET_EVERY == _FORGET_EVERY - 1:
            doomed = f"e{number - _FORGET_EVERY // 2}"
            _say(f"f {doomed}")
            ledger.forget(_SCOPE, [doomed])
            _say(f"F {doomed}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the writer: `python -m tierkeep.evaluate.kill --writer PATH`."""
    parser = argparse.ArgumentParser(description="Write to a store until killed.")
    parser.add_argument("--writer", type=Path, required=True, metavar="PATH")
    _write_for_ever(parser.parse_args(arguments).writer)


if __name__ == "__main__":
    main()
