"""What goes wrong with a server, as tierkeep's typed errors.

Only the server's primary message is passed on: its details name the values of rows, and the client's own messages may name what stands in
an address.
"""

from __future__ import annotations

import psycopg

from tierkeep.errors import InputError, LimitError, StorageError, StoreCorrupt, StoreUnavailable, TierkeepError

__all__ = ["Cancelled", "ConnectionLost", "GivenUp", "refused", "typed", "without_extension"]


class ConnectionLost(StoreUnavailable):
    """The connection broke. What was committed on it stands; whether a commit that was under way did has to be looked up."""


class GivenUp(StoreUnavailable):
    """The server took a transaction back because of others (serialization failure, deadlock): it may be run again."""


class Cancelled(StoreUnavailable):
    """The server cancelled a statement: its time was up, or an administrator asked for it."""


_EXTENSION = (
    "pgvector is missing in this database. Install it on the server (package postgresql-NN-pgvector, or your provider's list of "
    "extensions), then run as a superuser or owner of the database: CREATE EXTENSION vector;"
)
_CANCELLED = "57014"
_UNAVAILABLE = {
    "28P01": "refused the password. Check the user and password of the address, PGPASSWORD, and ~/.pgpass",
    "28000": "refused the user. Check the user of the address and pg_hba.conf",
    "3D000": "does not have this database. Create it, or correct the address",
    "55P03": "is locked by another writer for longer than the timeout; try again",
    "25006": "is read-only: a standby, or default_transaction_read_only is on. Write to the primary",
    "42501": "does not allow this role to do that. The role needs CREATE on the database to make a store, and its own schema after that",
    "53100": "has no room left: the disk of the server is full",
    "53200": "has no memory left",
    "53300": "has no connection left. Raise max_connections, or lower pool= in the address",
    _CANCELLED: "cancelled the statement (statement_timeout, or an administrator)",
    "57P03": "is starting up or shutting down; try again",
}
_LOST = ("08", "57P01", "57P02", "57P05")
_GIVEN_UP = ("40001", "40P01")
_LIMITS = ("54000", "54001", "54011", "54023")


def typed(error: psycopg.Error, where: str, *, broken: bool = False) -> TierkeepError:
    """Return the error as tierkeep raises it.

    Args:
        error: What the client library raised.
        where: The address as it may be shown.
        broken: Whether the connection is of no use any more.
    """
    code = error.sqlstate or ""
    said = (error.diag.message_primary or "").strip()
    store = f"The store at {where}"
    if code in _GIVEN_UP:
        return GivenUp(f"{store} gave the transaction up because of others at the same time. Nothing was changed; try again.", path=where)
    if code in _UNAVAILABLE:
        kind = Cancelled if code == _CANCELLED else StoreUnavailable
        return kind(f"{store} {_UNAVAILABLE[code]}. Nothing was changed.", path=where)
    if broken or code.startswith(_LOST):
        return ConnectionLost(f"The connection to the store at {where} was lost. Nothing was changed; try again.", path=where)
    return _of_values(error, code) or _of_tables(code, said, store, where)


def _of_values(error: psycopg.Error, code: str) -> TierkeepError | None:
    if code in _LIMITS:
        return LimitError("A name or text is longer than PostgreSQL can store or index.")
    if code == "22003":
        return InputError("A number does not fit into 64 bits.")
    if isinstance(error, psycopg.DataError):
        return InputError("A value cannot be stored: PostgreSQL's texts hold no NUL and no halves of surrogate pairs, its vectors no NaN.")
    return None


def _of_tables(code: str, said: str, store: str, where: str) -> TierkeepError:
    if code.startswith("42") or code.startswith("3F"):
        return StoreCorrupt(f"{store} does not have the tables that tierkeep made ({said}). Restore it from a backup.", path=where)
    if code.startswith("XX"):
        return StoreCorrupt(f"{store} is damaged ({said}). Restore it from a backup; `tierkeep verify` names what is wrong.", path=where)
    return StorageError(f"{store} refused a change ({said or code or 'no reason given'}). Nothing was changed.", path=where)


def refused(error: psycopg.Error, where: str) -> TierkeepError:
    """Return what a connection that could not be made means; `where` is the address as it may be shown."""
    code = error.sqlstate or ""
    text = str(error)
    if not code:  # the client library keeps the server's code of a refused start to itself
        known = (("password authentication failed", "28P01"), ("no password supplied", "28P01"), ("does not exist", "3D000"))
        code = next((code for sign, code in known if sign in text), "")
        code = "28000" if 'role "' in text or "pg_hba.conf" in text else code
    if code in _UNAVAILABLE:
        return StoreUnavailable(f"The store at {where} {_UNAVAILABLE[code]}. Nothing was changed.", path=where)
    message = "cannot be reached. Check that the server runs and takes connections from here, and the host and port of the address"
    return StoreUnavailable(f"The store at {where} {message}.", path=where)


def without_extension(where: str) -> StoreUnavailable:
    """Return the error of a database in which pgvector is not, and cannot be made."""
    return StoreUnavailable(f"The store at {where} cannot be used: {_EXTENSION}", path=where)
