"""The ledger for many machines: every scope in one PostgreSQL database, with pgvector (`tierkeep.ledger.postgres.ledger`).

The rules are those of the embedded ledger and the modules are shared with it; what is here is what differs in PostgreSQL: where a
statement reads otherwise (`dialect`), connections and what becomes of a lost one (`connections`, `transactions`), and the
tables (`schema`).
"""
