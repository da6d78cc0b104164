"""Checking a store in PostgreSQL: the checks of every ledger, scope by scope, and that the tables are as tierkeep made them."""

from __future__ import annotations

from tierkeep.ledger.postgres.connections import Connections
from tierkeep.ledger.postgres.dialect import PARTITIONED
from tierkeep.ledger.postgres.schema import SEQUENCES, TABLES
from tierkeep.ledger.postgres.session import Session
from tierkeep.ledger.verification import ROW_CHECKS, Audit
from tierkeep.records import VerifyReport

__all__ = ["verify"]

_MAX_PROBLEMS = 100
_TRIGGERS = ("chain_only_grows", "embedded_goes_whole", "events_are_immutable", "events_go_whole", "guard_log_only_grows")
_RELATIONS = """SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
    WHERE s.nspname = current_schema() AND c.relkind IN ('r', 'p', 'S')"""
_ENABLED = """SELECT DISTINCT t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_namespace AS s ON s.oid = c.relnamespace WHERE s.nspname = current_schema() AND c.relkind = 'p' AND t.tgenabled = 'O'"""
_DISABLED = """SELECT DISTINCT c.relname, t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_namespace AS s ON s.oid = c.relnamespace WHERE s.nspname = current_schema() AND t.tgenabled <> 'O' ORDER BY 1, 2"""
_OWNERLESS = """SELECT count(*) FROM events AS e LEFT JOIN scopes AS o ON o.id = e.scope WHERE o.id IS NULL"""


def verify(connections: Connections) -> VerifyReport:
    """Check the tables, and the chain, every digest and every provenance link of each scope; never raises for what it finds."""
    problems: list[str] = []
    counts = [0, 0, 0]
    with connections.snapshot() as session:
        here = {row[0] for row in session.execute(_RELATIONS).fetchall()}
        tables = Audit(session, connections.where, None)
        _shape(tables, session, here)
        problems += tables.problems
        for number in _scopes(session, here):
            audit = Audit(connections.narrowed(session, number), connections.where, None)
            for check in ROW_CHECKS:
                session.execute("SAVEPOINT looking")
                audit.run(check)
                session.execute("ROLLBACK TO looking")  # what could not be checked must not keep the rest from being checked
            problems += [f"scope {number}: {problem}" for problem in audit.problems]
            counts = [counts[0] + len(audit.entries), counts[1] + audit.events, counts[2] + audit.records]
    entries, events, records = counts
    return VerifyReport(ok=not problems, entries=entries, events=events, records=records, problems=tuple(problems[:_MAX_PROBLEMS]))


def _scopes(session: Session, here: set[str]) -> list[int]:
    """Numbers of every scope that any table knows: one whose owner is gone has left a chain behind."""
    found: set[int] = set()
    for table in set(PARTITIONED) & here:
        found |= {row[0] for row in session.execute(" ".join(("SELECT DISTINCT scope FROM", table))).fetchall()}
    return sorted(found)


def _shape(audit: Audit, session: Session, here: set[str]) -> None:
    """The tables, sequences and triggers are there, and the triggers are on."""
    for name in (*TABLES, *SEQUENCES):
        if name not in here:
            audit.problem(f"tables: {name} is missing")
    enabled = {row[0] for row in session.execute(_ENABLED).fetchall()}
    for name in _TRIGGERS:
        if name not in enabled:
            audit.problem(f"tables: the trigger {name} is missing or off")
    for table, name in session.execute(_DISABLED).fetchall():
        audit.problem(f"tables: the trigger {name} of {table} is off")
    (count,) = session.execute(_OWNERLESS).fetchone() if {"events", "scopes"} <= here else (0,)
    if count:
        audit.problem(f"events: {count} rows have lost their scope")
