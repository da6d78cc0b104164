"""The lexicon's rows: how a text is turned into them, and how they are made again when the analysis has changed.

Stored terms and a question's terms must come from the same analysis, or they silently miss one another. A release of the stemmer or of
`tierkeep.terms` may change it; the store remembers under which one its terms were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tierkeep.ledger import scopes
from tierkeep.ledger.engine import Connection, Lend
from tierkeep.ledger.rows import dumps
from tierkeep.records import Scope, TermPage, coded
from tierkeep.sentences import asks
from tierkeep.terms import fingerprint, term_ids

__all__ = ["NAMES", "RELEASED", "ROWS", "indexed", "pages", "refresh", "renew", "stale"]

RELEASED = "UPDATE lexicon SET terms = ?, asks = ?, length = ? WHERE scope = ? AND seq = ?"
ROWS = """SELECT seq, session, speaker, ts, terms, asks, length, own FROM lexicon WHERE scope = ? AND seq > ? ORDER BY seq LIMIT ?"""
# The plus keeps SQLite from going through all of the scope's sessions.
NAMES = "SELECT id, name FROM sessions WHERE +scope = ? AND id IN (SELECT value FROM json_each(?))"
_READ = 4_096  # events of one page: one short read
_PAGE = 2_000
_REMEMBER = "INSERT INTO counters(name, value) VALUES('analysis', ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value"
_TEXTS = """SELECT e.seq, e.text, e.authority = 0 AND r.seq IS NULL FROM events AS e
    LEFT JOIN reviews AS r ON r.scope = e.scope AND r.seq = e.seq WHERE e.scope = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"""


def indexed(text: str, *, hidden: bool) -> tuple[bytes, bool, int]:
    """Return (terms as little-endian uint32, whether the text asks, its length in characters).

    A hidden (quarantined) text has neither terms nor length: it is not found, and lends no weight to its neighbours.
    """
    shown = "" if hidden else text
    return term_ids(shown).astype("<u4", copy=False).tobytes(), asks(shown), len(shown)


def pages(lend: Lend, scope: Scope, after_seq: int) -> Iterator[TermPage]:
    """Yield what a lexical index needs of a scope's events, in ledger order, in pages of bounded size."""
    while True:
        with lend() as connection:
            number = scopes.find(connection, scope)
            rows = connection.execute(ROWS, (number, after_seq, _READ)).fetchall()
            numbers = sorted({row[1] for row in rows})
            names: dict[int, str] = dict(connection.execute(NAMES, (number, dumps(numbers))).fetchall()) if rows else {}
        # A conversation without a name went between the two reads, and its events with it.
        kept = rows if len(names) == len(numbers) else [row for row in rows if row[1] in names]
        if kept:
            yield _page(kept, names)
        if len(rows) < _READ:
            return
        after_seq = rows[-1][0]


def _page(rows: Sequence[Sequence[Any]], names: Mapping[int, str]) -> TermPage:
    """Return rows as columns: column by column, because a scope may have a hundred thousand of them."""
    seq, sessions, speakers, ts, terms, asking, length, own = zip(*rows, strict=True)
    n = len(rows)
    session, numbers = coded(sessions)
    speaker, named = coded(speakers)
    return TermPage(
        np.fromiter(seq, np.int64, n), session, [names[number] for number in numbers], speaker, named, np.fromiter(ts, np.float64, n),
        np.frombuffer(b"".join(terms), "<u4").astype(np.uint32, copy=False), np.fromiter(map(len, terms), np.int32, n) // 4,
        np.fromiter(asking, np.bool_, n), np.fromiter(length, np.int32, n), np.fromiter(own, np.bool_, n),
    )  # fmt: skip


def refresh(connection: Connection) -> bool:
    """Make all terms again if they were made under another analysis; return whether that was needed.

    One transaction: a process that dies in it leaves the old terms, and the next open begins again.
    """
    if not stale(connection):
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        if stale(connection):
            renew(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return True


def stale(connection: Connection) -> bool:
    """Return whether the terms were made under another analysis than this one."""
    return _known(connection) != fingerprint()


def renew(connection: Connection) -> None:
    """Make all terms again, inside a transaction. Every scope gets a new generation."""
    for (scope,) in connection.execute("SELECT id FROM scopes ORDER BY id").fetchall():
        after = 0
        while page := connection.execute(_TEXTS, (scope, after, _PAGE)).fetchall():
            rows = [(*indexed(text, hidden=hidden == 1), scope, seq) for seq, text, hidden in page]
            connection.executemany(RELEASED, rows)
            after = page[-1][0]
        scopes.touch(connection, scope)
    connection.execute(_REMEMBER, (fingerprint(),))


def _known(connection: Connection) -> int | None:
    row = connection.execute("SELECT value FROM counters WHERE name = 'analysis'").fetchone()
    return None if row is None else int(row[0])
