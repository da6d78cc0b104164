"""How the statements of `tierkeep.ledger` read in PostgreSQL.

Most differ in form alone, and `translate` rewrites those by rule. The few whose sense differs are listed in `_OWN`: here the chain is one
per scope, so that owners do not wait for one another, and numbers come from sequences. `:scope` in them is the scope of the session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tierkeep.ledger import chain, forgetting, lexicon, ops, scopes, vectors, verification

__all__ = ["PARTITIONED", "Statement", "narrowed", "translate"]

PARTITIONED = (
    "sessions", "events", "lexicon", "vectors", "embedded", "cursors", "records", "provenance", "batches", "journal", "chain", "forgotten",
    "guard_log", "reviews", "elevations", "unembedded", "confirmations",
)  # fmt: skip
"""Tables whose rows belong to a scope: each has its number as the first column of every key, and is partitioned by it."""

_OWN: dict[str, str] = {
    chain.TAIL: "SELECT n, hash FROM chain WHERE scope = :scope ORDER BY n DESC LIMIT 1",
    chain.EXTEND: "INSERT INTO chain(scope, n, kind, digest, hash) VALUES(:scope, ?, ?, ?, ?)",
    forgetting.FORGOTTEN: "INSERT INTO forgotten(scope, what, number, entry) VALUES(:scope, ?, ?, ?)",
    # One counter of all scopes would have every forget of the store wait for the one before it.
    scopes.NEWEST: "SELECT last_value FROM generations",
    scopes.ENSURE: """INSERT INTO scopes(tenant, "user", agent, generation) VALUES(?, ?, ?, nextval('generations'))""",
    scopes.RAISE: "SELECT nextval('generations')",
    scopes.GIVE: "UPDATE scopes SET generation = currval('generations') WHERE id = ?",
    lexicon.NAMES: "SELECT id, name FROM sessions WHERE scope = ? AND id = ANY(?!::bigint[])",  # every other id is a text
    ops.INSERT: ops.INSERT.replace("VALUES(?,", "VALUES(coalesce(?::bigint, nextval('record_places')),"),
    # A row for each part of a text: `string_agg` brings the parts of one event together again.
    vectors.PAGE: """SELECT v.seq, string_agg(vector_send(v.vector), ''::bytea ORDER BY v.part) FROM vectors AS v
        JOIN embedders AS m ON m.id = v.embedder WHERE v.scope = ? AND m.identity = ? AND v.seq > ?
        GROUP BY v.seq ORDER BY v.seq LIMIT ?""",
    vectors.DROP: """WITH gone AS (DELETE FROM vectors WHERE scope = ? AND embedder NOT IN
        (SELECT id FROM embedders WHERE identity = ?) RETURNING seq) SELECT DISTINCT seq FROM gone""",
    verification.TORN: """SELECT count(*) FROM vectors AS v JOIN embedders AS m ON m.id = v.embedder
        WHERE vector_dims(v.vector) <> m.dimension""",
    # To know that no scope uses an embedder any more, all of them would have to be looked through. Its name is no personal data.
    vectors.UNUSED: "SELECT 1 WHERE ?::text IS NULL",
}

_NUMBERED = ("seq", "number", "row", "entry", "tx")  # columns whose lists are of numbers
_HINT = re.compile(r"\+(?=(?:\w+\.)?(?:scope|kind|key)\b)|\bINDEXED BY \w+ ?")
_LIST = re.compile(r"((?:\w+\.)?(\w+)) IN \(SELECT value FROM json_each\((\?\d*)\)\)")
_MARK = re.compile(r"\?(\d*)(!?)")
_TABLE = re.compile(rf"\b(FROM|JOIN) ({'|'.join(PARTITIONED)})\b( AS \w+)?")


class Statement(NamedTuple):
    """A statement as PostgreSQL takes it.

    Attributes:
        text: With `$1` and so on for values.
        lists: Places of values that are JSON lists and are handed over as arrays.
        scoped: Whether the number of the session's scope follows the values.
    """

    text: str
    lists: frozenset[int] = frozenset()
    scoped: bool = False

    def bind(self, values: Sequence[Any], scope: int) -> list[Any]:
        """Return the values as they are handed over."""
        bound = list(values)
        for at in self.lists:
            # Nothing that is stored holds a NUL, so what holds one names nothing.
            bound[at] = [item for item in json.loads(bound[at]) if not (isinstance(item, str) and "\0" in item)]
        return [*bound, scope] if self.scoped else bound


@lru_cache(maxsize=1024)
def translate(sql: str) -> Statement:
    """Return a statement of `tierkeep.ledger` as PostgreSQL takes it."""
    text = _HINT.sub("", _OWN.get(sql, sql))
    text = _LIST.sub(lambda m: f"{m[1]} = ANY({m[3]}!::{'bigint' if m[2] in _NUMBERED else 'text'}[])", text)
    lists: set[int] = set()
    given = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal given
        number = int(found[1]) if found[1] else given + 1
        given = max(given, number)
        if found[2]:
            lists.add(number - 1)
        return f"${number}"

    text = _MARK.sub(mark, text)
    # The index has the beginning of a key: a key may be longer than what an index holds.
    text = re.sub(r"(?<=AND )key = (\$\d+)", r"left(key, 128) = left(\1, 128) AND key = \1", text)
    scoped = ":scope" in text
    return Statement(text.replace(":scope", f"${given + 1}"), frozenset(lists), scoped)


@lru_cache(maxsize=128)
def narrowed(sql: str) -> Statement:
    """Return a statement that reads the whole store as one that reads the session's scope: for checks that go scope by scope."""
    text = _TABLE.sub(r"\1 (SELECT * FROM \2 WHERE scope = :scope)\3", _OWN.get(sql, sql))
    return translate(text)
