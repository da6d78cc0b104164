"""The lexicon's rows: how a text is turned into them, and how they are made again when the analysis has changed.

Stored terms and a question's terms must come from the same analysis, or they silently miss one another. A release of the stemmer or of
`tierkeep.terms` may change it; the store remembers under which one its terms were made.
"""

from __future__ import annotations

import sqlite3

from tierkeep.sentences import asks
from tierkeep.terms import fingerprint, term_ids

__all__ = ["indexed", "refresh"]

_PAGE = 2_000


def indexed(text: str, *, hidden: bool) -> tuple[bytes, bool, int]:
    """Return (terms as little-endian uint32, whether the text asks, its length in characters).

    A hidden (quarantined) text has neither terms nor length: it is not found, and lends no weight to its neighbours.
    """
    shown = "" if hidden else text
    return term_ids(shown).astype("<u4", copy=False).tobytes(), asks(shown), len(shown)


def refresh(connection: sqlite3.Connection) -> bool:
    """Make all terms again if they were made under another analysis; return whether that was needed.

    One transaction: a process that dies in it leaves the old terms, and the next open begins again.
    """
    if _known(connection) == fingerprint():
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _known(connection) != fingerprint():
            after = 0
            while page := connection.execute(
                "SELECT e.scope, e.seq, e.text, e.authority = 0 AND r.seq IS NULL FROM events AS e "
                "LEFT JOIN reviews AS r ON r.scope = e.scope AND r.seq = e.seq WHERE e.seq > ? ORDER BY e.seq LIMIT ?", (after, _PAGE)
            ).fetchall():
                rows = [(*indexed(text, hidden=hidden == 1), scope, seq) for scope, seq, text, hidden in page]
                connection.executemany("UPDATE lexicon SET terms = ?, asks = ?, length = ? WHERE scope = ? AND seq = ?", rows)
                after = page[-1][1]
            connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'generation'")
            connection.execute("UPDATE scopes SET generation = (SELECT value FROM counters WHERE name = 'generation')")
            connection.execute("INSERT OR REPLACE INTO counters VALUES('analysis', ?)", (fingerprint(),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return True


def _known(connection: sqlite3.Connection) -> int | None:
    row = connection.execute("SELECT value FROM counters WHERE name = 'analysis'").fetchone()
    return None if row is None else int(row[0])
