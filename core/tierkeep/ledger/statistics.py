"""What a store says of its contents as a whole: dates, embedders, what waits for a deriver. Counts and names of parts, no content."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tierkeep.ledger.engine import Connection

__all__ = ["contents"]

# The lexicon has a narrow row for each event; the events themselves would be read with their texts.
_DATES = "SELECT min(ts), max(ts) FROM lexicon"
_EMBEDDERS = """SELECT m.identity, m.dimension, count(DISTINCT v.seq) FROM embedders AS m LEFT JOIN vectors AS v ON v.embedder = m.id
    GROUP BY m.identity, m.dimension ORDER BY m.identity"""
# A deriver also has a cursor for each conversation, with a slash in its name.
_PENDING = """SELECT c.name, count(e.seq) FROM cursors AS c LEFT JOIN events AS e ON e.scope = c.scope AND e.seq > c.seq
    WHERE c.name NOT LIKE '%/%' GROUP BY c.name ORDER BY c.name"""


def contents(connection: Connection) -> dict[str, Any]:
    """Return when the oldest and newest event was said (UTC), events with vectors by embedder, and unread events by deriver."""
    oldest, newest = connection.execute(_DATES).fetchone()
    embedders = [
        {"identity": identity, "dimension": dimension, "events": events}
        for identity, dimension, events in connection.execute(_EMBEDDERS).fetchall()
    ]
    pending = dict(connection.execute(_PENDING).fetchall())
    return {"oldest": _iso(oldest), "newest": _iso(newest), "embedders": embedders, "pending": pending}


def _iso(ts: float | None) -> str | None:
    return None if ts is None else datetime.fromtimestamp(ts, UTC).isoformat(timespec="seconds")
