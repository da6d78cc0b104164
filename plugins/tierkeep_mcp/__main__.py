"""`python -m tierkeep_mcp --path DIR --user NAME`: the MCP server without the command line's own dependencies."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tierkeep import Memory, __version__
from tierkeep.errors import InputError, MissingExtraError, TierkeepError
from tierkeep_mcp.running import HOST, PORT, TOKEN, run

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tierkeep_mcp", description="Serve one owner's memory over the Model Context Protocol.",
        epilog="Example: python -m tierkeep_mcp --path ./memory --user ana",
    )
    made.add_argument("--path", required=True, help="folder or file of the memory; made when there is none")
    for name, help_ in (("user", "whose memory"), ("tenant", "organisation, when there are several"), ("agent", "the agent that owns it")):
        made.add_argument(f"--{name}", default="", help=help_)
    made.add_argument("--session", default=None, help="conversation under which memories are stored; the day otherwise")
    made.add_argument("--read-only", action="store_true", help="leave out the tools that store and forget")
    http = made.add_argument_group("over HTTP instead of standard input and output")
    http.add_argument("--http", action="store_true", help="serve streamable HTTP at /mcp")
    http.add_argument("--host", default=HOST, help="address to listen on (default: this machine only)")
    http.add_argument("--port", type=int, default=PORT, help=f"port to listen on; 0 for any that is free (default: {PORT})")
    http.add_argument("--token-file", type=Path, default=None, help=f"file with the token that clients send; else ${TOKEN}, else a new one")
    made.add_argument("--version", action="version", version=f"tierkeep {__version__}")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the client leaves, or until interrupted; return the exit code: 2 for what was asked for wrongly."""
    given = parser().parse_args(arguments)
    # Standard output belongs to the protocol.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if not (given.user or given.tenant or given.agent):  # before a store is made
        sys.stderr.write("tierkeep mcp: whose memory? Pass --user NAME (or --agent, or --tenant)\n")
        return 2
    try:
        with Memory.open(given.path) as memory:
            owner = memory.scope(tenant=given.tenant, user=given.user, agent=given.agent, session=given.session)
            run(memory, owner, read_only=given.read_only, http=given.http, host=given.host, port=given.port, token_file=given.token_file)
    except (InputError, MissingExtraError) as error:
        sys.stderr.write(f"tierkeep mcp: {error}\n")
        return 2
    except TierkeepError as error:
        sys.stderr.write(f"tierkeep mcp: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
