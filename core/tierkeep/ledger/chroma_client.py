"""A client of chromadb, embedded or of a server: opened at its first use, never shared with a forked child, failing in typed errors.

`chromadb` is imported with the first use, which takes seconds. Its telemetry is off, and no embedding function is ever made, so nothing
is downloaded. Calls of an embedded client run one at a time; those of a server run side by side, each within a time limit that
chromadb's own client does not have.
"""

from __future__ import annotations

import importlib.util
import json
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tierkeep.allowance import Allowance
from tierkeep.errors import MissingExtraError, SettingsError, StorageError, StoreUnavailable, TierkeepError
from tierkeep.ledger.chroma_folder import Folder

__all__ = ["ChromaClient", "Damaged", "Gone", "Late", "Server"]

_T = TypeVar("_T")
_FORK_WAIT_S = 2.0  # a fork waits this long for other threads' calls to end
_WORKERS = 8
_SAID_CHARS = 200
_TRANSPORTS = ("httpx", "httpcore")


class Gone(StorageError):
    """A collection is not there (any more)."""


class Damaged(StorageError):
    """A collection cannot be read or written; another one may."""


class Late(Exception):
    """The deadline passed before chromadb was done."""


class Server(NamedTuple):
    """Where a Chroma server is.

    Attributes:
        host: Its name or address.
        port: Its port.
        ssl: Whether it speaks TLS.
        headers: Sent with every request, such as a token.
        timeout_s: Seconds that it may be silent.
    """

    host: str
    port: int = 8000
    ssl: bool = False
    headers: Mapping[str, str] | None = None
    timeout_s: float = 30.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _Translated:
    """Context in which whatever chromadb and its HTTP client raise becomes a typed error that says what to do."""

    def __init__(self, where: str, server: Server | None) -> None:
        self._where = where
        self._server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # chromadb raises bare Exceptions too, and a panic of its Rust part is not even one.
        if isinstance(error, TierkeepError) or not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            return
        raise self._typed(error) from error

    def _typed(self, error: BaseException | None) -> StorageError:
        from chromadb.errors import AuthorizationError, ChromaAuthError, ChromaError, NotFoundError

        said = " ".join(str(error).split())[:_SAID_CHARS]
        if isinstance(error, NotFoundError):
            return Gone(f"{self._where} has no such collection ({said})")
        if isinstance(error, (ChromaAuthError, AuthorizationError)):
            return StoreUnavailable(f"{self._where} does not let us in ({said}). Check headers=.")
        on_the_way = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _TRANSPORTS
        if on_the_way or (self._server is not None and not isinstance(error, ChromaError)):
            return _unreachable(self._where, self._server, said or type(error).__name__)
        return Damaged(f"{self._where} failed ({said or type(error).__name__})")


def _sessions(client: Any) -> list[Any]:
    """Return the HTTP sessions of a server's client. chromadb has no setting for their time limit, waits for ever, and leaves them open."""
    servers = [getattr(one, "_server", None) for one in (client, getattr(client, "_admin_client", None))]
    return [session for server in servers if (session := getattr(server, "_session", None)) is not None]


def _unreachable(where: str, server: Server | None, why: str) -> StoreUnavailable:
    within = f"within {server.timeout_s:g} s" if server else "in time"
    return StoreUnavailable(
        f"{where} cannot be reached or did not answer {within} ({why}). Check that `chroma run` (version 1 or newer) is running there, "
        "and host=, port=, ssl= and headers=."
    )


class ChromaClient:
    """One way to chromadb. Exactly one of the arguments is given.

    Args:
        folder: Of an embedded chromadb.
        server: Of a server.
        given: A client of chromadb that somebody else opened and will close.

    Attributes:
        where: What messages call it.
        epoch: Changes whenever a client is opened anew; collections of an earlier one cannot be used.

    Raises:
        MissingExtraError: chromadb is not installed.
        SettingsError: Not exactly one of them.
    """

    def __init__(self, *, folder: Path | None = None, server: Server | None = None, given: Any = None) -> None:
        if sum(one is not None for one in (folder, server, given)) != 1:
            raise SettingsError("say where the vectors are by exactly one of path=, host= and client=")
        if given is None and importlib.util.find_spec("chromadb") is None:
            raise MissingExtraError("Vectors in chromadb", extra="chroma")
        self._folder = None if folder is None else Folder(folder)
        self._server = server
        self._given = given
        self.where = f"the Chroma server at {server}" if server else f"the chromadb in {folder}" if folder else "the chromadb client"
        self.epoch = 0
        self._client: Any = None
        self._closed = False
        self._written = False
        self._reset_locks()
        _living.add(self)

    def _reset_locks(self) -> None:
        self._mutex = threading.RLock()
        self._pool_lock = threading.Lock()  # the mutex may be held for as long as a server is silent
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    @property
    def unused(self) -> bool:
        """Whether nothing can be there: the folder is new."""
        return self._folder is not None and self._client is None and not self._folder.used

    def use(self, work: Callable[[Any], _T], allowance: Allowance | None = None, *, epoch: int | None = None) -> _T:
        """Return what `work` makes of the client, opening it if need be.

        Args:
            work: Is given chromadb's client.
            allowance: For its deadline; None to wait as long as a server may be silent.
            epoch: When the client is another one by now, `Gone` is raised instead.

        Raises:
            Late: The deadline passed; the work may still be done.
            Gone: There is no such collection.
            Damaged: It cannot be read or written.
            StoreUnavailable: chromadb cannot be reached.
        """
        left = None if allowance is None else allowance.seconds_left()
        if left == 0:
            raise Late
        seconds = None if left is None else min(left, threading.TIMEOUT_MAX)
        if self._server is None or seconds is None:
            return self._run(work, epoch, seconds)
        future = self._workers().submit(self._run, work, epoch, None)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise Late from None

    def _run(self, work: Callable[[Any], _T], epoch: int | None, seconds: float | None) -> _T:
        if not self._mutex.acquire(timeout=-1 if seconds is None else seconds):
            raise Late
        try:
            client = self._opened()
            if epoch not in (None, self.epoch):
                raise Gone(f"{self.where} was opened anew")
            if self._server is None:
                return self._translated_work(work, client)
        finally:
            self._mutex.release()
        return self._translated_work(work, client)

    def _translated_work(self, work: Callable[[Any], _T], client: Any) -> _T:
        with _Translated(self.where, self._server):
            return work(client)

    def written(self) -> None:
        """Take note that something was written: the folder's seal is renewed when chromadb is next at rest."""
        self._written = True

    def rest(self) -> None:
        """Seal the folder if something was written. Call it after a query, which leaves chromadb with nothing to do."""
        with self._mutex:
            if self._folder is not None and self._written:
                self._written = False
                self._folder.seal()

    def sweep(self) -> None:
        """Remove from an embedded chromadb's files what was deleted. A server does that by itself, or does not.

        Raises:
            StorageError: It could not be done.
        """
        with self._mutex:
            if self._folder is not None and self._client is not None:
                # Two SQLite libraries in one process would break each other's locks, so chromadb's lets go first.
                self._shut(release=False)
                self._folder.sweep()

    def wipe(self) -> None:
        """Throw an embedded chromadb away: not even its database can be used. Nothing happens to a server."""
        with self._mutex:
            if self._folder is not None and self._client is not None:
                self._shut(release=False)
                self._folder.wipe()

    def close(self) -> None:
        """Let go of the folder or of the connection. A second call does nothing."""
        with self._mutex:
            self._closed = True
            self._shut()

    def _opened(self) -> Any:
        if self._closed:
            raise self._was_closed()
        if self._client is None:
            if self._given is not None and self._pid != os.getpid():
                raise StoreUnavailable(f"{self.where} was opened before this process was forked: give the child a client of its own")
            self._client = self._open()
            self.epoch += 1
        return self._client

    def _open(self) -> Any:
        if self._given is not None:
            return self._given
        if self._server is not None:
            return self._open_server(self._server)
        return self._open_folder(self._folder) if self._folder is not None else None

    def _open_folder(self, folder: Folder) -> Any:
        import chromadb
        from chromadb.config import Settings

        try:
            folder.take()
            try:
                with _Translated(self.where, None):
                    return chromadb.PersistentClient(path=str(folder.path), settings=Settings(anonymized_telemetry=False))
            except Damaged:
                folder.wipe()  # it was ours and sealed, so what is in it can be made again
                with _Translated(self.where, None):
                    return chromadb.PersistentClient(path=str(folder.path), settings=Settings(anonymized_telemetry=False))
        except BaseException:
            folder.release()
            raise

    def _open_server(self, server: Server) -> Any:
        import chromadb
        from chromadb.config import Settings

        self._greet(server)
        headers = dict(server.headers or {})
        with _Translated(self.where, server):
            client = chromadb.HttpClient(
                host=server.host, port=server.port, ssl=server.ssl, headers=headers, settings=Settings(anonymized_telemetry=False)
            )
        for session in _sessions(client):
            session.timeout = server.timeout_s
        return client

    def _greet(self, server: Server) -> None:
        """Make sure that there is a Chroma server that answers: chromadb's own client waits for ever while it is made."""
        address = f"{'https' if server.ssl else 'http'}://{server.host}:{server.port}/api/v2/heartbeat"
        try:
            request = Request(address, headers=dict(server.headers or {}))  # noqa: S310 - the scheme stands above
            with urlopen(request, timeout=server.timeout_s) as reply:  # noqa: S310
                if "nanosecond heartbeat" in json.load(reply):
                    return
            why = "something else answers there"
        except HTTPError as error:
            with error:
                why = f"HTTP {error.code}"
        except (OSError, ValueError, HTTPException) as error:
            why = str(error) or type(error).__name__
        raise _unreachable(self.where, server, why)

    def _workers(self) -> ThreadPoolExecutor:
        with self._pool_lock:
            if self._closed:
                raise self._was_closed()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="tierkeep-chroma")
            return self._pool

    def _was_closed(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.where} was closed: open the memory again")

    def _shut(self, *, release: bool = True) -> None:
        client, self._client = self._client, None
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        if client is not None and self._given is None:
            with _Translated(self.where, self._server):
                sessions = _sessions(client)
                client.close()
                for session in sessions:
                    session.close()
        if self._folder is not None and release:
            if client is not None:
                self._folder.seal()
            self._folder.release()

    def before_fork(self) -> bool:
        """Close an embedded client before the process forks: its threads do not follow, and the child would hang at its end.

        Returns:
            Whether the lock on it is held now, to be given back by `after_fork`.
        """
        held = self._mutex.acquire(timeout=_FORK_WAIT_S)
        if held and self._folder is not None:
            with suppress(StorageError):
                self._shut()
        return held

    def after_fork(self, *, child: bool, held: bool) -> None:
        """Go on after a fork, in the parent or, with a client of its own, in the child."""
        if not child:
            if held:
                self._mutex.release()
            return
        if self._client is not None:
            if self._folder is not None:
                self._folder.leave()
            _abandoned.append(self._client)  # to end it would end, or wait for, what belongs to the parent
            self._client = None
        pid = self._pid
        self._reset_locks()
        if self._given is not None:
            self._pid = pid


_living: weakref.WeakSet[ChromaClient] = weakref.WeakSet()
_abandoned: list[Any] = []
_held: list[tuple[ChromaClient, bool]] = []


def _before_fork() -> None:
    _held.extend((client, client.before_fork()) for client in list(_living))


def _after_fork(*, child: bool) -> None:
    while _held:
        client, held = _held.pop()
        client.after_fork(child=child, held=held)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=lambda: _after_fork(child=False), after_in_child=lambda: _after_fork(child=True)
    )
