"""The anchor: the newest entry of a sealed store, noted outside of it, so that an older copy in its place is noticed (guard spec, T10)."""

from __future__ import annotations

import json
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tierkeep.errors import SettingsError, StoreCorrupt
from tierkeep.ledger import chain
from tierkeep.ledger.engine import Connection
from tierkeep.ledger.seal import Seal, StoreKey

__all__ = ["check", "write"]

_MOST_BYTES = 4096
_log = logging.getLogger("tierkeep.ledger")


def check(connection: Connection, seal: Seal, key: StoreKey, where: str | None) -> None:
    """Check that the store holds what its anchor has seen.

    Raises:
        SettingsError: There is no anchor, and the seal does not say `adopt=True`.
        StoreCorrupt: The anchor is not this store's, or the store is older.
    """
    anchor = seal.anchor
    if anchor is None:
        return
    if not anchor.exists():
        if seal.adopt:
            return
        message = f"The anchor {anchor} is missing. If the store is as you know it, open it once with Seal(…, adopt=True)."
        raise SettingsError(message)
    seen = _read(anchor, key)
    if seen is None:
        raise StoreCorrupt(f"The anchor {anchor} is damaged, or that of another store or key.", path=where)
    if seen.n and connection.execute("SELECT hash FROM chain WHERE n = ?", (seen.n,)).fetchone() != (seen.hash,):
        message = (
            f"The store at {where} is older than its anchor {anchor}: an older copy was put in its place, or its end was cut off. "
            "Restore the newest copy. If you went back on purpose, remove the anchor and open it once with Seal(…, adopt=True)."
        )
        raise StoreCorrupt(message, path=where)


def write(
    connection: Connection, anchor: Path, key: StoreKey, last: chain.Tail | None, *, again: bool = False
) -> chain.Tail | None:
    """Note the newest entry, unless it is noted already; return it.

    Args:
        connection: Outside of a transaction.
        anchor: The file.
        key: The store's key.
        last: What this ledger noted last.
        again: Whether to write it whatever stands there.

    The commit is done: an anchor that cannot be written is logged, and stays behind until the next one.
    """
    tail = chain.tail(connection)
    if tail == last:
        return last
    before = None if again else _read(anchor, key)
    if before is not None and before.n > tail.n:
        return last  # another process has come further
    content = json.dumps({"n": tail.n, "hash": tail.hash.hex(), "mac": key.mac("anchor", [tail.n, tail.hash]).hex()})
    beside = anchor.with_name(f".{anchor.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with suppress(FileNotFoundError):
            beside.unlink()
        descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(anchor)
    except OSError as error:
        _log.warning("The anchor %s could not be written (%s); it stays behind until the next commit.", anchor, error.strerror)
        return last
    return tail


def _read(anchor: Path, key: StoreKey) -> chain.Tail | None:
    """The entry that the anchor has seen; None when it is no anchor of this key."""
    try:
        with anchor.open("rb") as file:
            data: Any = json.loads(file.read(_MOST_BYTES))
        n, hash_, mac = data["n"], bytes.fromhex(data["hash"]), bytes.fromhex(data["mac"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return chain.Tail(n, hash_) if isinstance(n, int) and key.holds(mac, "anchor", [n, hash_]) else None
