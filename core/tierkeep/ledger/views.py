"""Reading one scope. Every statement here carries the scope's number; there is no way to ask for another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tierkeep.ledger import lexicon, scopes, vectors
from tierkeep.ledger.engine import Connection, Lend
from tierkeep.ledger.guarded import entries_of
from tierkeep.ledger.reading import EVENTS, RECORDS, events_of, records_of
from tierkeep.ledger.rows import dumps
from tierkeep.ledger.seal import StoreKey
from tierkeep.protocols import Size, VectorPage
from tierkeep.records import Event, GuardEntry, Record, Scope, TermPage

__all__ = ["TableView"]

_PAGE = 512  # events per read: a page is one short read, so that neither a fork nor a checkpoint waits for a slow consumer
_END = 2**63 - 1  # behind every place

_EVENTS_BY_ID = " ".join((EVENTS, "AND e.id IN (SELECT value FROM json_each(?))"))
# The plus keeps SQLite from going through the index of the scope first: a place names its row.
_EVENTS_BY_SEQ = " ".join((EVENTS.replace("WHERE e.scope", "WHERE +e.scope"), "AND e.seq IN (SELECT value FROM json_each(?))"))
_EVENTS_AFTER = " ".join((EVENTS, "AND e.seq > ? ORDER BY e.seq LIMIT ?"))
# Named, because SQLite would go through all of the scope: it does not know how few these are.
_QUARANTINED = " ".join(
    (EVENTS.replace("events AS e", "events AS e INDEXED BY events_in_quarantine"), "AND e.authority = 0 AND r.seq IS NULL ORDER BY e.seq")
)
_SEQS_OF_SESSION = """SELECT e.seq FROM events AS e JOIN sessions AS s ON s.id = e.session
    AND +e.scope = s.scope WHERE s.scope = ? AND s.name = ? AND e.seq > ? ORDER BY e.seq"""
_EVENTS_BEFORE = " ".join((EVENTS, "AND e.seq < ? ORDER BY e.seq DESC LIMIT ?"))
_SEQS_OF_SESSION_BEFORE = """SELECT e.seq FROM events AS e JOIN sessions AS s ON s.id = e.session
    AND +e.scope = s.scope WHERE s.scope = ? AND s.name = ? AND e.seq < ? ORDER BY e.seq DESC LIMIT ?"""
_SESSIONS = """SELECT min(s.name), count(*) FROM lexicon AS l JOIN sessions AS s ON s.id = l.session AND +s.scope = l.scope
    WHERE l.scope = ? GROUP BY l.session ORDER BY min(l.seq)"""
_NEWEST_BATCH = "SELECT max(tx) FROM batches WHERE scope = ?"
_TOUCHED = """SELECT j.record FROM batches AS b JOIN journal AS j ON j.tx = b.tx AND +j.scope = b.scope
    WHERE b.scope = ? AND b.tx > ? GROUP BY j.record ORDER BY min(j.row)"""
_CURSOR = "SELECT seq FROM cursors WHERE scope = ? AND name = ?"
_RECORDS_BY_ID = " ".join((RECORDS, "AND id IN (SELECT value FROM json_each(?))"))


class TableView:
    """Read-only window on one scope (`tierkeep.protocols.View`).

    Args:
        lend: Gives a connection for one short read.
        scope: Whose memory.
        key: The key of a sealed store: rows whose code does not hold are left out.
        number: The scope's number, where a transaction knows it; looked up for each read otherwise.
    """

    def __init__(self, lend: Lend, scope: Scope, key: StoreKey | None = None, number: Callable[[], int] | None = None) -> None:
        self._lend = lend
        self._key = key
        self._known = number
        self.scope = scope

    def _number(self, connection: Connection) -> int:
        return scopes.find(connection, self.scope) if self._known is None else self._known()

    @property
    def generation(self) -> int:
        """A number that changes whenever something already read may have gone."""
        with self._lend() as connection:
            return scopes.generation(connection, self.scope)

    @property
    def last_seq(self) -> int:
        """The newest event's place in the ledger, 0 when there is none."""
        with self._lend() as connection:
            number = self._number(connection)
            row = connection.execute("SELECT max(seq) FROM events WHERE scope = ?", (number,)).fetchone()
            return int(row[0] or 0)

    def size(self) -> Size:
        """Return how many events the scope has, and how many characters their texts have together."""
        with self._lend() as connection:
            return scopes.size(connection, self.scope)

    def events(self, ids: Sequence[str]) -> list[Event]:
        """Return the events with these ids, in that order; unknown ids are left out."""
        found = {event.id: event for event in self._events(_EVENTS_BY_ID, dumps(list(ids)))} if ids else {}
        return [found[id_] for id_ in ids if id_ in found]

    def events_at(self, seqs: Sequence[int]) -> list[Event]:
        """Return the events at these places, in that order; unknown places are left out."""
        places = [int(seq) for seq in seqs]
        found = {event.seq: event for event in self._events(_EVENTS_BY_SEQ, dumps(places))} if places else {}
        return [found[seq] for seq in places if seq in found]

    def scan(self, *, after_seq: int = 0, session: str | None = None, limit: int | None = None) -> Iterator[Event]:
        """Yield events in ledger order. Events appended while it runs may or may not be among them."""
        pages = self._pages(after_seq) if session is None else self._session_pages(after_seq, session)
        left = -1 if limit is None else max(limit, 0)
        for page in pages:
            for event in page:
                if left == 0:
                    return
                left -= 1
                yield event

    def _pages(self, after_seq: int) -> Iterator[list[Event]]:
        while True:
            with self._lend() as connection:
                rows = connection.execute(_EVENTS_AFTER, (self._number(connection), after_seq, _PAGE)).fetchall()
                page = events_of(connection, self.scope, rows, self._key)
            yield page
            if len(rows) < _PAGE:  # not those of the page: a row whose seal does not hold is left out
                return
            after_seq = rows[-1][0]

    def _session_pages(self, after_seq: int, session: str) -> Iterator[list[Event]]:
        with self._lend() as connection:
            number = self._number(connection)
            rows = connection.execute(_SEQS_OF_SESSION, (number, session, after_seq)).fetchall()
        seqs = [row[0] for row in rows]
        for at in range(0, len(seqs), _PAGE):
            yield self.events_at(seqs[at : at + _PAGE])

    def newest(self, limit: int, *, session: str | None = None, before: int | None = None) -> list[Event]:
        """Return the last events in ledger order, the newest first; see `tierkeep.protocols.View.newest`."""
        found: list[Event] = []
        place = _END if before is None else before
        while (left := min(limit - len(found), _PAGE)) > 0:
            with self._lend() as connection:
                number = self._number(connection)
                if session is None:
                    rows = connection.execute(_EVENTS_BEFORE, (number, place, left)).fetchall()
                    found += events_of(connection, self.scope, rows, self._key)
                else:
                    rows = connection.execute(_SEQS_OF_SESSION_BEFORE, (number, session, place, left)).fetchall()
            if session is not None:
                found += self.events_at([row[0] for row in rows])
            if len(rows) < left:  # a row whose seal does not hold is left out of what was found
                break
            place = rows[-1][0]
        return found

    def _events(self, statement: str, *values: Any) -> list[Event]:
        with self._lend() as connection:
            rows = connection.execute(statement, (self._number(connection), *values)).fetchall()
            return events_of(connection, self.scope, rows, self._key)

    def quarantined(self) -> list[Event]:
        """Return the events that are quarantined and were not released, in ledger order."""
        return self._events(_QUARANTINED)

    def guard_log(self, after: int = 0) -> Iterator[GuardEntry]:
        """Yield the guard's entries about this scope whose number is greater than `after`, oldest first."""
        while True:
            with self._lend() as connection:
                page = entries_of(connection, self._number(connection), after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].n

    def sessions(self) -> list[tuple[str, int]]:
        """Return (session, number of events), in order of first event."""
        with self._lend() as connection:
            return connection.execute(_SESSIONS, (self._number(connection),)).fetchall()

    def term_pages(self, after_seq: int = 0) -> Iterator[TermPage]:
        """Yield what a lexical index needs of each event, in ledger order, in pages of columns."""
        return lexicon.pages(self._lend, self.scope, after_seq)

    def vectors(self, identity: str, after_seq: int = 0) -> Iterator[VectorPage]:
        """Yield the vectors that an embedder made of this scope's events, in ledger order."""
        return vectors.pages(self._lend, self.scope, identity, after_seq)

    def embedded(self, identity: str) -> int:
        """Return the place up to which an embedder has been through this scope's events; 0 at first."""
        with self._lend() as connection:
            return vectors.mark(connection, self._number(connection), identity)

    def records(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        status: str | None = "active",
        source: str | None = None,
        prefix: str | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """Return records in order of creation, filtered; see `tierkeep.protocols.View.records`."""
        parts = [RECORDS]
        values: list[str | int] = []
        # A source has few records and a kind may have many: the plus keeps SQLite from going through all of the kind first.
        other = "" if source is None else "+"
        for condition, value in (
            (f"AND {other}kind = ?", kind),
            (f"AND {other}key = ?", key),
            ("AND status = ?", status),
            ("AND id IN (SELECT record FROM provenance WHERE scope = records.scope AND source = ?)", source),
            ("AND key >= ?", prefix),
            ("AND key < ?", None if prefix is None else f"{prefix}\U0010ffff"),
        ):
            if value is not None:
                parts.append(condition)
                values.append(value)
        parts.append("ORDER BY seq")
        if limit is not None:
            parts.append("LIMIT ?")
            values.append(max(limit, 0))
        return self._records(" ".join(parts), *values)

    def get(self, ids: Sequence[str]) -> list[Record]:
        """Return the records with these ids, in that order, whatever their status; unknown ids are left out."""
        found = {record.id: record for record in self._records(_RECORDS_BY_ID, dumps(list(ids)))} if ids else {}
        return [found[id_] for id_ in ids if id_ in found]

    def changes(self, after: int = 0) -> tuple[int, list[str]]:
        """Return the newest batch of record changes and the ids touched since `after`; see `tierkeep.protocols.View.changes`."""
        with self._lend() as connection:
            number = self._number(connection)
            newest = connection.execute(_NEWEST_BATCH, (number,)).fetchone()[0] or 0
            if newest <= after:
                return after, []
            rows = connection.execute(_TOUCHED, (number, after)).fetchall()
        return newest, [row[0] for row in rows]

    def cursor(self, name: str) -> int:
        """Return the place up to which deriver `name` has read this scope's events; 0 at first."""
        with self._lend() as connection:
            row = connection.execute(_CURSOR, (self._number(connection), name)).fetchone()
        return int(row[0]) if row else 0

    def _records(self, statement: str, *values: Any) -> list[Record]:
        with self._lend() as connection:
            rows = connection.execute(statement, (self._number(connection), *values)).fetchall()
            return records_of(connection, self.scope, rows, self._key)
