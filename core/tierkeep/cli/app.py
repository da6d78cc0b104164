"""The command line as a whole: its commands, and how it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from tierkeep import __version__
from tierkeep.cli import bench, care, guard, maintain, mcp, operate, read, safeharbor, write
from tierkeep.cli.call import BAD_INPUT, DONE, INTERRUPTED
from tierkeep.cli.output import Output

__all__ = ["app", "run"]

_HELP = """Memory for AI agents: store what was said, ask for it, forget it. Works offline, in one file of yours.

Example: tierkeep add "I moved to Lisbon in May." --user ana, then: tierkeep ask "Where do I live?" --user ana

Exit codes: 0 done, 1 nothing found or a check failed, 2 bad input, 3 the store failed.
"""

#: typer brings its own click or uses the installed one; either way this is its class of usage errors.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="tierkeep", help=_HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tierkeep {__version__}\n")
        raise typer.Exit(0)


@app.callback()
def tierkeep(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


tierkeep.__doc__ = _HELP
write.attach(app)
read.attach(app)
care.attach(app)
maintain.attach(app)
operate.attach(app)
guard.attach(app)
bench.attach(app)
safeharbor.attach(app)
mcp.attach(app)


def run(argv: Sequence[str]) -> int:
    """Run the command line with these arguments and return its exit code. Prints usage errors; raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character shows "?", and goes on
            stream.reconfigure(errors="replace")
    command = typer.main.get_command(app)
    try:
        code = command.main(list(argv), prog_name="tierkeep", standalone_mode=False)
    except _UsageError as error:
        return _report_usage(error, as_json="--json" in argv)
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else DONE


def _report_usage(error: Exception, *, as_json: bool) -> int:
    if as_json:
        Output(as_json=True).error(error.format_message(), kind="UsageError")  # type: ignore[attr-defined]
    else:
        error.show()  # type: ignore[attr-defined]
    return BAD_INPUT
