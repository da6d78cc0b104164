"""Streamable HTTP for the MCP server: this machine only unless told otherwise, and a token for every request."""

from __future__ import annotations

import hmac
import secrets
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from mcp.server.mcpserver import MCPServer

from tierkeep.errors import InputError

__all__ = ["Guarded", "Token", "serve", "token"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
#: Characters of the shortest token that is accepted.
_SHORTEST = 16


class Token(NamedTuple):
    """What clients must send, and whether it was made just now, so that somebody has to be told."""

    value: str
    new: bool


def token(file: Path | None, environment: str) -> Token:
    """Return the token of a file, else of the environment, else a new one.

    Raises:
        InputError: The file cannot be read, or the token is shorter than 16 characters or holds blanks.
    """
    if file is None and not environment:
        return Token(secrets.token_urlsafe(32), True)
    try:
        value = (environment if file is None else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the token cannot be read from {file}: {error}", field="token") from error
    if len(value) < _SHORTEST or not value.isascii() or any(character.isspace() for character in value):
        raise InputError(f"the token must have at least {_SHORTEST} characters, ASCII and no blanks: python -c "
                         "'import secrets; print(secrets.token_urlsafe(32))' makes one", field="token")  # fmt: skip
    return Token(value, False)


class Guarded:
    """An ASGI application that lets through only who sends `Authorization: Bearer TOKEN`; compared in constant time."""

    def __init__(self, app: _App, value: str) -> None:
        """Wrap an application."""
        self._app = app
        self._expected = f"Bearer {value}".encode("ascii")

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request: 401 without the token."""
        if scope["type"] == "http":
            sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(sent, self._expected):
                headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Bearer")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b"send the token: Authorization: Bearer ...\n"})
                return
        await self._app(scope, receive, send)


async def serve(server: MCPServer[Any], host: str, port: int, secret: Token) -> None:
    """Serve until interrupted; where and how is said on standard error once it listens.

    Raises:
        InputError: The address cannot be listened on.
    """
    app = Guarded(server.streamable_http_app(host=host), secret.value)
    running = _Telling(uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="on"), secret)
    try:
        await running.serve()
    except SystemExit as error:  # uvicorn's way to say that the port is taken; it has logged why
        raise InputError(f"cannot listen on {host}:{port}: choose another --port", field="port") from error


class _Telling(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, secret: Token) -> None:
        super().__init__(config)
        self._secret = secret

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            made = f"; token (new, for this run): {self._secret.value}" if self._secret.new else ""
            sys.stderr.write(f"tierkeep mcp: http://{shown}:{port}/mcp{made}\n")
            sys.stderr.flush()
