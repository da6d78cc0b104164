"""What the journal tells of one record."""

from __future__ import annotations

from tierkeep.errors import NotFoundError
from tierkeep.ledger import scopes
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.rows import loads, record_from_json
from tierkeep.records import Record, Revision, Scope

__all__ = ["history"]

_HISTORY = """SELECT j.tx, b.at, j.op, j.before, j.after, j.why, j.by FROM journal AS j
    JOIN batches AS b ON b.tx = j.tx AND +b.scope = j.scope WHERE j.scope = ? AND j.record = ? ORDER BY j.row"""


def history(connection: Connection, scope: Scope, record_id: str) -> list[Revision]:
    """Return a record's revisions, oldest first.

    Raises:
        NotFoundError: This scope never had that record, or it was forgotten.
    """
    rows = connection.execute(_HISTORY, (scopes.find(connection, scope), record_id)).fetchall() if record_id else []
    if not rows:
        raise NotFoundError("This scope has no record with that id.", ids=(record_id,))

    def image(text: str | None) -> Record | None:
        return record_from_json(scope, loads(text)) if text else None

    return [
        Revision(tx=tx, at=at, op=op, before=image(before), after=image(after), why=why, by=by)
        for tx, at, op, before, after, why, by in rows
    ]
