"""One OpenAI-compatible server: its client, its retries, and a deadline that nothing a server does can stretch.

The client waits on a thread of its own that runs an event loop, because only there can a request be cut off at any moment: time
limits of blocking sockets start anew with each byte, and a server that sends one byte a second would never run into them.
Every failure comes out as a `ModelError` whose message holds neither text of the request nor of the reply.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

from tierkeep.errors import MissingExtraError, ModelError, SettingsError

_T = TypeVar("_T")
Send: TypeAlias = Callable[[Any], Awaitable[_T]]

#: Sent to servers that were named without a key; local servers ignore it, but the client insists on one.
_NO_KEY = "not-needed"
#: What the server may be told differently: no such field, no such value, or an error that does not say.
_REFUSALS = (400, 404, 422)
_AGAIN = (408, 409, 429)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0  # the openai client's own figures, without its jitter
_SAID_CHARS = 4_096
#: How much longer than its time limit a caller waits for the waiting thread to say so; never needed unless that thread is gone.
GRACE_S = 5.0
_CODE = re.compile(r"[a-z0-9_.-]{1,64}")
_HINTS = {
    401: "the server does not accept the API key",
    403: "the API key may not do this",
    404: "no such model or address",
    413: "the request is too large",
    429: "too many requests, or the quota is used up",
}


class Refusal(NamedTuple):
    """The server understood the request and will not take it as it is (HTTP 400, 404 or 422).

    Attributes:
        said: What the server said about it, lower case and cut; for looking for names of fields, never for showing.
        error: What to raise when nothing can be done about it.
    """

    said: str
    error: ModelError


class _Failure(NamedTuple):
    error: ModelError
    again: bool
    pause_s: float | None = None
    refused: str | None = None


@dataclass(frozen=True)
class _Waiting:
    """A running event loop, what stops it, its thread, and the client that lives in it."""

    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    client: Any
    thread: threading.Thread
    pid: int


class Endpoint:
    """A server that speaks OpenAI's protocol. Threads may share it; its thread starts with the first request.

    Without `base_url` the client's own rules hold: OPENAI_BASE_URL and OPENAI_API_KEY. With it, only the key that is handed over is
    sent: the key in the environment belongs to another server.

    Args:
        label: What messages call it.
        base_url: Address up to and including `/v1`.
        api_key: Key of that server.
        timeout_s: Seconds that one request may take, tries and pauses included.
        retries: Further tries after a lost connection, 408, 409, 429 or 5xx.

    Raises:
        MissingExtraError: `openai` is not installed.
        SettingsError: There is no key for a server that needs one, or another argument cannot hold.
    """

    def __init__(self, label: str, *, base_url: str | None, api_key: str | None, timeout_s: float, retries: int) -> None:
        if importlib.util.find_spec("openai") is None:
            raise MissingExtraError("OpenAI-compatible models", extra="openai")
        if not timeout_s > 0 or retries < 0:
            raise SettingsError(f"timeout_s must be above 0 and retries 0 or more, not {timeout_s!r} and {retries!r}")
        self.label = label
        self.timeout_s = timeout_s
        self._retries = retries
        self._options = _options(base_url, api_key)
        self._lock = threading.Lock()
        self._waiting: _Waiting | None = None
        self._finalizer: weakref.finalize[..., Endpoint] | None = None

    def start(self, work: Callable[[], Coroutine[Any, Any, _T]], timeout_s: float | None) -> Future[_T]:
        """Start `work` on the waiting thread and return its future; past `timeout_s` it is cut off and fails with `ModelError`."""
        waiting = self._open()
        within = self._within(work, waiting.client, self.limit(timeout_s))
        try:
            return asyncio.run_coroutine_threadsafe(within, waiting.loop)
        except RuntimeError:  # closed by another thread since
            within.close()
            raise ModelError(f"{self.label} was closed") from None

    def run(self, work: Callable[[], Coroutine[Any, Any, _T]], timeout_s: float | None) -> _T:
        """Return what `work` returns.

        Raises:
            ModelError: It took longer than `timeout_s`, or failed.
        """
        future = self.start(work, timeout_s)
        try:
            return future.result(self.limit(timeout_s) + GRACE_S)
        except (CancelledError, TimeoutError):
            pass
        finally:
            future.cancel()  # an interrupted caller leaves no request behind
        raise ModelError(f"{self.label} was closed while it waited for a reply")

    def limit(self, timeout_s: float | None) -> float:
        """Return the seconds that a request may take: its own wish, else this server's."""
        return self.timeout_s if timeout_s is None else timeout_s

    async def post(self, send: Send[Any]) -> Mapping[str, Any] | Refusal:
        """Return the decoded reply of a request, or the server's refusal to take it.

        Args:
            send: Makes the request with the client that it is given, through `with_raw_response`.

        Raises:
            ModelError: The server failed, after every retry, or replied with something that is not a JSON object.
        """
        raw = await self.attempt(send)
        if isinstance(raw, Refusal):
            return raw
        try:
            body = json.loads(raw.content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise ModelError(f"{self.label} replied with something that is not a JSON object")
        return body

    async def attempt(self, send: Send[_T]) -> _T | Refusal:
        """Return what `send` returns, after as many tries as are allowed, or the server's refusal.

        A server that asks for a longer pause than the time that is left fails at once: waiting would only hide its reason.

        Raises:
            ModelError: The last try failed too.
        """
        for number in range(self._retries + 1):
            outcome = await self._once(send)
            if not isinstance(outcome, _Failure):
                return outcome
            failure = outcome.error
            if outcome.refused is not None:
                return Refusal(outcome.refused, outcome.error)
            pause = min(_FIRST_PAUSE_S * 2.0**number, _LONGEST_PAUSE_S) if outcome.pause_s is None else outcome.pause_s
            if not outcome.again or number == self._retries or pause >= _seconds_left():
                break
            await asyncio.sleep(pause)
        raise failure

    def close(self) -> None:
        """Cut off what is under way and end the thread. A later request opens it again; a second call does nothing."""
        with self._lock:
            finalizer, self._finalizer, self._waiting = self._finalizer, None, None
        if finalizer is not None:
            finalizer()

    def _open(self) -> _Waiting:
        with self._lock:
            if self._waiting is None or self._waiting.pid != os.getpid():  # a forked child has no such thread
                self._waiting = _waiting_thread(self._options)
                self._finalizer = weakref.finalize(self, _stop, self._waiting)
            return self._waiting

    async def _within(self, work: Callable[[], Coroutine[Any, Any, _T]], client: Any, limit: float) -> _T:
        _CLIENT.set(client)
        _ENDS.set(asyncio.get_running_loop().time() + limit)
        try:
            async with asyncio.timeout(limit):
                return await work()
        except TimeoutError:
            pass
        raise ModelError(f"{self.label} did not reply within {limit:g} s")

    async def _once(self, send: Send[_T]) -> _T | _Failure:
        import openai

        try:
            return await send(_CLIENT.get())
        except openai.APIStatusError as error:
            return self._status(error)
        except openai.APIConnectionError:
            return _Failure(ModelError(f"{self.label}: the connection failed or broke off"), again=True)
        except (openai.OpenAIError, ValueError):
            return _Failure(ModelError(f"{self.label}: the client cannot use the request or the reply"), again=False)

    def _status(self, error: Any) -> _Failure:
        status = int(error.status_code)
        code = str(error.code or error.type or "")
        known = [_HINTS.get(status, ""), code if _CODE.fullmatch(code) else ""]
        ours = ModelError(f"{self.label}: HTTP {status}" + "".join(f" ({part})" for part in known if part))
        headers = error.response.headers
        again = {"true": True, "false": False}.get(headers.get("x-should-retry", ""), status in _AGAIN or status >= 500)
        said = error.response.text[:_SAID_CHARS].lower() if status in _REFUSALS else None
        return _Failure(ours, again, _pause(headers.get("retry-after-ms"), headers.get("retry-after")), said)


#: Of the request that is under way: the client that makes it, and when its time is up on the loop's clock.
_CLIENT: ContextVar[Any] = ContextVar("_CLIENT")
_ENDS: ContextVar[float] = ContextVar("_ENDS")


def stream_errors() -> tuple[type[Exception], ...]:
    """Return what comes out of a stream that breaks off: the client's errors, those of the HTTP library under it, and bad JSON."""
    import openai

    # Older clients stand on httpx and newer ones on httpx2; whichever it is, the client has imported it.
    libraries = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (openai.OpenAIError, ValueError, *(library.HTTPError for library in libraries))


def whole_text(text: str) -> str:
    """Return the text as it can be sent: half of a surrogate pair has no encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _options(base_url: str | None, api_key: str | None) -> dict[str, Any]:
    base_url = base_url or None
    address = base_url or os.environ.get("OPENAI_BASE_URL") or None
    if address is not None and not _is_address(address):
        raise SettingsError(f"base_url must be an address such as http://127.0.0.1:8000/v1, not {address!r}")
    key = api_key or (None if base_url else os.environ.get("OPENAI_API_KEY")) or (_NO_KEY if address else None)
    if key is None:
        raise SettingsError("no API key: pass api_key=…, set OPENAI_API_KEY, or name a server that needs none with base_url=…")
    return {"base_url": base_url, "api_key": key, "max_retries": 0}


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _seconds_left() -> float:
    return _ENDS.get() - asyncio.get_running_loop().time()


def _pause(milliseconds: str | None, seconds: str | None) -> float | None:
    """Return the seconds that the server asks to wait. The form with a date is not read: it would need the wall clock."""
    for value, unit in ((milliseconds, 1_000.0), (seconds, 1.0)):
        try:
            asked = float(value or "nan") / unit
        except ValueError:
            continue
        if asked >= 0:
            return asked
    return None


def _waiting_thread(options: Mapping[str, Any]) -> _Waiting:
    import openai

    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    try:
        client = openai.AsyncOpenAI(**options)
        thread = threading.Thread(target=_serve, args=(client, ready), name="tierkeep-openai", daemon=True)
        thread.start()
        loop, stop = ready.result()
    except (openai.OpenAIError, ValueError, OSError, RuntimeError) as error:  # a certificate file, a thread or a socket is not to be had
        raise ModelError(f"the client cannot be set up: {error}") from None
    return _Waiting(loop, stop, client, thread, os.getpid())


def _serve(client: Any, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    try:
        asyncio.run(_wait(client, ready))
    except OSError as error:
        if ready.done():
            raise
        ready.set_exception(error)


async def _wait(client: Any, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stop = asyncio.Event()
    ready.set_result((asyncio.get_running_loop(), stop))
    await stop.wait()
    await client.close()


def _stop(waiting: _Waiting) -> None:
    if waiting.pid != os.getpid() or not waiting.thread.is_alive():
        return
    waiting.loop.call_soon_threadsafe(waiting.stop.set)
    if waiting.thread is not threading.current_thread():  # the last reference can be dropped on the thread itself
        waiting.thread.join(GRACE_S)
