"""The guards that are compared: each a set of checks that plain stores get as a wrapper, and tierkeep as its own guard.

A guard that this installation does not have is skipped, and the report says so. To add one, add a line to `COLUMNS`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tierkeep import Memory
from tierkeep.guard.authority import AuthorityGuard
from tierkeep.guard.chain import WriteCheck
from tierkeep.guard.screening import ScreeningGuard
from tierkeep.protocols import Consensus, Embedder, RiskSignal
from tierkeep.records import FROM_OUTSIDE, Authority, EventDraft, Hit, Query, Scope
from tierkeep.scoped import ScopedMemory

NONE = "none"


@dataclass(frozen=True, slots=True)
class Column:
    """One guard.

    Attributes:
        name: As the table and `--guard` have it.
        write: Checks on write, in order.
        consensus: What compares the memories that plain stores find; None for nothing.
        gate: Whether an agent asks before a call with side effects, and authority goes with derived texts.
        own: Whether tierkeep uses its default guard instead of these checks.
        options: What `Memory.open` gets besides.
    """

    name: str
    write: tuple[WriteCheck, ...] = ()
    consensus: Consensus | None = None
    gate: bool = False
    own: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class Checks:
    """A guard made of a column's checks, for tierkeep's own memory. Without any it lets everything in and out."""

    def __init__(self, column: Column) -> None:
        self._column = column

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as the checks let it in."""
        for check in self._column.write:
            draft = check.admit(draft, scope)
        return draft

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return what is not quarantined: to have no guard is not to have no store."""
        return [hit for hit in hits if hit.item.authority > Authority.QUARANTINED]


class RiskCheck:
    """Quarantines what comes from outside and which a risk signal would block (SafeHarbor as a signal; guard spec, 2.11)."""

    def __init__(self, signal: RiskSignal) -> None:
        self._signal = signal
        self._known: dict[str, bool] = {}

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft, quarantined when it is a risk."""
        if draft.origin.source not in FROM_OUTSIDE:
            return draft
        if draft.text not in self._known:
            self._known[draft.text] = self._signal.assess(draft.text).branch == "block"
        return draft.model_copy(update={"authority": Authority.QUARANTINED}) if self._known[draft.text] else draft


class Unavailable(Exception):
    """This installation cannot offer a guard; the text says why."""


def _none(embedder: Embedder | None) -> Column:
    return Column(NONE)


def _screening(embedder: Embedder | None) -> Column:
    return Column("screening", write=(ScreeningGuard(),))


def _safeharbor(embedder: Embedder | None) -> Column:
    return Column("safeharbor", write=(_risk(embedder),))


def _risk(embedder: Embedder | None) -> RiskCheck:
    if embedder is None:
        raise Unavailable("SafeHarbor needs an embedder: give --embedder minilm")
    name = "tierkeep.guard.safeharbor.gate"
    if importlib.util.find_spec("tierkeep.guard.safeharbor") is None or importlib.util.find_spec(name) is None:
        raise Unavailable("this installation has no SafeHarbor")
    return RiskCheck(importlib.import_module(name).SafeHarbor.bundled(embedder))


def _amemguard(embedder: Embedder | None) -> Column:
    if "consensus" not in inspect.signature(Memory.open).parameters:
        raise Unavailable("this installation has no A-MemGuard")
    return Column("amemguard", options={"consensus": "rules"})


def _authority(embedder: Embedder | None) -> Column:
    return Column("authority", write=(AuthorityGuard(),), gate=True)


def _all(embedder: Embedder | None) -> Column:
    write: list[WriteCheck] = [AuthorityGuard(), ScreeningGuard()]
    options: dict[str, Any] = {}
    try:
        write.append(_risk(embedder))
    except Unavailable:
        pass
    try:
        options.update(_amemguard(embedder).options)
    except Unavailable:
        pass
    return Column("all", write=tuple(write), gate=True, own=True, options=options)


COLUMNS: Mapping[str, Callable[[Embedder | None], Column]] = {
    NONE: _none, "screening": _screening, "safeharbor": _safeharbor, "amemguard": _amemguard, "authority": _authority, "all": _all,
}  # fmt: skip


def columns(names: Sequence[str], embedder: Embedder | None) -> tuple[list[Column], dict[str, str]]:
    """Return the guards of these names, the undefended one first and always, and why others are skipped.

    Args:
        names: Of `COLUMNS`.
        embedder: What guards that compare meanings work with; None for none.
    """
    made, skipped = [], {}
    for name in dict.fromkeys([NONE, *names]):
        try:
            made.append(COLUMNS[name](embedder))
        except Unavailable as why:
            skipped[name] = str(why)
    return made, skipped


def gated() -> bool:
    """Return whether this installation's memory has an action gate."""
    return hasattr(ScopedMemory, "guard")
