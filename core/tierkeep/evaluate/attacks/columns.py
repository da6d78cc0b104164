"""The guards that are compared: each a set of checks that plain stores get as a wrapper, and tierkeep as its own guard.

A guard that this installation does not have is skipped, and the report says so. To add one, add a line to `COLUMNS`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tierkeep import Settings
from tierkeep.allowance import Allowance
from tierkeep.errors import MissingExtraError, SettingsError
from tierkeep.guard.amemguard.backends import RulesBackend
from tierkeep.guard.amemguard.consensus import AMemGuard
from tierkeep.guard.authority import AuthorityGuard
from tierkeep.guard.chain import WriteCheck
from tierkeep.guard.safeharbor.check import RiskCheck
from tierkeep.guard.safeharbor.gate import SafeHarbor
from tierkeep.guard.screening import ScreeningGuard
from tierkeep.protocols import Consensus, Embedder, RiskSignal
from tierkeep.records import Authority, EventDraft, Hit, Query, Risk, Scope

NONE = "none"


@dataclass(frozen=True, slots=True)
class Column:
    """One guard.

    Attributes:
        name: As the table and `--guard` have it.
        write: Checks on write, in order.
        consensus: What compares the memories that plain stores find; None for nothing.
        gate: Whether an agent asks before a call with side effects, and authority goes with derived texts.
        own: What tierkeep's default guard gets besides, where it is used instead of these checks; None where it is not.
        options: What `Memory.open` gets besides.
    """

    name: str
    write: tuple[WriteCheck, ...] = ()
    consensus: Consensus | None = None
    gate: bool = False
    own: tuple[WriteCheck, ...] | None = None
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


class KnownRisks:
    """A risk signal that looks at no text twice: trials share most of their texts."""

    def __init__(self, signal: RiskSignal) -> None:
        self._signal = signal
        self._known: dict[str, Risk] = {}

    def assess(self, text: str, allowance: Allowance | None = None) -> Risk:
        """Return the risk of a text."""
        if text not in self._known:
            self._known[text] = self._signal.assess(text, allowance)
        return self._known[text]


class Unavailable(Exception):
    """This installation cannot offer a guard; the text says why."""


def _none(embedder: Embedder | None) -> Column:
    return Column(NONE)


def _screening(embedder: Embedder | None) -> Column:
    return Column("screening", write=(ScreeningGuard(),))


def _safeharbor(embedder: Embedder | None) -> Column:
    return Column("safeharbor", write=(_risk(embedder),))


def _risk(embedder: Embedder | None) -> WriteCheck:
    if embedder is None:
        raise Unavailable("SafeHarbor compares meanings: give --embedder minilm")
    try:
        return RiskCheck(KnownRisks(SafeHarbor.bundled(embedder)))
    except (MissingExtraError, SettingsError) as error:
        raise Unavailable(str(error)) from error


def _amemguard(embedder: Embedder | None) -> Column:
    numbers = Settings().amemguard
    return Column("amemguard", consensus=AMemGuard(RulesBackend(numbers), numbers), options={"consensus": "rules"})


def _authority(embedder: Embedder | None) -> Column:
    return Column("authority", write=(AuthorityGuard(),), gate=True)


def _all(embedder: Embedder | None) -> Column:
    """Return everything at once; SafeHarbor only where it is available, as `columns` says of the column that it has alone."""
    more: list[WriteCheck] = []
    with contextlib.suppress(Unavailable):
        more.append(_risk(embedder))
    compared = _amemguard(embedder)
    return Column("all", (AuthorityGuard(), ScreeningGuard(), *more), compared.consensus, True, tuple(more), compared.options)


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
