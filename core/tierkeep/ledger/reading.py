"""From rows to events and records, for everybody who reads them: what a review has changed, and what a seal says of a row.

A quarantined event that was released is read as data, and one that its owner has confirmed may act. With a key, a row whose code does
not hold is never returned: it is as if it were gone, and the log names its number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from tierkeep.ledger.engine import Connection
from tierkeep.ledger.rows import EVENT_COLUMNS, RECORD_COLUMNS, dumps, event_from_row, record_from_row
from tierkeep.ledger.seal import StoreKey
from tierkeep.records import Authority, Event, Record, Scope

__all__ = ["EVENTS", "RECORDS", "events_of", "records_of", "sealed_elevation", "sealed_event", "sealed_record", "sealed_review"]

_log = logging.getLogger("tierkeep.ledger")

EVENTS = " ".join(
    (
        "SELECT", EVENT_COLUMNS, ", e.entry, r.authority, r.entry, x.entry FROM events AS e",
        "JOIN sessions AS s ON s.id = e.session AND +s.scope = e.scope",
        "LEFT JOIN reviews AS r ON r.scope = e.scope AND r.seq = e.seq",
        "LEFT JOIN elevations AS x ON x.scope = e.scope AND x.seq = e.seq WHERE e.scope = ?",
    )
)  # fmt: skip
"""What `events_of` reads; conditions may follow."""

RECORDS = " ".join(("SELECT seq,", RECORD_COLUMNS, "FROM records WHERE scope = ?"))
"""What `records_of` reads; conditions may follow."""

_AUTHORITY = EVENT_COLUMNS.split(", ").index("e.authority")
_ENTRY = len(EVENT_COLUMNS.split(", "))
_REVIEWED, _ELEVATED = _ENTRY + 1, _ENTRY + 3
_MACS = """SELECT kind, number, mac FROM seals
    WHERE kind IN (SELECT value FROM json_each(?)) AND name = '' AND number IN (SELECT value FROM json_each(?))"""


def events_of(connection: Connection, scope: Scope, rows: Iterable[Sequence[Any]], key: StoreKey | None) -> list[Event]:
    """Return the events of rows of `EVENTS`, with the authority that they have after review.

    Raises:
        StoreCorrupt: A row does not make an event (with a key, it is left out).
    """
    rows = list(rows)
    macs = {} if key is None else _macs(connection, ("event", "review", "elevation"), [row[0] for row in rows])
    events = []
    partition = scope.partition
    for full in rows:
        if key is None and full[_REVIEWED] is None and full[_ELEVATED] is None:
            events.append(event_from_row(partition, full[:_ENTRY]))  # as it was written: most are
            continue
        *row, entry, reviewed, review, elevated = full
        if key is not None and not key.holds(macs.get(("event", row[0])), "event", sealed_event(scope, entry, row)):
            _left_out("event", row[0])
            continue
        if reviewed is not None and row[_AUTHORITY] == Authority.QUARANTINED and reviewed == Authority.DATA:
            holds = key is None or key.holds(macs.get(("review", row[0])), "review", sealed_review(scope, row[0], reviewed, review))
            if holds:
                row[_AUTHORITY] = reviewed
            else:
                _left_out("review of event", row[0])
        if elevated is not None and row[_AUTHORITY] != Authority.QUARANTINED:
            if key is None or key.holds(macs.get(("elevation", row[0])), "elevation", sealed_elevation(scope, row[0], elevated)):
                row[_AUTHORITY] = Authority.ACT
            else:
                _left_out("elevation of event", row[0])
        events.append(event_from_row(partition, row))
    return events


def records_of(connection: Connection, scope: Scope, rows: Iterable[Sequence[Any]], key: StoreKey | None) -> list[Record]:
    """Return the records of rows of `RECORDS`.

    Raises:
        StoreCorrupt: A row does not make a record (with a key, it is left out).
    """
    if key is None:
        return [record_from_row(scope, tuple(row[1:])) for row in rows]
    rows = list(rows)
    macs = _macs(connection, ("record",), [row[0] for row in rows])
    records = []
    for seq, *row in rows:
        if key.holds(macs.get(("record", seq)), "record", sealed_record(scope, seq, row)):
            records.append(record_from_row(scope, tuple(row)))
        else:
            _left_out("record", seq)
    return records


def sealed_event(scope: Scope, entry: int, row: Sequence[Any]) -> list[Any]:
    """Return what an event's code covers: its owner, its chain entry, and (seq, session, position, id, …, meta) as stored."""
    return [*scope.partition, entry, *row]


def sealed_record(scope: Scope, seq: int, row: Sequence[Any]) -> list[Any]:
    """Return what a record's code covers: its owner, its place, and every column as stored."""
    return [*scope.partition, seq, *row]


def sealed_review(scope: Scope, seq: int, authority: int, entry: int) -> list[Any]:
    """Return what a review's code covers."""
    return [*scope.partition, seq, authority, entry]


def sealed_elevation(scope: Scope, seq: int, entry: int) -> list[Any]:
    """Return what an elevation's code covers."""
    return [*scope.partition, seq, int(Authority.ACT), entry]


def _macs(connection: Connection, kinds: Sequence[str], numbers: list[int]) -> dict[tuple[str, int], bytes]:
    return {(kind, number): mac for kind, number, mac in connection.execute(_MACS, (dumps(list(kinds)), dumps(numbers)))}


def _left_out(what: str, number: int) -> None:
    _log.warning("The seal of %s %d does not hold; it is left out. Run `tierkeep verify`.", what, number)
