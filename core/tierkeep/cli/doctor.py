"""What `tierkeep doctor` checks: that this store writes, recalls, forgets, keeps owners apart; what is installed."""

from __future__ import annotations

import importlib
import platform
import re
import secrets
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from tierkeep import Memory, TierkeepError, __version__

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

_DAY = "2026-01-05"
#: Integrations: the distribution of the framework, and the module that proves that it remembers.
_INTEGRATIONS = {
    "langchain": ("langchain", "tierkeep_langchain.proof"),
    "llamaindex": ("llama-index-core", "tierkeep_llamaindex.proof"),
    "smolagents": ("smolagents", "tierkeep_smolagents.proof"),
    # transformers itself comes with many things; llguidance is there for the sake of a local model
    "transformers": ("llguidance", "tierkeep_transformers.proof"),
}
_EXTRA = re.compile(r"""(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*).*\bextra\s*==\s*['"](?P<extra>[^'"]+)['"]""")


class Check(NamedTuple):
    """One check: its name, whether it passed, and what was seen."""

    name: str
    ok: bool
    detail: str = ""


def examine(memory: Memory) -> list[Check]:
    """Return the checks of one write, recall and forget, made in a scope nobody uses, which is empty afterwards."""
    mark = f"doctor{secrets.token_hex(6)}"
    mine = memory.scope(tenant="tierkeep-doctor", user=mark)
    other = memory.scope(tenant="tierkeep-doctor", user=f"{mark}-other")
    word = f"canary{secrets.token_hex(6)}"
    question = f"Where did we see the {word}?"
    try:
        checks = [
            _check("write", lambda: _write_seen(len(mine.add(f"We saw the {word} in Porto.", at=_DAY).ids))),
            _check("recall", lambda: (word in mine.recall(question).text, "the text comes back")),
            *([] if memory.describe()["embedder"] == "none" else [_check("vectors", lambda: _indexed(mine))]),
            _check("owners apart", lambda: (word not in other.recall(question).text, "another owner does not see it")),
        ]
    finally:
        report = mine.forget(everything=True)
    seen = report.note or f"{report.events} events removed, {report.canaries} rare words looked for"
    checks.append(Check("forget", report.complete and report.events > 0, " ".join((seen, *report.residue))))
    checks.append(_check("gone", lambda: (word not in mine.recall(question).text, "it does not come back")))
    return checks


def _indexed(mine: ScopedMemory) -> tuple[bool, str]:
    report = mine.index()
    return not report.vectors_missing, "the embedder makes vectors of what was written"


def _write_seen(count: int) -> tuple[bool, str]:
    return count == 1, f"{count} event stored"


def _check(name: str, action: Callable[[], tuple[bool, str]]) -> Check:
    try:
        ok, detail = action()
    except TierkeepError as error:
        return Check(name, False, f"{type(error).__name__}: {error}")
    return Check(name, ok, detail)


def integrations(memory: Memory) -> list[Check]:
    """Return a check of each integration whose framework is installed: a real agent with a scripted model is told a thing, and recalls it.

    Each works with an owner that nobody uses, which is forgotten afterwards.
    """
    return [_integration(memory, name, module) for name, (package, module) in _INTEGRATIONS.items() if _version_of(package)]


def _integration(memory: Memory, name: str, module: str) -> Check:
    user, word = f"doctor{secrets.token_hex(6)}", f"canary{secrets.token_hex(6)}"
    tenant = "tierkeep-doctor"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a framework's own deprecations are not for the reader of this
            prove = importlib.import_module(module).remembers
            ok = word in prove(memory, f"We saw the yellow tram in {word}.", "Where did we see the tram?", tenant=tenant, user=user)
        memory.scope(tenant=tenant, user=user).forget(everything=True)
    except (TierkeepError, ImportError) as error:
        return Check(name, False, f"{type(error).__name__}: {error}")
    version = _version_of(name) or _version_of(_INTEGRATIONS[name][0])
    return Check(name, ok, f"{version}: an agent recalls what it was told in another conversation")


def versions() -> dict[str, str]:
    """Return the versions of what a memory rests on."""
    found = {
        "tierkeep": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "full text (FTS5)": "yes" if _has_fts5() else "no",
    }
    for package in ("pydantic", "numpy", "snowballstemmer", "python-dateutil", "typer", "rich"):
        found[package] = _version_of(package) or "not installed"
    return found


def extras() -> dict[str, bool]:
    """Return the extras of the installed distribution, and whether everything that each one asks for is there."""
    wanted: dict[str, list[str]] = {}
    for requirement in _requirements():
        match = _EXTRA.match(requirement)
        if match and match["name"].lower() != "tierkeep":
            wanted.setdefault(match["extra"], []).append(match["name"])
    return {extra: all(_version_of(name) for name in names) for extra, names in sorted(wanted.items())}


def _requirements() -> Iterator[str]:
    try:
        yield from metadata.requires("tierkeep") or ()
    except metadata.PackageNotFoundError:  # run from a source tree
        return


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _has_fts5() -> bool:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
        except sqlite3.OperationalError:
            return False
    return True
