"""The address of a store: `postgresql://user@host/database?schema=…`, what of it is ours, and how it may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from tierkeep.errors import SettingsError

__all__ = ["SCHEMES", "Address", "parse"]

SCHEMES = ("postgresql://", "postgres://")

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?")
_NUMBERS = {
    "partitions": (8, 1, 1024),
    "pool": (8, 2, 1000),
    "timeout": (10, 1, 3600),
    "retries": (5, 0, 100),
}
"""Our own options: default, least and most."""


class Address(NamedTuple):
    """Where a store is and how it is used.

    Attributes:
        given: What the client library is told: host, user, password and the like.
        shown: The address without any password, for messages and the doctor.
        schema: Schema in which the tables are; made if absent.
        partitions: Hash partitions of each table when the store is made.
        pool: Connections of one process at most.
        timeout: Seconds to wait for the server, for a connection, and for another writer.
        retries: How often a transaction that the server gave up is run again.
    """

    given: Mapping[str, str]
    shown: str
    schema: str = "tierkeep"
    partitions: int = 8
    pool: int = 8
    timeout: int = 10
    retries: int = 5


def parse(url: str) -> Address:
    """Read the address of a store.

    Raises:
        SettingsError: It cannot be read. The message never repeats it, because it may hold a password.
    """
    try:
        parts = urlsplit(url)
        if not url.startswith(SCHEMES) or parts.fragment or "\0" in url:
            raise ValueError
        given = {name: unquote(value) for name, value in _place(parts.netloc).items()}
        if database := unquote(parts.path.removeprefix("/")):
            given["dbname"] = database
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        message = (
            "The address of the store cannot be read. It is postgresql://user:password@host:port/database?schema=tierkeep, "
            "with special characters of a name or password written as %40 and the like."
        )
        raise SettingsError(message) from None
    schema = options.pop("schema", "tierkeep")
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise SettingsError("The schema of a store is a name of small letters, digits and underscores, and does not begin with pg_.")
    numbers = {name: _number(name, options.pop(name, str(bounds[0]))) for name, bounds in _NUMBERS.items()}
    given |= options
    return Address(given, _shown(given, schema), schema, **numbers)


def _place(netloc: str) -> dict[str, str]:
    """User, password, host and port, still quoted; several hosts are separated by commas, as libpq has it."""
    who, _, where = netloc.rpartition("@")
    user, _, password = who.partition(":")
    hosts, ports = [], []
    for one in where.split(","):
        found = _HOST.fullmatch(one)
        if found is None:
            raise ValueError
        host, port = found.groups()
        hosts.append(host.strip("[]"))
        ports.append(port or "")
    place = {"user": user, "password": password, "host": ",".join(hosts), "port": ",".join(ports)}
    return {name: value for name, value in place.items() if value.strip(",")}


def _number(name: str, text: str) -> int:
    _, least, most = _NUMBERS[name]
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise SettingsError(f"{name} in the address of the store is a number from {least} to {most}.")
    return int(text)


def _shown(given: Mapping[str, str], schema: str) -> str:
    """Only these parts are shown: whatever else an address holds may be a secret."""
    user = f"{given['user']}@" if "user" in given else ""
    port = f":{given['port']}" if "port" in given else ""
    return f"postgresql://{user}{given.get('host', '')}{port}/{given.get('dbname', '')}?schema={schema}"
