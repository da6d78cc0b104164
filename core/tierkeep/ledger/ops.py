"""The rules of ops: what may be done to a record, and what it becomes (strategies spec, 3.2 and 3.4).

Nothing raises authority, nothing loses a source, nothing is overwritten without its image before. Each op either gives
its changes or is refused; the transaction takes back what the batch had done until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from tierkeep.errors import InputError, OpRefused
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.reading import EVENTS, RECORDS, events_of, records_of
from tierkeep.ledger.rows import RECORD_COLUMNS, dumps, loads, record_to_row
from tierkeep.ledger.sealing import Sealer
from tierkeep.records import Authority, Op, Origin, Record, Scope

__all__ = ["INSERT", "Change", "RecordTable", "apply_op"]

_PATCHABLE = frozenset(
    {"text", "key", "attrs", "sources", "links", "status", "valid_from", "valid_to", "observed_at", "stats"}
)
_STATUS_MOVES = {"active": {"active", "quarantined"}, "quarantined": {"quarantined", "active", "retracted"}}
"""What `update` may do to a status. Ending a record's life is `supersede` or `retract`; taking that back is `undo`."""

_COLUMNS = RECORD_COLUMNS.split(", ")
INSERT = "INSERT INTO records(seq, scope, {}) VALUES(?, ?, {})".format(RECORD_COLUMNS, ", ".join("?" * len(_COLUMNS)))
_REPLACE = "UPDATE records SET {} WHERE scope = ? AND id = ?".format(", ".join(f"{name} = ?" for name in _COLUMNS))  # noqa: S608 - constants
_LOAD = " ".join((RECORDS, "AND id = ?"))
_RECORDS_NAMED = " ".join((RECORDS, "AND id IN (SELECT value FROM json_each(?))"))
_EVENTS_NAMED = " ".join((EVENTS, "AND e.id IN (SELECT value FROM json_each(?))"))


class Change(NamedTuple):
    """What an op did to one record."""

    record: str
    op: str
    before: Record | None
    after: Record | None
    place: int | None = None  # of a deleted record: where undo puts it back, in order of creation


class _Source(NamedTuple):
    """A source as the rules see it."""

    authority: Authority
    origin: Origin
    roots: tuple[str, ...]
    is_record: bool


class RecordTable:
    """The records of one scope, inside one transaction."""

    def __init__(self, connection: Connection, scope: Scope, number: int, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self.scope = scope
        self.number = number

    def load(self, record_id: str) -> Record | None:
        """Return the record as it stands, or None."""
        rows = self._connection.execute(_LOAD, (self.number, record_id)).fetchall()
        found = records_of(self._connection, self.scope, rows, self._sealer.key)
        return found[0] if found else None

    def place(self, record_id: str) -> int | None:
        """Return the record's place in order of creation, or None."""
        row = self._connection.execute(
            "SELECT seq FROM records WHERE scope = ? AND id = ?", (self.number, record_id)
        ).fetchone()
        return int(row[0]) if row else None

    def insert(self, record: Record, place: int | None = None) -> None:
        """Write a new record, at the end or where it once was."""
        row = record_to_row(record)
        seq = self._connection.execute(INSERT, (place, self.number, *row)).lastrowid
        self._sealer.record(self.scope, seq or 0, row)
        self._write_provenance(record)

    def replace(self, record: Record, *, sources_changed: bool) -> None:
        """Write a record over the row with the same id."""
        row = record_to_row(record)
        self._connection.execute(_REPLACE, (*row, self.number, record.id))
        if self._sealer.key is not None:
            self._sealer.record(self.scope, self.place(record.id) or 0, row)
        if sources_changed:
            self._connection.execute(
                "DELETE FROM provenance WHERE scope = ? AND record = ?", (self.number, record.id)
            )
            self._write_provenance(record)

    def _write_provenance(self, record: Record) -> None:
        rows = [(self.number, source, record.id) for source in record.sources]
        self._connection.executemany("INSERT INTO provenance(scope, source, record) VALUES(?, ?, ?)", rows)

    def remove(self, record_id: str) -> None:
        """Remove a record and what it says about its sources."""
        self._connection.execute("DELETE FROM records WHERE scope = ? AND id = ?", (self.number, record_id))
        self._connection.execute("DELETE FROM provenance WHERE scope = ? AND record = ?", (self.number, record_id))

    def set_state(self, record_id: str, state: Record | None, place: int | None = None) -> None:
        """Make the record what it was in an image; None removes it."""
        if state is None:
            self.remove(record_id)
        elif self.load(record_id) is None:
            self.insert(state, place)
        else:
            self.replace(state, sources_changed=True)

    def dependents(self, source_id: str) -> list[str]:
        """Return ids of the records that name it as a source, in id order."""
        rows = self._connection.execute(
            "SELECT record FROM provenance WHERE scope = ? AND source = ? ORDER BY record", (self.number, source_id)
        )
        return [row[0] for row in rows]

    def exists(self, any_id: str) -> bool:
        """Return whether the scope has an event or a record with this id."""
        row = self._connection.execute(
            "SELECT 1 FROM events WHERE scope = ?1 AND id = ?2 UNION ALL SELECT 1 FROM records WHERE scope = ?1 AND id = ?2",
            (self.number, any_id),
        ).fetchone()
        return row is not None

    def sources(self, ids: Sequence[str]) -> list[_Source]:
        """Return the sources with these ids, in that order.

        Raises:
            OpRefused: One does not exist in this scope.
        """
        wanted = dumps(list(ids))
        found: dict[str, _Source] = {}
        rows = self._connection.execute(_RECORDS_NAMED, (self.number, wanted)).fetchall()
        for record in records_of(self._connection, self.scope, rows, self._sealer.key):
            found[record.id] = _Source(record.authority, record.origin, record.roots, True)
        rows = self._connection.execute(_EVENTS_NAMED, (self.number, wanted)).fetchall()
        for event in events_of(self._connection, self.scope, rows, self._sealer.key):
            found[event.id] = _Source(event.authority, event.origin, (event.id,), False)
        if dangling := [id_ for id_ in ids if id_ not in found]:
            raise OpRefused(f"{len(dangling)} of {len(ids)} sources do not exist in this scope; derive from what is there.")
        return [found[id_] for id_ in ids]

    def rests_on(self, record_id: str, other: str) -> bool:
        """Return whether a record is derived from another, through any number of steps."""
        seen, waiting = {record_id}, [record_id]
        while waiting:
            rows = self._connection.execute(
                "SELECT source FROM provenance WHERE scope = ? AND record = ?", (self.number, waiting.pop())
            )
            fresh = {row[0] for row in rows} - seen
            if other in fresh:
                return True
            seen |= fresh
            waiting.extend(fresh)
        return record_id == other


def apply_op(table: RecordTable, op: Op) -> list[Change]:
    """Apply one op; return what changed.

    Raises:
        OpRefused: It breaks a rule. The table may hold a part of the op: the caller rolls back.
        InputError: A value cannot be stored.
    """
    return _VERBS[op.op](table, op)


def _add(table: RecordTable, op: Op) -> list[Change]:
    record = _admitted(table, op)
    table.insert(record)
    return [Change(record.id, "add", None, record)]


def _supersede(table: RecordTable, op: Op) -> list[Change]:
    old = _target(table, op)
    if old.status != "active":
        raise OpRefused(f"Only an active record can be superseded; this one is {old.status}.")
    new = _admitted(table, op)
    if not any(link[:2] == ("supersedes", old.id) for link in new.links):
        new = new.model_copy(update={"links": (*new.links, ("supersedes", old.id, 1.0))})
    ended = new.valid_from or new.observed_at or None
    changed = _changed(old, {"status": "superseded", "valid_to": ended})
    table.replace(changed, sources_changed=False)
    table.insert(new)
    return [Change(old.id, "supersede", old, changed), Change(new.id, "add", None, new)]


def _update(table: RecordTable, op: Op) -> list[Change]:
    old = _target(table, op)
    patch = dict(op.patch)
    if unknown := sorted(set(patch) - _PATCHABLE):
        raise OpRefused(f"These fields may not be patched: {', '.join(unknown)}.")
    if "status" in patch and patch["status"] not in _STATUS_MOVES.get(old.status, {old.status}):
        raise OpRefused(f"A record that is {old.status} cannot become {patch['status']} by an update.")
    if "attrs" in patch:
        patch["attrs"] = loads(dumps(patch["attrs"], "attrs"))
    added = _added_sources(old, patch.pop("sources", ()))
    if added:
        patch |= _with_sources(table, old, added)
    new = _changed(old, patch)
    table.replace(new, sources_changed=bool(added))
    return [Change(old.id, "update", old, new)]


def _stat(table: RecordTable, op: Op) -> list[Change]:
    old = _target(table, op)
    new = _changed(old, {"stats": {**old.stats, **op.patch}})
    table.replace(new, sources_changed=False)
    return [Change(old.id, "stat", old, new)]


def _retract(table: RecordTable, op: Op) -> list[Change]:
    old = _target(table, op)
    if old.status != "active":
        raise OpRefused(f"Only an active record can be retracted; this one is {old.status}.")
    if unknown := sorted(set(op.patch) - {"valid_to"}):
        raise OpRefused(f"A retract may set valid_to and nothing else, not {', '.join(unknown)}.")
    new = _changed(old, {**op.patch, "status": "retracted"})
    table.replace(new, sources_changed=False)
    return [Change(old.id, "retract", old, new)]


def _delete(table: RecordTable, op: Op) -> list[Change]:
    old = _target(table, op)
    if dependents := table.dependents(old.id):
        raise OpRefused(f"{len(dependents)} other records rest on this one; delete those first, or supersede it.")
    place = table.place(old.id)
    table.remove(old.id)
    return [Change(old.id, "delete", old, None, place)]


def _link(table: RecordTable, op: Op) -> list[Change]:
    old = _target(table, op)
    to, weight = op.patch.get("to"), op.patch.get("weight", 1.0)
    if not op.relation or not isinstance(to, str) or set(op.patch) - {"to", "weight"}:
        raise OpRefused('A link needs a relation and patch["to"], and may have patch["weight"].')
    if not table.exists(to):
        raise OpRefused("The far end of the link does not exist in this scope.")
    others = [link for link in old.links if link[:2] != (op.relation, to)]
    new = _changed(old, {"links": [*others, (op.relation, to, weight)]})
    table.replace(new, sources_changed=False)
    return [Change(old.id, "link", old, new)]


_VERBS = {
    "add": _add,
    "update": _update,
    "supersede": _supersede,
    "retract": _retract,
    "delete": _delete,
    "link": _link,
    "stat": _stat,
}


def _target(table: RecordTable, op: Op) -> Record:
    found = table.load(op.target) if op.target else None
    if found is None:
        raise OpRefused(f"The target of the {op.op} does not exist in this scope.")
    return found


def _admitted(table: RecordTable, op: Op) -> Record:
    """The op's new record as it may be stored: owned, sourced, with its roots and no borrowed authority."""
    record = op.record
    if record is None:
        raise OpRefused(f"An {op.op} needs a record.")
    if record.scope.partition != table.scope.partition:
        raise OpRefused("The record belongs to another scope.")
    if not record.id or not record.sources:
        raise OpRefused("A record needs an id and at least one source.")
    if table.exists(record.id):
        raise OpRefused("This scope already has something with the new record's id; update or supersede it.")
    ids = tuple(dict.fromkeys(record.sources))
    sources = table.sources(ids)
    if record.authority > (least := min(source.authority for source in sources)):
        raise OpRefused(f"The record claims authority {record.authority.name}; its sources allow {least.name}.")
    return record.model_copy(
        update={
            "sources": ids,
            "roots": _union(*(source.roots for source in sources)),
            "attrs": loads(dumps(record.attrs, "attrs")),
            "version": 1,
        }
    )


def _added_sources(old: Record, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(id_, str) for id_ in given):
        raise OpRefused("sources must be a list of ids.")
    return tuple(id_ for id_ in dict.fromkeys(given) if id_ not in old.sources)


def _with_sources(table: RecordTable, old: Record, added: tuple[str, ...]) -> dict[str, Any]:
    """What more sources change: the union of sources and roots, and authority, which can only fall."""
    sources = table.sources(added)
    for id_, source in zip(added, sources, strict=True):
        if source.is_record and table.rests_on(id_, old.id):
            raise OpRefused("A record cannot be derived from itself.")
    least = min(sources, key=lambda source: source.authority)
    patch: dict[str, Any] = {
        "sources": (*old.sources, *added),
        "roots": _union(old.roots, *(source.roots for source in sources)),
    }
    if least.authority < old.authority:
        patch |= {"authority": least.authority, "origin": least.origin}
    return patch


def _changed(old: Record, patch: Mapping[str, Any]) -> Record:
    """The record with new values, checked like any record, one version later."""
    fields = {name: getattr(old, name) for name in Record.model_fields}
    try:
        return Record.model_validate({**fields, **patch, "version": old.version + 1})
    except ValidationError as error:
        # The message names the fields; the values stay out of logs.
        names = sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False, include_url=False)})
        raise OpRefused(f"The patch does not fit a record: {', '.join(names)}.") from None
    except RecursionError:
        raise InputError("A patch is nested too deeply.") from None


def _union(*groups: Sequence[str]) -> tuple[str, ...]:
    """All ids of the groups, each once, in order of first appearance."""
    return tuple(dict.fromkeys(id_ for group in groups for id_ in group))
