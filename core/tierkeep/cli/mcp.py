"""The command `mcp`: one owner's memory as an MCP server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tierkeep.cli.call import DONE, Call, command
from tierkeep.cli.model import BaseUrl, EmbedderName, embedder
from tierkeep.errors import InputError, MissingExtraError

_PANEL = "Over HTTP instead of standard input and output"
_ReadOnly = Annotated[bool, typer.Option("--read-only", help="Leave out the tools that store and forget.")]
_Http = Annotated[bool, typer.Option("--http", rich_help_panel=_PANEL, help="Serve streamable HTTP at /mcp.")]
_Host = Annotated[str, typer.Option("--host", rich_help_panel=_PANEL, help="Address to listen on.")]
_Port = Annotated[int, typer.Option("--port", min=0, max=65_535, rich_help_panel=_PANEL, help="Port; 0 for any that is free.")]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", rich_help_panel=_PANEL, help="File with the token that clients send; else $TIERKEEP_MCP_TOKEN, else a new one."
    ),
]


def attach(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "mcp")(mcp)


def mcp(
    call: Call, read_only: _ReadOnly = False, http: _Http = False, host: _Host = "127.0.0.1", port: _Port = 8765,
    token_file: _TokenFile = None, embedder_name: EmbedderName = "none", base_url: BaseUrl = "",
) -> int:
    """Serve one owner's memory over the Model Context Protocol, on standard input and output or over HTTP, until the client leaves.

    With --session what a model stores belongs to that conversation; everything of the owner's is searched all the same.

    Example: tierkeep mcp --store ./memory --user ana
    """
    if call.out.as_json:
        raise InputError("standard output belongs to the protocol here: leave --json out", field="json")
    try:
        from tierkeep_mcp.running import run
    except ModuleNotFoundError as error:
        raise MissingExtraError("The MCP server", extra="mcp") from error
    call.check_owner()
    with call.memory(create=True, embedder=embedder(embedder_name, base_url)) as memory:
        run(memory, call.owner(memory), read_only=read_only, http=http, host=host, port=port, token_file=token_file)
    return DONE
