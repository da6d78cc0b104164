"""What every part of the ledger contract uses: builders, comparisons, and the object under test."""

from __future__ import annotations

import json
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from tierkeep.errors import TierkeepError
from tierkeep.protocols import Ledger, View
from tierkeep.records import Authority, Event, EventDraft, Op, Origin, Record, Scope, TermRow

__all__ = ["ANA", "BOB", "LedgerUnderTest", "draft", "record", "refused", "snapshot", "state", "term_rows"]

ANA = Scope(user="ana")
BOB = Scope(user="bob")


def draft(text: str, *, session: str = "s1", **fields: Any) -> EventDraft:
    """Return a user's message as an event draft; `fields` override."""
    given: dict[str, Any] = {
        "session": session,
        "role": "user",
        "speaker": "Ana",
        "text": text,
        "at": "2026-05-02T10:00:00+01:00",
        "ts": 1777712400.0,
        "origin": Origin.user("ana"),
        "authority": Authority.ADVISE,
    }
    return EventDraft(**{**given, **fields})


def term_rows(view: View, after_seq: int = 0) -> list[TermRow]:
    """Return what an index needs of each event after a place, event by event."""
    return [row for page in view.term_pages(after_seq) for row in page.rows()]


def record(id_: str, *sources: str, scope: Scope = ANA, **fields: Any) -> Record:
    """Return a fact as a draft record; `fields` override."""
    given: dict[str, Any] = {"kind": "fact", "text": f"text of {id_}", "key": f"key of {id_}"}
    given |= {"origin": Origin.user("ana"), "authority": Authority.ADVISE, "observed_at": "2026-05-02"}
    return Record(id=id_, scope=scope, sources=sources, **{**given, **fields})


def snapshot(ledger: Ledger, scope: Scope) -> str:
    """Return everything the scope holds as one text: equal texts are equal states."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in ledger.export(scope))


def state(ledger: Ledger, scope: Scope) -> list[dict[str, Any]]:
    """Return events and records as they stand, without their history."""
    return [dict(row) for row in ledger.export(scope) if "event" in row or "record" in row]


@contextmanager
def refused(*errors: type[TierkeepError]) -> Iterator[None]:
    """Return a context whose body must raise one of these typed errors."""
    try:
        yield
    except errors as error:
        assert str(error), "an error says what happened"
    else:
        raise AssertionError(f"nothing was raised, expected {errors}")


class LedgerUnderTest:
    """The ledger of one test, and how a test changes it.

    Attributes:
        threads: How many threads write at once in the concurrency tests.
    """

    threads: ClassVar[int] = 4

    def make_ledger(self) -> Ledger:
        """Return an empty ledger. It is closed after the test."""
        raise unittest.SkipTest("a contract itself has no ledger: subclass it")

    def reopen(self) -> Ledger:
        """Return a second ledger on the store of the last `make_ledger`, as another process would open it."""
        raise unittest.SkipTest("this store lives and dies with its object")

    def setup_method(self) -> None:
        """Open a ledger for each test."""
        self.ledger = self.make_ledger()

    def teardown_method(self) -> None:
        """Close it; it must then still be sound."""
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.ledger.close()

    def _append(self, *texts: str, scope: Scope = ANA, **fields: Any) -> list[Event]:
        with self.ledger.transaction(scope) as tx:
            return [appended.event for appended in tx.append([draft(text, **fields) for text in texts])]

    def _apply(self, *ops: Op, scope: Scope = ANA) -> list[str]:
        with self.ledger.transaction(scope) as tx:
            return tx.apply(list(ops))

    def _add(self, id_: str, *sources: str, **fields: Any) -> None:
        self._apply(Op(op="add", record=record(id_, *sources, **fields)))

    def _get(self, id_: str, scope: Scope = ANA) -> Record:
        return self.ledger.view(scope).get([id_])[0]

    def _sound(self) -> None:
        report = self.ledger.verify()
        assert report.ok, report.problems
