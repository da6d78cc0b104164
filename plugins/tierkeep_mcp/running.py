"""Run the MCP server until its client leaves: what `python -m tierkeep_mcp` and `tierkeep mcp` have in common."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tierkeep import Memory
from tierkeep.errors import MissingExtraError
from tierkeep.scoped import ScopedMemory

__all__ = ["HOST", "PORT", "TOKEN", "run"]

#: Environment variable with the token that HTTP clients must send.
TOKEN = "TIERKEEP_MCP_TOKEN"  # noqa: S105 - the name of the variable
#: Where HTTP is served: on this machine only.
HOST, PORT = "127.0.0.1", 8765


def run(
    memory: Memory, owner: ScopedMemory, *, read_only: bool = False, http: bool = False, host: str = HOST, port: int = PORT,
    token_file: Path | None = None,
) -> None:
    """Serve one owner's memory until the client leaves, or until interrupted.

    Args:
        memory: The open memory.
        owner: Whose memory it serves.
        read_only: Leave out the tools that change something.
        http: Over HTTP instead of standard input and output.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        token_file: File with the token that clients send; else that of the environment, else a new one, which is said.

    Raises:
        MissingExtraError: The protocol's library is not installed.
        InputError: The token or the address cannot be used.
    """
    try:
        from tierkeep_mcp import http as over_http
        from tierkeep_mcp import server
    except ModuleNotFoundError as error:
        raise MissingExtraError("The MCP server", extra="mcp") from error
    built = server.build(memory, owner, read_only=read_only)
    try:
        if http:
            asyncio.run(over_http.serve(built, host, port, over_http.token(token_file, os.environ.get(TOKEN, ""))))
        else:
            asyncio.run(built.run_stdio_async())
    except KeyboardInterrupt:  # how a server is ended by hand
        return
