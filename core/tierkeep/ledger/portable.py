"""Export and restore: a scope as JSON objects, without its owner, so that it can be restored into any scope.

Rows in order: a header `{"format": "tierkeep/1", …counts, "cursors": {deriver: events read}}`, then `{"event": …}` in ledger
order, `{"record": …}` in order of creation, `{"revision": …}` in order of change with `tx` numbered from 1, and the guard's log as
`{"guard": …}` when it has lines. Exporting what was restored into an empty scope gives the same rows again, but for the guard's log: it
says what the guard of its own store did, so a restore checks its form and leaves it out. An event that was released is exported as the
data that it is now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from datetime import date, datetime
from itertools import groupby
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tierkeep.errors import ImportFormatError, InputError, OpRefused, StoreUnavailable
from tierkeep.ledger import scopes
from tierkeep.ledger.engine import Connection, Store
from tierkeep.ledger.reading import RECORDS, records_of
from tierkeep.ledger.rows import dumps, event_to_json, loads, record_from_json, record_to_json
from tierkeep.ledger.seal import StoreKey
from tierkeep.ledger.transactions import TableTransaction
from tierkeep.ledger.views import TableView
from tierkeep.records import Authority, EventDraft, EventKind, Frozen, GuardEntry, Origin, Record, Role, Scope

__all__ = ["FORMAT", "export", "restore"]

FORMAT = "tierkeep/1"

_AT_ONCE_CHARS = 4_000_000  # of events that are held while they are exported (ours)
_KINDS = ("event", "record", "revision", "guard")
_Text = Annotated[str, Field(min_length=1)]


class _Header(Frozen):
    format: str
    events: Annotated[int, Field(ge=0)] | None = None
    records: Annotated[int, Field(ge=0)] | None = None
    revisions: Annotated[int, Field(ge=0)] | None = None
    guard: Annotated[int, Field(ge=0)] | None = None
    cursors: Mapping[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)


class _EventRow(Frozen):
    id: _Text
    session: str
    position: Annotated[int, Field(ge=0, lt=2**62)]
    kind: EventKind
    role: Role
    speaker: str
    text: str
    at: _Text
    ts: float
    origin: Origin
    authority: Authority
    meta: Mapping[str, Any]

    def draft(self) -> EventDraft:
        """The event as something to append; a ValueError when its time is not one."""
        date.fromisoformat(self.at[:10])
        if not math.isfinite(self.ts) or (len(self.at) != 10 and datetime.fromisoformat(self.at).tzinfo is None):
            raise ValueError
        return EventDraft.model_validate({name: getattr(self, name) for name in EventDraft.model_fields})


class _RevisionRow(Frozen):
    tx: int
    at: str
    op: _Text
    record: _Text
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    why: str
    by: str


# --------------------------------------------------------------------------------------------------------- export


def export(store: Store, scope: Scope, key: StoreKey | None = None) -> Iterator[dict[str, Any]]:
    """Yield the scope as JSON objects, as it stood when the first one was asked for.

    Events of a scope of ordinary size are read at that moment. Those of a larger one are read page by page, so as not to hold them all.

    Raises:
        StoreUnavailable: Something of a scope too large to be read at once was forgotten or restored meanwhile; export again.
    """
    with store.snapshot() as connection:
        view = TableView(lambda: nullcontext(connection), scope, key)
        generation, last = view.generation, view.last_seq
        header, records, revisions = _snapshot(connection, scope, key)
        guard = [entry.model_dump(mode="json") for entry in view.guard_log()]
        events = list(view.scan()) if view.size().chars <= _AT_ONCE_CHARS else None
    view = TableView(store.reading, scope, key)
    # A reader that does not know the guard's log reads every export that has none.
    yield {**header, "guard": len(guard)} if guard else header
    for event in view.scan() if events is None else events:
        if event.seq > last:
            break
        yield {"event": event_to_json(event)}
    if events is None and view.generation != generation:
        message = "The scope lost something while it was exported, so the export is not whole; export it again."
        raise StoreUnavailable(message, path=store.where)
    yield from ({"record": record} for record in records)
    yield from ({"revision": revision} for revision in revisions)
    yield from ({"guard": entry} for entry in guard)


def _snapshot(
    connection: Connection, scope: Scope, key: StoreKey | None
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    number = scopes.find(connection, scope)
    rows = connection.execute(" ".join((RECORDS, "ORDER BY seq")), (number,)).fetchall()
    records = [record_to_json(record) for record in records_of(connection, scope, rows, key)]
    rows = connection.execute(
        "SELECT j.tx, b.at, j.op, j.record, j.before, j.after, j.why, j.by FROM journal AS j "
        "JOIN batches AS b ON b.tx = j.tx AND +b.scope = j.scope WHERE j.scope = ? AND j.record <> '' ORDER BY j.row",
        (number,),
    ).fetchall()
    ranks = {tx: rank for rank, tx in enumerate(dict.fromkeys(row[0] for row in rows), start=1)}
    revisions = [
        {
            "tx": ranks[tx],
            "at": at,
            "op": op,
            "record": record,
            "before": before and loads(before),
            "after": after and loads(after),
            "why": why,
            "by": by,
        }
        for tx, at, op, record, before, after, why, by in rows
    ]
    cursors = connection.execute(
        "SELECT name, (SELECT count(*) FROM events WHERE scope = c.scope AND seq <= c.seq) FROM cursors AS c "
        "WHERE scope = ? ORDER BY name",
        (number,),
    )
    (events,) = connection.execute("SELECT count(*) FROM events WHERE scope = ?", (number,)).fetchone()
    header = {"format": FORMAT, "events": events, "records": len(records), "revisions": len(revisions)}
    return {**header, "cursors": dict(cursors.fetchall())}, records, revisions


# -------------------------------------------------------------------------------------------------------- restore


def restore(
    transaction: TableTransaction, connection: Connection, rows: Iterable[Mapping[str, Any]]
) -> tuple[int, int]:
    """Write exported rows inside a transaction; return (events, records) that were new.

    Raises:
        ImportFormatError: A row is not what `export` writes.
    """
    return _Restore(transaction, connection).run(rows)


class _Restore:
    """One restore: what was read so far, and where in the file it stands."""

    def __init__(self, transaction: TableTransaction, connection: Connection) -> None:
        self._transaction = transaction
        self._connection = connection
        self._scope = transaction.view.scope
        self._line = 0
        self._counts = dict.fromkeys(_KINDS, 0)
        self._seqs: list[int] = []  # place here of each event of the file, in its order
        self._new_events = 0
        self._records: list[Record] = []
        self._revisions: list[_RevisionRow] = []

    def run(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Read every row, then write what needs all of them."""
        header: _Header | None = None
        before = self._transaction.view.last_seq
        try:
            for self._line, row in enumerate(rows, start=1):
                if header is None:
                    header = self._header(row)
                else:
                    self._row(row)
            if header is None:
                raise ImportFormatError("The export is empty: not even a header.", line=1)
            self._check_counts(header)
            fresh = self._write_records()
            self._write_revisions(fresh)
            self._set_cursors(header, before)
        except ImportFormatError:
            raise
        except (ValidationError, KeyError, TypeError, ValueError, InputError, OpRefused) as error:
            said = str(error) if isinstance(error, InputError | OpRefused) else "a field is missing, unknown or of a wrong form"
            # No cause: a validation error carries the row.
            raise ImportFormatError(f"Row {self._line} of the export cannot be read: {said}", line=self._line) from None
        if self._new_events or fresh:
            scopes.touch(self._connection, self._transaction.table().number)
        return self._new_events, len(fresh)

    def _header(self, row: Mapping[str, Any]) -> _Header:
        header = _Header.model_validate(dict(row))
        if header.format != FORMAT:
            raise ImportFormatError(f'This is not an export that tierkeep reads: its format is not "{FORMAT}".', line=1)
        return header

    def _row(self, row: Mapping[str, Any]) -> None:
        if len(row) != 1 or (kind := next(iter(row))) not in _KINDS:
            message = f"Row {self._line} is neither an event, a record, a revision nor a line of the guard's log."
            raise ImportFormatError(message, line=self._line)
        self._counts[kind] += 1
        content = row[kind]
        if kind == "event":
            event = _EventRow.model_validate(content)
            self._new_events += self._transaction.restore_event(event.draft(), event.position)
            self._seqs += [stored.seq for stored in self._transaction.view.events([event.id])]
        elif kind == "record":
            self._records.append(record_from_json(self._scope, content))
        elif kind == "revision":
            self._revisions.append(_RevisionRow.model_validate(content))
        else:
            GuardEntry.model_validate(content)

    def _check_counts(self, header: _Header) -> None:
        for kind, stated in zip(_KINDS, (header.events, header.records, header.revisions, header.guard), strict=True):
            if stated is not None and stated != self._counts[kind]:
                message = f"The export is cut short or was edited: {stated} {kind}s announced, {self._counts[kind]} found."
                raise ImportFormatError(message, line=self._line)

    def _write_records(self) -> dict[str, Record]:
        """Write the records that are new, sources before what rests on them; return them by id."""
        table = self._transaction.table()
        fresh = {record.id: record for record in self._records if not table.exists(record.id)}
        if len({record.id for record in self._records}) != len(self._records):
            raise ImportFormatError("Two records of the export have the same id.", line=self._line)
        reach: dict[str, tuple[str, ...]] = {}
        for id_ in _sources_first(fresh):
            record = fresh[id_]
            outside = [source for source in record.sources if source not in fresh]
            sources = dict(zip(outside, table.sources(outside), strict=True)) if outside else {}
            limits = [fresh[s].authority if s in fresh else sources[s].authority for s in record.sources]
            if record.authority > min(limits):
                raise ImportFormatError("A record of the export claims more authority than its sources.", line=self._line)
            groups = (reach[s] if s in fresh else sources[s].roots for s in record.sources)
            reach[id_] = tuple(dict.fromkeys(root for group in groups for root in group))
            if not record.roots or not set(record.roots) <= set(reach[id_]):
                fresh[id_] = record.model_copy(update={"roots": reach[id_]})
        for record in fresh.values():
            table.insert(record)
        return fresh

    def _write_revisions(self, fresh: Mapping[str, Record]) -> None:
        """Write the history of what is new, so that it ends in each record as it stands."""
        table = self._transaction.table()
        images = {id_: dumps(record_to_json(record)) for id_, record in fresh.items()}
        known = {
            row[0] for row in self._connection.execute("SELECT DISTINCT record FROM journal WHERE scope = ?", (table.number,))
        }
        last: dict[str, str | None] = {}
        for _, group in groupby(self._revisions, key=lambda revision: revision.tx):
            wanted = [r for r in group if r.record in fresh or not (r.record in known or table.exists(r.record))]
            for revision in wanted:
                states = (self._image(revision.before), self._image(revision.after))
                last[revision.record] = states[1]
                self._transaction.write_images(revision.record, revision.op, states, revision.why, revision.by)
            if wanted:
                self._transaction.finish_batch("restore", at=wanted[0].at)
        if any(last[id_] is not None for id_ in last if id_ not in fresh):
            raise ImportFormatError("The history ends in a record that the export does not have.", line=self._line)
        changed = [id_ for id_, image in images.items() if last.get(id_) != image]
        for id_ in changed:
            # It came without a history, or was altered on the way in (an import's authority is capped).
            op = "restore" if id_ in last else "add"
            self._transaction.write_images(id_, op, (last.get(id_), images[id_]), "", "restore")
        if changed:
            self._transaction.finish_batch("restore")

    def _image(self, image: Mapping[str, Any] | None) -> str | None:
        return None if image is None else dumps(record_to_json(record_from_json(self._scope, image)))

    def _set_cursors(self, header: _Header, before: int) -> None:
        """Let derivers go on behind the restored events when they had read all that was here before."""
        for name, read in header.cursors.items():
            if 0 < read <= len(self._seqs) and self._transaction.cursor(name) >= before:
                self._transaction.advance(name, max(self._seqs[:read]))


def _sources_first(records: Mapping[str, Record]) -> Iterator[str]:
    """Ids such that every record comes after the ones it is derived from.

    Raises:
        ImportFormatError: A record is derived from itself.
    """
    done: set[str] = set()
    for start in records:
        path: dict[str, Iterator[str]] = {}
        if start not in done:
            path[start] = iter(records[start].sources)
        while path:
            id_ = next(reversed(path))
            step = next((s for s in path[id_] if s in records and s not in done), None)
            if step is None:
                del path[id_]
                done.add(id_)
                yield id_
            elif step in path:
                raise ImportFormatError("A record of the export is derived from itself.")
            else:
                path[step] = iter(records[step].sources)
