"""A real PostgreSQL server with pgvector for the tests that ask for one: started once in each test process, stopped at its end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from tierkeep.evaluate.kill.server import Server as KillableServer


class Server(KillableServer):
    """A server in a folder of its own, with a schema for each test."""

    def __init__(self) -> None:
        super().__init__()
        self._count = itertools.count()

    def address(self, schema: str, *, database: str = "postgres", user: str = "postgres", **options: object) -> str:
        """Return the address of a store."""
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}&schema={schema}{more}"

    def fresh(self, **options: object) -> str:
        """Return the address of a store that does not exist yet."""
        return self.address(f"test_{next(self._count)}", **{"partitions": 2, **options})

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a superuser's connection."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)


def _started() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that every test of this process shares, each with a schema of its own."""
    yield from _started()


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server for one test, which may do with it what it likes."""
    yield from _started()
