"""`tierkeep bench fetch`: data sets from their authors, on the user's request and on their terms."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tierkeep.cli.bench_run import JsonOption, module, ticking
from tierkeep.cli.call import DONE, NOTHING, guarded
from tierkeep.cli.output import Output, counted, facts, literal, rows
from tierkeep.errors import InputError

_Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The data set; without a name, all that can be fetched are listed.")]
_To = Annotated[Path | None, typer.Option("--to", metavar="FOLDER", help="Where it goes.")]
_Accept = Annotated[bool, typer.Option("--accept-licence", "--yes", "-y", help="Accept the licence and terms without being asked.")]
_Mirror = Annotated[
    str, typer.Option("--mirror", metavar="URL", help="Base address to ask instead: below it, the authors' host names and paths.")
]


def attach(group: typer.Typer) -> None:
    """Add the command."""
    group.command("fetch")(fetch)


def fetch(
    name: _Name = None, to: _To = None, accept: _Accept = False, mirror: _Mirror = "", as_json: JsonOption = False
) -> None:
    """Download a data set from its authors. Shows its licence first; goes on where an interrupted download stopped.

    Needs the extra "bench" and a network. Exit code 1 when the licence is not accepted.

    Example: tierkeep bench fetch

    Example: tierkeep bench fetch NAME --to data --accept-licence
    """
    out = Output(as_json=as_json)
    code = guarded(out, lambda: _list(out) if name is None else _fetch(out, name, to, accept, mirror))
    if code:
        raise typer.Exit(code)


def _list(out: Output) -> int:
    sets = module("published").PUBLISHED.values()
    document = {"sets": [{"name": one.name, "about": one.about, "licence": one.licence, "home": one.home} for one in sets]}
    out.result(document, rows(("name", "licence", "what"), ((one.name, literal(one.licence), literal(one.about)) for one in sets)))
    return DONE


def _fetch(out: Output, name: str, to: Path | None, accept: bool, mirror: str) -> int:
    published = module("published").PUBLISHED
    if name not in published:
        raise InputError(f"there is no data set {name!r} to fetch; there are: {', '.join(published)}", field="name")
    if to is None:
        raise InputError("say where it goes: --to FOLDER", field="to")
    one = published[name]
    if not _accepted(out, one, accept):
        return NOTHING
    with ticking(out, name) as tick:
        done: Mapping[str, Any] = module("fetch").fetch(one, to, mirror=mirror, progress=lambda share, total, file: tick(share, total))
    said = f"{counted(len(done['files']), 'file')} in {done['folder']}. Measure with: tierkeep bench recall --data {done['data']}"
    out.result(done, Text(said))
    return DONE


def _accepted(out: Output, one: Any, accept: bool) -> bool:
    """Show licence and terms, and return whether they are accepted.

    Raises:
        InputError: There is nobody to ask.
    """
    if not out.as_json:
        out.err.print(facts({"data set": one.about, "from": one.home, "licence": one.licence, "terms": one.terms}))
    if accept:
        return True
    if out.as_json or not sys.stdin.isatty():
        raise InputError(f"{one.name}: licence {one.licence}. {one.terms} Accept this with --accept-licence", field="accept_licence")
    return typer.confirm("Accept, and download?", default=False, err=True)
