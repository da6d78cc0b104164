"""`python -m tierkeep_mcp --path DIR --user NAME`, also `tierkeep mcp`: an MCP server on standard input and output, or over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tierkeep import Memory, __version__
from tierkeep.errors import InputError, MissingExtraError, TierkeepError

__all__ = ["main"]

#: Environment variable with the token that HTTP clients must send.
TOKEN = "TIERKEEP_MCP_TOKEN"  # noqa: S105 - the name of the variable


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="tierkeep mcp", description="Serve one owner's memory over the Model Context Protocol.",
        epilog="Example: tierkeep mcp --path ./memory --user ana",
    )
    made.add_argument("--path", "--store", required=True, help="folder or file of the memory; made when there is none")
    for name, help_ in (("user", "whose memory"), ("tenant", "organisation, when there are several"), ("agent", "the agent that owns it")):
        made.add_argument(f"--{name}", default="", help=help_)
    made.add_argument("--session", default=None, help="conversation under which memories are stored; the day otherwise")
    made.add_argument("--read-only", action="store_true", help="leave out the tools that store and forget")
    http = made.add_argument_group("over HTTP instead of standard input and output")
    http.add_argument("--http", action="store_true", help="serve streamable HTTP at /mcp")
    http.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    http.add_argument("--port", type=int, default=8765, help="port to listen on; 0 for any that is free (default: 8765)")
    http.add_argument("--token-file", type=Path, default=None, help=f"file with the token that clients send; else ${TOKEN}, else a new one")
    made.add_argument("--version", action="version", version=f"tierkeep {__version__}")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the client leaves, or until interrupted; return the exit code: 2 for what was asked for wrongly."""
    given = parser().parse_args(arguments)
    # Standard output belongs to the protocol.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        try:
            from tierkeep_mcp import http, server
        except ModuleNotFoundError as error:
            raise MissingExtraError("The MCP server", extra="mcp") from error
        with Memory.open(given.path) as memory:
            owner = memory.scope(tenant=given.tenant, user=given.user, agent=given.agent, session=given.session)
            built = server.build(memory, owner, read_only=given.read_only)
            if given.http:
                asyncio.run(http.serve(built, given.host, given.port, http.token(given.token_file, os.environ.get(TOKEN, ""))))
            else:
                asyncio.run(built.run_stdio_async())
    except KeyboardInterrupt:
        return 0
    except InputError as error:
        sys.stderr.write(f"tierkeep mcp: {error}\n")
        return 2
    except TierkeepError as error:
        sys.stderr.write(f"tierkeep mcp: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
